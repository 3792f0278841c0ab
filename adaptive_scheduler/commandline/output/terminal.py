"""Printing on the terminal."""

from __future__ import annotations

import os
import shlex
import sys
from os import PathLike
from pathlib import Path

import typer
from rich.console import Console, ConsoleDimensions, RenderableType

from adaptive_scheduler.core.paths import URL_VARIABLE, RunFolder
from adaptive_scheduler.io.ssh.far_place import read_url

#: Characters in a line of a pipe or a file, where nothing needs to be shortened.
_PIPE = 200


class _TerminalOutput(Console):
    """Standard output: as wide as ``$COLUMNS``, the terminal, or a pipe's long lines."""

    @property
    def size(self) -> ConsoleDimensions:
        """How much fits, now: rich reads ``$COLUMNS`` only once."""
        found, columns = super().size, os.environ.get("COLUMNS", "")
        if columns.isdigit():
            return ConsoleDimensions(int(columns), found.height)
        return found if sys.stdout.isatty() else ConsoleDimensions(_PIPE, found.height)

    @size.setter
    def size(self, _given: tuple[int, int]) -> None:
        raise AttributeError("the size of the output is that of its terminal")


console = _TerminalOutput()


def print_view(view: RenderableType) -> None:
    """Print a view: in a terminal wrapped between words, elsewhere each text on one line."""
    if console.is_terminal:
        console.print(view, markup=False, highlight=False)
    else:
        text = getattr(view, "plain", view)
        console.print(text, markup=False, highlight=False, soft_wrap=isinstance(text, str))


def print_line(text: str, style: str = "") -> None:
    """Print one plain line."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def quoted(folder: RunFolder | str | PathLike[str]) -> str:
    """A run's path as a shell takes it; its url, if somebody on another host has named it by that."""
    path = folder.home if isinstance(folder, RunFolder) else folder
    url = os.environ.get(URL_VARIABLE, "")
    is_it = url and Path(read_url(url, URL_VARIABLE).path).expanduser() == Path(path).expanduser()
    return shlex.quote(url if is_it else str(path))


def exit_with(code: int) -> None:
    """End the command with an exit code."""
    if code:
        raise typer.Exit(code)
