"""Writes a file of the user's whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adaptive_scheduler.io.disk import files


@contextmanager
def atomic_write(
    dest: str | os.PathLike[str],
    mode: str = "w",
    *args: Any,
    return_path: bool = False,
    **kwargs: Any,
) -> Iterator[Any]:
    """Write a file such that readers see the old one or the new, also after a crash.

    Parameters
    ----------
    dest : path-like
        Its folder must exist.
    mode : str
        As in `open`.
    *args, **kwargs
        As in `open`.
    return_path : bool
        Whether to give the path of a temporary file, for what writes files by itself.

    Yields
    ------
    file object, or Path
        Of a temporary file in the same folder, which takes the place of `dest` at the end. It is
        removed if the block raises, a Ctrl-C included.
    """
    named = files.temporary_name(dest)
    temporary = named.with_name(named.name + Path(dest).suffix)  # some writers go by it
    try:
        temporary.touch()
        if return_path:
            yield temporary
        else:
            with temporary.open(mode, *args, **kwargs) as file:
                yield file
        files.sync_file(temporary)
        files.rename_durably(temporary, dest)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
