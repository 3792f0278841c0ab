"""Writes a report into a file, or returns it as a text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.runs.report.collect import collect
from adaptive_scheduler.runs.report.markdown import as_markdown
from adaptive_scheduler.runs.report.page import as_page

Form = Literal["html", "json", "markdown"]
#: By the ends of files' names; others are HTML.
FORMS: dict[str, Form] = {".json": "json", ".md": "markdown"}


def report_text(folder: RunFolder, form: Form = "html") -> str:
    """Return the report of a run.

    Parameters
    ----------
    folder : RunFolder
    form : str
        ``"html"``, ``"json"`` or ``"markdown"``.

    Raises
    ------
    RunError, DatabaseError
        There is no run, or it cannot be read.
    """
    found = collect(folder)
    if form == "json":
        return msgspec.json.encode(found.report).decode() + "\n"
    return as_markdown(found.report) if form == "markdown" else as_page(found)


def form_of(path: str | os.PathLike[str]) -> Form:
    """What the name of a file asks for."""
    return FORMS.get(Path(path).suffix.lower(), "html")


def write_report(folder: RunFolder, path: str | os.PathLike[str], form: Form | None = None) -> Path:
    """Write the report of a run into a file, which is replaced as a whole; returns its path.

    What is no plain file, such as a link, a pipe or a terminal, is written to.

    Parameters
    ----------
    folder : RunFolder
    path : path-like
        Its folder must exist.
    form : str, optional
        Default: what the name's ending says.

    Raises
    ------
    InputError
        The file cannot be written there.
    RunError, DatabaseError
        There is no run, or it cannot be read.
    """
    return save_report(lambda wanted: report_text(folder, wanted), path, form)


def save_report(
    make: Callable[[Form], str], path: str | os.PathLike[str], form: Form | None = None
) -> Path:
    """Write a report that is made elsewhere; see `write_report`.

    Parameters
    ----------
    make : callable
        Returns the report in a form.
    path : path-like
    form : str, optional
    """
    target = Path(path).expanduser()
    check_target(target)
    data = make(form or form_of(target)).encode()
    if _stays(target):
        with files.naming(target):
            target.write_bytes(data)
    else:
        files.write_atomically(target, data)
    return target


def _stays(path: Path) -> bool:
    """Whether it is written to, not replaced by a new file: a link, a pipe, a device such as /dev/stdout."""
    return path.is_symlink() or (path.exists() and not path.is_file())


def check_target(path: Path) -> None:
    """Refuse a path where no file can be written, before anything is read."""
    parent = path.absolute().parent
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the file that the report goes to.")
    if not parent.is_dir():
        raise InputError(f"{path}: there is no folder {parent}. Make it, or name another file.")
    if _stays(path):
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(f"{path}: you may not write to it. Name another file.")
    elif not os.access(parent, os.W_OK):
        raise InputError(f"{path}: you may not write into {parent}. Name another file.")
