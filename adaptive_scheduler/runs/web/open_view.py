"""Makes the view of a run for one browser."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.runs.views.page.session import ViewSession
from adaptive_scheduler.runs.views.page.source import RunSource


@dataclass
class _Shared:
    source: RunSource
    users: int = 0


class Views:
    """Opens views. All of one run share a source: its manager is asked as often as for one.

    Parameters
    ----------
    may_change : bool
        Whether pages may change runs.
    make_source : callable
        Returns where a run is read.
    """

    def __init__(
        self, may_change: bool, make_source: Callable[[RunFolder], RunSource] = RunSource
    ) -> None:
        self._may_change = may_change
        self._make_source = make_source
        self._shared: dict[str, _Shared] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def open(self, folder: RunFolder) -> Iterator[ViewSession]:
        """Open a view of a run."""
        key = str(folder.database)
        with self._lock:
            shared = self._shared.setdefault(key, _Shared(self._make_source(folder)))
            shared.users += 1
        try:
            yield ViewSession(shared.source, self._may_change)
        finally:
            with self._lock:
                shared.users -= 1
                is_last = not shared.users
                if is_last:
                    del self._shared[key]
            if is_last:
                shared.source.close()
