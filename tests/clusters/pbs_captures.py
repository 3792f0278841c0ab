"""What a real OpenPBS 23.06 printed: reads ``tests/data/pbs``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.schedulers.pbs import PBS

DATA = Path(__file__).resolve().parent.parent / "data" / "pbs"
QSTAT = ("qstat", "-t", "-f", "-F", "json")


def scheduler(**options: Any) -> PBS:
    """Of the user whose jobs were captured."""
    pbs = PBS(**(options or {"cores": 4}))
    pbs.user = "hpcuser"
    return pbs


def answer(name: str, rc: int = 0, stderr: str = "") -> CommandResult:
    """The stdout of a look, kept as ``NAME.json``."""
    text = (DATA / f"{name}.json").read_bytes().decode(errors="replace")
    return CommandResult(QSTAT, rc, text, stderr)


def captured(name: str) -> CommandResult:
    """A whole command, kept as ``NAME.txt``."""
    text = (DATA / f"{name}.txt").read_text()
    command, _, rest = text.removeprefix("$ ").partition("\n")
    rc = re.search(r"exit code=(\d+)", rest)
    body = re.search(r"--- stdout \(.*?\)\n(.*)--- stderr \(.*?\)\n(.*)", rest, re.DOTALL)
    assert rc is not None
    assert body is not None
    return CommandResult(tuple(command.split()), int(rc[1]), body[1], body[2])
