"""Calls of the server that may take long, in threads that do not keep it from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns.

    Its thread is a daemon, which those of an executor are not: a call that hangs in a file system
    would keep the process alive after Ctrl-C.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001  raised where it is awaited
            done.set_exception(error)

    threading.Thread(target=run, name="web", daemon=True).start()
    return await asyncio.wrap_future(done)
