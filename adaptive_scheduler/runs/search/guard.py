"""Lets one process at a time run a search, and one search write into an output: two would mix their values."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adaptive_scheduler.core.paths import SWEEPS_NAME, RunFolder
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.io.disk import files

#: Ends the name of the file by which a search says that values in an output are its own.
_CLAIM = ".values"


@contextmanager
def alone(folder: RunFolder, name: str) -> Iterator[None]:
    """Hold the lock of a search; RunError if another process does.

    Its points are right also where a file system has no such locks: then the numbers of two
    processes are the same, and each task knows its own point by its key.
    """
    path = folder.folder / f"{name}.search"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise RunError(
                    f"{path}: another process runs this search. Wait until it has ended, or give "
                    "name= for a second one."
                ) from error
        yield
    finally:
        os.close(fd)


def claim_values(output: Path, file: str, folder: RunFolder, name: str) -> None:
    """Say that the values in an output are those of a search.

    Each says so, and then looks once more, so that of two that begin at once at least one sees the other.

    Parameters
    ----------
    output : Path
    file : str
        Name of the files of values there.
    folder : RunFolder
    name : str
        Of the search.

    Raises
    ------
    InputError
        They are those of another search: it would read ours for its own when it is run again.
    """
    mine = {"run": str(folder.home.resolve()), "search": name, "file": file}
    text = json.dumps(mine)
    claims = output / SWEEPS_NAME
    path = claims / f"{name}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}{_CLAIM}"
    if path.exists():
        return
    _refuse_others(output, claims, mine)
    with files.naming(path):
        claims.mkdir(exist_ok=True)
    files.write_atomically(path, text.encode())
    try:
        _refuse_others(output, claims, mine)
    except InputError:
        path.unlink()
        raise


def _refuse_others(output: Path, claims: Path, mine: dict[str, str]) -> None:
    """Raise InputError if another search has the same files; removes what those have left whose run is gone."""
    for path in claims.glob(f"*{_CLAIM}"):
        try:
            its = json.loads(path.read_bytes())
        except FileNotFoundError:  # refused at this moment
            continue
        if its["file"] != mine["file"] or its == mine:
            continue
        if not Path(its["run"]).is_dir():
            path.unlink(missing_ok=True)
            continue
        raise InputError(
            f"output={output}: its files {its['file']} are those of the search {its['search']!r} (its run: "
            f"{its['run']}), which would take the values of this one for its own. Give another output, or "
            "remove that run."
        )
