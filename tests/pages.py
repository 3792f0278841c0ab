"""Do what a page of the documentation tells its reader to do: write the files, run the commands, see the output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Of each command that a page has.
SECONDS = 1200
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes
    ----------
    kind : str
        ``python``, ``yaml``: a file if it has a name; ``bash``: commands; ``text``: what they print; else only shown.
    name : str
    text : str
    """

    kind: str
    name: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    for kind, name, text in _BLOCK.findall(page.read_text()):
        yield Block(kind, name, text)


def follow(page: Path, folder: Path) -> list[str]:
    """Follow a page in a folder; returns what each block of commands printed.

    The lines of a ``text`` block must come in this order in what the commands before it printed; ``...`` in a line is
    anything.
    """
    printed: list[str] = []
    for block in blocks(page):
        if block.name:
            path = folder / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind == "bash":
            printed.append(run(["bash", "-c", f"set -eo pipefail\n{block.text}"], folder))
        elif block.kind == "text":
            assert printed, f"{page.name} shows what no command has printed: {block.text}"
            _compare(block.text, printed[-1], page)
    return printed


def run(command: list[str], folder: Path) -> str:
    """What a command prints, in the environment of a reader who has activated that of the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTIVE_SCHEDULER")}
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120",
        "ADAPTIVE_SCHEDULER_LOCALBATCH": str(folder.parent / "batch"),
        "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "1",
    }  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env={**kept, **own}, timeout=SECONDS, check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def _compare(shown: str, printed: str, page: Path) -> None:
    lines = iter(" ".join(line.split()) for line in printed.splitlines())
    for wanted in (" ".join(line.split()) for line in shown.splitlines()):
        pattern = ".*".join(re.escape(part) for part in wanted.split("..."))
        found = any(re.fullmatch(pattern, line) for line in lines)
        assert found, f"{page.name} shows {wanted!r}, which is not in order in:\n{printed}"
