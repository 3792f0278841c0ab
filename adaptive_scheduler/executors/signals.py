"""Handles signals in this process without its children inheriting that.

A signal that is ignored (``SIG_IGN``) stays ignored in every child, also after ``exec``: then
``Popen(...).terminate()`` has no effect. One with a handler gets its default back at ``exec``; this
module gives it back after a ``fork`` without ``exec``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

#: The handler of each signal that was set by `take`.
_taken: dict[int, Handler] = {}
#: Signal mask of the forking thread before the fork.
_before_fork = threading.local()


def nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing."""


def take(numbers: Iterable[int], handler: Handler) -> None:
    """Set a handler in this process but not in its children; only from the main thread."""
    if not _taken:
        os.register_at_fork(
            before=_block, after_in_parent=_unblock, after_in_child=_restore_defaults
        )
    for number in numbers:
        signal.signal(number, handler)
        # restart interrupted system calls of compiled code
        signal.siginterrupt(number, False)
        _taken[number] = handler


def _block() -> None:
    """Block the signals, so that none reaches a child before `_restore_defaults`."""
    _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _taken)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _restore_defaults() -> None:
    """In a forked child: give the signals their default handlers, unless set otherwise since."""
    for number, handler in _taken.items():
        if signal.getsignal(number) is handler:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    _taken.clear()
    try:
        _unblock()
    except KeyboardInterrupt:  # pending since before the fork; raised here, it would be lost
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
