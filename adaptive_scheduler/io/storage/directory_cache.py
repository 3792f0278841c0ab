"""Which files exist, read once for each folder instead of asked for each file."""

from __future__ import annotations

import os
from collections import Counter

from adaptive_scheduler.io.storage import files

#: Looks at single files after which a folder is read whole.
_SINGLE = 100
#: Names in a folder from which on it is not read: single looks are sooner done.
_TOO_MANY = 500_000


class DirectoryCache:
    """What is certainly not there: 100,000 looks are minutes on a busy Lustre, one folder is a second.

    It believes what it has read: make a new one for each pass.
    """

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._names: dict[str, frozenset[str] | None] = {}

    def may_exist(self, path: str) -> bool:
        """Whether it is worth looking for `path`, absolute and normal; False if nothing is there."""
        folder, name = os.path.split(path)
        if folder not in self._names:
            self._asked[folder] += 1
            if self._asked[folder] <= _SINGLE:
                return True
            self._names[folder] = _read(folder)
        names = self._names[folder]
        return names is None or name in names

    def has_data(self, path: str) -> bool:
        """Whether there is a file at `path`; where a folder was not read, one that is not empty."""
        if not self.may_exist(path):
            return False
        if self._names.get(os.path.dirname(path)) is not None:  # noqa: PTH120  a text that stays one
            return True
        return files.has_content(path)


def _read(folder: str) -> frozenset[str] | None:
    """Names in a folder; None if nobody can tell (it may let itself be passed but not read)."""
    try:
        names = files.operations.names(folder, _TOO_MANY)
        return frozenset(names) if len(names) < _TOO_MANY else None
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError:
        return None
