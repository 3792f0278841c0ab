"""Removes or moves the files of learners: data, point journals and tables."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.learner_data.point_journal import list_journals
from adaptive_scheduler.runs.compat.frame_files import Format, fname_to_dataframe


def remove(fnames: Sequence[str | list[str]], move_to: Path | None) -> int:
    """Remove the files of learners, or move them into a folder; returns how many.

    Raises
    ------
    InputError
        Files of one name, from several folders, would be moved to one place.
    """
    found = [path for fname in fnames for path in of_learner(fname) if path.exists()]
    if move_to is None:
        for path in found:
            path.unlink()
        return len(found)
    names = [path.name for path in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    taken = [name for name in names if (move_to / name).exists()]
    if twice or taken:
        raise InputError(
            f"move_to={str(move_to)!r}: {(twice or taken)[0]} would be written over there. Nothing was moved; "
            "give another folder."
        )
    move_to.mkdir(parents=True, exist_ok=True)
    for path in found:
        shutil.move(path, move_to / path.name)
    return len(found)


def of_learner(fname: str | list[str]) -> Iterator[Path]:
    """Return the files that a learner may have."""
    several = [fname] if isinstance(fname, str) else fname
    yield from map(Path, several)
    for kind in get_args(Format):
        yield fname_to_dataframe(fname, kind)
    first = Path(several[0])
    if first.parent.is_dir():
        for _, path in list_journals(first.parent).get(files.short_hash(str(first)), []):
            yield path
