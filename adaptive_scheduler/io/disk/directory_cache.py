"""Caches which files exist: a folder is listed once instead of one stat per file."""

from __future__ import annotations

import os
from collections import Counter

from adaptive_scheduler.io.disk import files

#: Files of a folder that are looked up one by one; from then on the folder is listed.
_SINGLE = 100
#: Folders with more names than this are not listed: single lookups take less time.
_TOO_MANY = 500_000


class DirectoryCache:
    """Tells which paths certainly do not exist.

    100,000 lookups take minutes on a busy Lustre, listing one folder takes a second. Listings are
    never refreshed: make a new cache for each pass.
    """

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._names: dict[str, frozenset[str] | None] = {}

    def may_exist(self, path: str) -> bool:
        """Whether `path` (absolute, normalized) may exist; False if it certainly does not."""
        folder, name = os.path.split(path)
        if folder not in self._names:
            self._asked[folder] += 1
            if self._asked[folder] <= _SINGLE:
                return True
            self._names[folder] = _read(folder)
        names = self._names[folder]
        return names is None or name in names

    def has_data(self, path: str) -> bool:
        """Whether `path` exists in a listed folder, or else is a file that is not empty."""
        if not self.may_exist(path):
            return False
        if self._names.get(os.path.dirname(path)) is not None:  # noqa: PTH120  a str, not a Path
            return True
        return files.has_content(path)


def _read(folder: str) -> frozenset[str] | None:
    """Names in a folder; None if it cannot be listed (such as mode 0100) or is too large."""
    try:
        names = files.operations.names(folder, _TOO_MANY)
        return frozenset(names) if len(names) < _TOO_MANY else None
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError:
        return None
