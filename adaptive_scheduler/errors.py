"""Every error that this package raises on purpose.

The tree::

    AdaptiveSchedulerError
    ├── InputError              an argument is wrong; nothing was submitted   (also a ValueError)
    │   └── UnknownArgumentError  there is no argument of this name           (also a TypeError)
    ├── UserCodeError           the user's function, goal, initializer, load or save raised an error
    ├── PointTimeoutError       the user's function took longer than `point_timeout`
    ├── WorkerDiedError         a process that evaluated points died
    ├── TaskError               a task was lost, killed, took too long, or could not be started
    ├── UnpicklableError        a function or argument of a task cannot be sent
    ├── EnvironmentMismatchError  Python, a module or MPI on the node is not what the run needs
    ├── FileError               a file cannot be read or written
    │   ├── DatabaseError         the database or its journal
    │   ├── DataFileError         a learner's data or its point journal
    │   └── PermissionsError      a secret file or folder is open to others
    ├── FarHostError            a host cannot be used by ssh, or lacks what is needed there
    ├── RunError                the run folder is missing, locked or belongs to another run
    ├── SchedulerError          the batch system
    │   ├── NoObservation         its answer is unreliable; not the same as "no jobs"
    │   ├── SubmitRefusedError    it refuses the jobs; the message has its text
    │   └── CommandMissingError   its programs are not installed here
    └── ManagerError            the manager
        ├── ManagerUnreachableError   it does not answer (it may come back: wait)
        ├── ProtocolError         a message that cannot be decoded
        └── RequestRefusedError   it refused a request; `code` says why

Each message names the thing, the reason and the remedy.
"""

from __future__ import annotations

import os

__all__ = [
    "AdaptiveSchedulerError",
    "CommandMissingError",
    "DataFileError",
    "DatabaseError",
    "EnvironmentMismatchError",
    "FarHostError",
    "FileError",
    "InputError",
    "ManagerError",
    "ManagerUnreachableError",
    "NoObservation",
    "PermissionsError",
    "PointTimeoutError",
    "ProtocolError",
    "RequestRefusedError",
    "RunError",
    "SchedulerError",
    "SubmitRefusedError",
    "TaskError",
    "UnknownArgumentError",
    "UnpicklableError",
    "UserCodeError",
    "WorkerDiedError",
]


def __dir__() -> list[str]:
    return sorted(__all__)


#: What is caught around the user's code in the user's own process; not KeyboardInterrupt, so that
#: Ctrl-C works. In a job, where signals raise nothing, BaseException is caught.
USER_RAISES = (Exception, SystemExit, GeneratorExit)


class AdaptiveSchedulerError(Exception):
    """Base of every error raised on purpose by this package."""


class InputError(AdaptiveSchedulerError, ValueError):
    """An argument is wrong. Raised before anything is written or submitted."""


class UnknownArgumentError(InputError, TypeError):
    """There is no argument of this name; names those that are spelt alike."""


class UserCodeError(AdaptiveSchedulerError):
    """Code of the user's (function, goal, initializer, load or save) raised an error.

    Parameters
    ----------
    where : str
        Which code, e.g. ``"function"``.
    reason : str
        Type and text of the exception, on one line.
    traceback_text : str
        The whole traceback, as text because the exception may come from another process.
    """

    def __init__(self, where: str, reason: str, traceback_text: str = "") -> None:
        super().__init__(f"your {where} raised {reason}")
        self.where = where
        self.reason = reason
        self.traceback_text = traceback_text

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.where, self.reason, self.traceback_text))


class WorkerDiedError(AdaptiveSchedulerError):
    """A process that evaluated points was killed, ran out of memory, or crashed."""


class TaskError(AdaptiveSchedulerError):
    """A task was lost, killed, took too long, or could not be started; no exception of its own."""


class UnpicklableError(AdaptiveSchedulerError):
    """A function or an argument of a task cannot be pickled, or its value cannot be unpickled here."""


class PointTimeoutError(AdaptiveSchedulerError):
    """An evaluation took longer than `point_timeout`.

    Parameters
    ----------
    limit : float
        The limit in seconds.
    which : str
        The point, e.g. ``"x=0.5"``.
    """

    def __init__(self, limit: float, which: str) -> None:
        super().__init__(f"a point took longer than point_timeout={limit:g} s: {which}")
        self.limit = limit
        self.which = which

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.limit, self.which))


class EnvironmentMismatchError(AdaptiveSchedulerError):
    """Python, a module or MPI on the node is not what the run needs."""


class FileError(AdaptiveSchedulerError):
    """A file cannot be read or written.

    Parameters
    ----------
    path : path-like
        The file.
    reason : str
        What is wrong and what to do about it.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.path, self.reason))


class DatabaseError(FileError):
    """The database file or its journal cannot be read or written."""


class DataFileError(FileError):
    """A learner's data file or point journal cannot be read or written."""


class PermissionsError(FileError):
    """A file or folder that must be private is open to other users, or belongs to one."""


class FarHostError(AdaptiveSchedulerError):
    """A host cannot be reached by ssh, or lacks what is needed there."""


class RunError(AdaptiveSchedulerError):
    """The run folder is missing, is locked, or belongs to another run."""


class SchedulerError(AdaptiveSchedulerError):
    """The batch system failed, or refused a request."""


class NoObservation(SchedulerError):  # noqa: N818  no fault of anybody
    """The batch system's answer is unreliable, so nothing is concluded from it."""


class SubmitRefusedError(SchedulerError):
    """The batch system refuses the jobs; the message has its text."""


class CommandMissingError(SchedulerError):
    """A program of the batch system is not installed on this host."""


class ManagerError(AdaptiveSchedulerError):
    """The manager, or the communication with it, failed."""


class ManagerUnreachableError(ManagerError):
    """The manager does not answer. It may come back, so trying again makes sense."""


class ProtocolError(ManagerError):
    """A message cannot be decoded, or is of another version."""


class RequestRefusedError(ManagerError):
    """The manager refused a request.

    Parameters
    ----------
    code : str
        For programs to compare, e.g. ``"stale_token"``.
    reason : str
        For people to read.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.code, self.reason))
