"""A real disk on which one call fails, or is the last of its process."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from adaptive_scheduler.io.disk.syscalls import Operations

#: Calls that change something, and calls that only look.
CHANGING = (
    "open", "write", "fsync", "truncate", "fchmod", "close", "mkdir", "chmod", "rename", "link",
    "unlink",
)  # fmt: skip
LOOKING = ("read", "read_at", "seek", "fstat", "stat", "names")
#: What a full disk refuses; names can be removed and files closed on it.
NEEDS_ROOM = ("write", "fsync", "mkdir", "link")


@dataclass(frozen=True)
class Fault:
    """What happens at one call.

    Attributes
    ----------
    number : int
        An errno; 0: the process dies.
    late : bool
        The call (of a write: its first half) is carried out before.
    lasting : bool
        It is so at each later call, too, until the disk is mended.
    """

    number: int
    late: bool = False
    lasting: bool = False

    @property
    def name(self) -> str:
        """For people."""
        words = [errno.errorcode[self.number] if self.number else "death"]
        return " ".join(words + ["half way"] * self.late + ["lasting"] * self.lasting)

    def applies(self, call: str) -> bool:
        """Whether a call may end so, and whether that is another trial than the call before it.

        Looking changes nothing, so that to die there is to die after the call before; it fails
        with EIO. To die after a call is to die before the next; but a write has a middle.
        """
        if call in LOOKING:
            return call != "seek" and self == Fault(errno.EIO)
        return bool(self.number) or not self.late or call == "write"


DEATHS = (Fault(0), Fault(0, late=True))
ERRORS = tuple(
    Fault(number, late, lasting)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    for late in (False, True)
    for lasting in (False, True)
)
#: Fewer of them, in which each property of `ERRORS` occurs.
FEW_ERRORS = (
    Fault(errno.ENOSPC, late=True), Fault(errno.ENOSPC, lasting=True), Fault(errno.EDQUOT),
    Fault(errno.EIO), Fault(errno.EIO, late=True, lasting=True),
)  # fmt: skip


class QuickDisk(Operations):
    """A real disk without fsync, which takes long and saves nobody from a mere kill."""

    def fsync(self, fd: int) -> None:
        os.fstat(fd)


class BrokenDisk(QuickDisk):
    """Carries out everything, but for the call number `at`.

    Parameters
    ----------
    at : int
        Counts from 0, over all calls; -1: nothing is broken.
    fault : Fault

    Attributes
    ----------
    calls : list of str
        What was asked for so far.
    struck : int
        How often the fault came.
    """

    def __init__(self, at: int = -1, fault: Fault = Fault(0)) -> None:
        self.calls: list[str] = []
        self.struck = 0
        self._at = at
        self._fault = fault

    def mend(self) -> None:
        """Nothing is broken any more."""
        self._at = -1

    def carry_out(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        """Do it, or not."""
        number = len(self.calls)
        self.calls.append(name)
        if not self._is_struck(number, name, args):
            return real(self, *args)
        self.struck += 1
        if name == "close" or (self._fault.late and name not in ("open", "mkdir", "write")):
            real(self, *args)  # Linux closes a file whatever close(2) returns
        elif self._fault.late and name == "write":
            half = args[1][: len(args[1]) // 2]
            real(self, args[0], half)
            if self._fault.number and half:  # a short write: the next call says why
                self._at, self._fault = self._at + 1, replace(self._fault, late=False)
                return len(half)
        if self._fault.number == 0:
            os._exit(9)
        raise OSError(self._fault.number, os.strerror(self._fault.number))

    def _is_struck(self, number: int, name: str, args: tuple[Any, ...]) -> bool:
        if self._at < 0 or number < self._at:
            return False
        if number == self._at:
            return True
        if not self._fault.lasting:
            return False
        if self._fault.number == errno.EIO:
            return name in CHANGING
        return name in NEEDS_ROOM or (name == "open" and bool(args[1] & os.O_CREAT))


def _method(name: str) -> Callable[..., Any]:
    real = getattr(QuickDisk, name)

    def call(self: BrokenDisk, *args: Any) -> Any:
        return self.carry_out(name, real, *args)

    return call


for _name in (*CHANGING, *LOOKING):
    setattr(BrokenDisk, _name, _method(_name))
