"""Signals that a process takes over, and that what it starts must not inherit.

A signal that is ignored (``SIG_IGN``) stays so in every child, also through ``exec``: then
``Popen(...).terminate()`` ends nothing. One with a handler is as usual again after ``exec``, and
after a bare ``fork`` by what is here.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

#: The handler of each signal that was taken over.
_taken: dict[int, Handler] = {}
#: What the forking thread had blocked before.
_mine = threading.local()


def nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing."""


def take(numbers: Iterable[int], handler: Handler) -> None:
    """Handle signals in this process, and in no child of it; only from the main thread."""
    if not _taken:
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_give_back)
    for number in numbers:
        signal.signal(number, handler)
        # system calls of compiled code go on by themselves, where the system can do that
        signal.siginterrupt(number, False)
        _taken[number] = handler


def _hold() -> None:
    """Let no signal reach a child before it is its own."""
    _mine.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _taken)


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mine.mask)


def _give_back() -> None:
    """In a forked child: what nobody has changed meanwhile does what it usually does."""
    for number, handler in _taken.items():
        if signal.getsignal(number) is handler:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)
    _taken.clear()
    try:
        _release()
    except KeyboardInterrupt:  # it came before the child began: raised here, it would be lost
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
