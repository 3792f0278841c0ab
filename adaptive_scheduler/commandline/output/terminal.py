"""Printing on the terminal."""

from __future__ import annotations

import shlex
from os import PathLike

import typer
from rich.console import Console

from adaptive_scheduler.core.paths import RunFolder

console = Console()


def print_line(text: str, style: str = "") -> None:
    """Print one plain line."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def quoted(folder: RunFolder | str | PathLike[str]) -> str:
    """A run's path as a shell takes it."""
    return shlex.quote(str(folder.home if isinstance(folder, RunFolder) else folder))


def exit_with(code: int) -> None:
    """End the command with an exit code."""
    if code:
        raise typer.Exit(code)
