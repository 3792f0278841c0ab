"""Readings that may take long, each in a thread: who asks waits for a moment, and goes on without."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Reads by key; of each key one reading at a time. Any thread may ask.

    Parameters
    ----------
    patience : float
        Seconds that who asks waits.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[T]] = {}

    def read(self, key: Hashable, work: Callable[[], T]) -> T | None:
        """Return what was read, or raise what it raised; None while it is still being read.

        What was read too late is what is returned the next time.
        """
        with self._lock:
            future = self._running.get(key)
            if future is None:
                future = Future()
                # a daemon: one that hangs in a file system keeps no process from ending
                threading.Thread(
                    target=_do, args=(work, future), name="reading", daemon=True
                ).start()
                self._running[key] = future  # now: there may be too many threads to start one
        try:
            found = future.exception(self._patience)
        except TimeoutError:
            return None
        with self._lock:
            if self._running.get(key) is future:
                del self._running[key]
        if found is not None:
            raise found
        return future.result()


def _do(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001  raised where it is asked for
        future.set_exception(error)
