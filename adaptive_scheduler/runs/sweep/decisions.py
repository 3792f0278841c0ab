"""Whether a command is to be run: what its row and its task's files say, and what has changed."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from adaptive_scheduler.core.rows.row import OVER, Phase
from adaptive_scheduler.core.sweeps.values import as_text

SUCCESS, FAILURE, NOT_ENDED = 0, 1, -1
#: How a row of the run is called: what it runs, and how often it was begun anew.
_KEY = "{}.{}"


class Action(enum.Enum):
    """What is done about a command."""

    SKIP = "skip"  # it has succeeded
    NOTE = "note"  # it has succeeded, and nobody has written that down: the sweep was killed then
    FOLLOW = "follow"  # its row has not ended: it goes on
    RUN = "run"


class Past(msgspec.Struct, frozen=True):
    """What is known of a command from earlier sweeps.

    Attributes
    ----------
    entry : dict, optional
        Of its task's ``stat.json``.
    generation : int
        Of its last row in this title's run; -1: there is none.
    phase : Phase, optional
        Of that row.
    is_done_elsewhere : bool
        Whether another title's run has a row of it that is done.
    is_as_wanted : bool
        Whether its row has the resources and the timeout that are wanted now.
    """

    entry: Mapping[str, Any] | None = None
    generation: int = -1
    phase: Phase | None = None
    is_done_elsewhere: bool = False
    is_as_wanted: bool = True


class Decision(msgspec.Struct, frozen=True):
    """What is done about a command, and why; `generation` is that of its row."""

    action: Action
    generation: int
    why: str = ""


def row_key(key: str, generation: int) -> str:
    """Return the key of a command's row."""
    return _KEY.format(key, generation)


def split_key(text: str) -> tuple[str, int]:
    """Return what `row_key` was made of."""
    key, _, generation = text.rpartition(".")
    return key, int(generation) if generation.isdecimal() else 0


def decide(key: str, title: str, past: Past, *, is_forced: bool) -> Decision:
    """Return what is to be done about a command.

    Parameters
    ----------
    key : str
        What it runs.
    title : str
        Of this sweep's run.
    past : Past
    is_forced : bool
        Whether also what has succeeded is run.
    """
    new = past.generation + 1
    if past.phase is not None and past.phase not in OVER:
        if not past.is_as_wanted:  # nothing may be there any more that could hold it
            return Decision(Action.RUN, new, "its resources or its timeout have changed")
        return Decision(Action.FOLLOW, past.generation, "it was not ended")
    entry = past.entry
    if is_forced or entry is None:
        return Decision(
            Action.RUN, new, "" if is_forced or past.phase is None else "its files are gone"
        )
    has_succeeded = entry.get("code") == SUCCESS
    if entry.get("key") != key:
        return Decision(Action.RUN, new, "changed" if has_succeeded else "")
    is_done = past.phase is Phase.DONE
    if has_succeeded:
        if is_done or past.is_done_elsewhere:
            return Decision(Action.SKIP, past.generation)
        return Decision(Action.RUN, new, "the run does not know it")
    mine = entry.get("title") == title and entry.get("generation") == past.generation
    if entry.get("code") == NOT_ENDED and is_done and mine:
        return Decision(Action.NOTE, past.generation)
    return Decision(Action.RUN, new)


def in_order(decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    """Return the decisions about a task's commands in which none goes on while one before it is run again.

    Its row waits for the old row of that one, which does not succeed any more.
    """
    found: dict[str, Decision] = {}
    runs_anew = False
    for name, one in decisions.items():
        if one.action is Action.FOLLOW and runs_anew:
            one = Decision(Action.RUN, one.generation + 1, "one before it is run again")
        runs_anew = runs_anew or one.action is Action.RUN
        found[name] = one
    return found


def what_changed(former: Mapping[str, Any], parameters: Mapping[str, Any], command: str) -> str:
    """Return why a command that has succeeded is run again.

    Parameters
    ----------
    former : mapping
        ``param.json``, as it was.
    parameters : mapping
        Of now.
    command : str
        Its name.
    """
    old = {name: value for name, value in former.items() if not name.startswith("_")}
    names = [name for name in {**old, **parameters} if _text(old, name) != _text(parameters, name)]
    if not names:
        return f"the template of {command} has changed"
    changes = [f"{name}: {_text(old, name)} -> {_text(parameters, name)}" for name in names[:3]]
    return ", ".join(changes + ["..."] * (len(names) > 3))


def _text(found: Mapping[str, Any], name: str) -> str:
    return as_text(found[name])[:60] if name in found else "none"
