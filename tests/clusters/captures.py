"""Outputs of real commands, kept as test data that people can read."""

from __future__ import annotations

import shlex
from pathlib import Path

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult

DATA = Path(__file__).parent.parent / "data"
OUT, ERR = "--- stdout\n", "--- stderr\n"


def save(name: str, result: CommandResult) -> None:
    """Write a result to ``tests/data/NAME.txt``."""
    text = f"argv: {shlex.join(result.argv)}\nrc: {result.rc}\n"
    path = DATA / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + OUT + result.stdout + ERR + result.stderr)


def load(name: str) -> CommandResult:
    """The result that was written to ``tests/data/NAME.txt``."""
    head, _, rest = (DATA / f"{name}.txt").read_text().partition(OUT)
    argv, _, rc = head.strip().rpartition("\nrc: ")
    stdout, _, stderr = rest.partition(ERR)
    return CommandResult(tuple(shlex.split(argv.removeprefix("argv: "))), int(rc), stdout, stderr)
