"""Texts of the Python interface, in the words of the command line.

Errors are raised by code that serves Python and the command line, and name arguments as Python
does: ``folder='x'``, ``overwrite=True``, ``cores_per_node``. An option has the name of its
argument with dashes (`input.options`), so one rule translates all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from adaptive_scheduler.commandline.input.parsing.aliases import ALIASES

if TYPE_CHECKING:
    from adaptive_scheduler.core.wire.snapshot import Snapshot

SnapshotLike = TypeVar("SnapshotLike", bound="Snapshot")

#: What Python calls, and what is typed instead.
_CALLS = (
    (r"RunManager\.attach\(folder\)", "adaptive-scheduler status FOLDER"),
    (r"\bcancel\(\) that run", "Cancel that run (`adaptive-scheduler cancel RUN`)"),
    (r"\b(cancel|resume|retry)\(\)", r"`adaptive-scheduler \1 RUN`"),
    (r"\bstart\(\)", "`adaptive-scheduler run`"),
    (r"scheduler=SLURM\(\.\.\.\) or PBS\(\.\.\.\)", "--scheduler slurm or --scheduler pbs"),
    (r"scheduler=LocalScheduler\(cores=\.\.\.\)", "--scheduler local --cores ..."),
)
#: What only Python can be given.
_ONLY_PYTHON = (
    (r"goal=lambda (\w+): \.\.\.", r"`def goal(\1): ...` in the learners file"),
    (r"goal=lambda (\w+): (\w+)", r"`def goal(\1): return \2` in the learners file"),
    (r", a timedelta, or a", " or a"),
    (r", or a timedelta of work", ", or a length of time"),
    (r", or a callable that takes the number of workers and returns a [\w.]*Executor", ""),
    (r"(--\S+ \S+) to (RunManager|the scheduler)\b", r"\1"),
    (r" \(on the command line --[a-z-]+\)", ""),
)
_BEFORE = r"(?<![\w/'\"=.`-])"


def in_option_names(text: str) -> str:
    """Return an error's text with options in place of Python's arguments.

    Quoted texts, and what belongs to a path, stay as they are. ``goal=lambda ...`` becomes what a
    learners file may say.
    """
    if not text:
        return text
    from adaptive_scheduler.commandline.input.options import OPTION_NAMES

    for pattern, typed in _CALLS:
        text = re.sub(pattern, typed, text)
    names = sorted({*OPTION_NAMES, *ALIASES}, key=len, reverse=True)
    one = f"({'|'.join(names)})"
    text = re.sub(
        _BEFORE + one + r"=(?!lambda)(None\b|True\b|False\b|(?=[\s,;:)]|$))?", _argument, text
    )
    text = re.sub(rf"^{one}(?=: )", _option, text)
    long = f"({'|'.join(name for name in names if '_' in name)})"
    text = re.sub(_BEFORE + long + r"\b(?!['\"])", _option, text)
    text = re.sub(rf"(?<=[Gg]ive ){one}\b|(?<=leave ){one}\b|(?<=set ){one}\b", _option, text)
    for _ in range(3):  # "--cores, or nodes and ..."
        text = re.sub(rf"(--[a-z-]+,? (?:or|and) ){one}\b(?!=)", _second, text)
    for pattern, typed in _ONLY_PYTHON:
        text = re.sub(pattern, typed, text)
    return text[:1].upper() + text[1:] if text.startswith("no --") else text


def for_command_line(snapshot: SnapshotLike) -> SnapshotLike:
    """Return a snapshot whose notes name options, as a person at a command line types them."""
    import msgspec

    return msgspec.structs.replace(
        snapshot, notes=[in_option_names(note) for note in snapshot.notes]
    )


def flag(name: str) -> str:
    """The option of a Python argument."""
    return "--" + ALIASES.get(name, name).replace("_", "-")


def _option(match: re.Match[str]) -> str:
    return flag(match[0])


def _second(match: re.Match[str]) -> str:
    return match[1] + flag(match[2])


def _argument(match: re.Match[str]) -> str:
    option, value = flag(match[1]), match[2]
    if value in ("None", "False"):
        return f"no {option}"
    return f"{option} " if value is None else option
