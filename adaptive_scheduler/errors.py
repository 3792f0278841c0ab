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

Each message names the thing, the reason and the remedy. Each docstring says when the error comes (`When`), what to
do (`Remedy`) and what it looks like (`Example`): ``adaptive-scheduler help NAME`` and docs/errors.md show them.
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
    """Base of every error raised on purpose by this package.

    When: never itself, only the errors below it. `except AdaptiveSchedulerError` catches all of
    them; what your own code raised in a job comes as `UserCodeError`.

    Remedy: look up the error that its message begins with.

    Example: adaptive_scheduler.errors.InputError: cores=0 must be a whole number of at
    least 1.
    """


class InputError(AdaptiveSchedulerError, ValueError):
    """An argument is wrong. Raised before anything is written or submitted.

    When: an option, a file of a sweep or search, a learners file or a word on the command
    line says what cannot be meant or done. It is a `ValueError`, too; a command ends with
    code 2.

    Remedy: correct what the message names, and run the same again. Nothing was written or
    submitted.

    Example: cores=0 must be a whole number of at least 1.
    """


class UnknownArgumentError(InputError, TypeError):
    """There is no argument of this name; names those that are spelt alike.

    When: a keyword or a key is spelt wrong, or belongs to another scheduler, class or
    version. It is a `TypeError`, too.

    Remedy: take the name that the message offers. The page of all options (docs/options.md)
    has every name.

    Example: SLURM: unknown argument 'walltme'. Did you mean 'walltime'?
    """


class UserCodeError(AdaptiveSchedulerError):
    """Code of the user's (function, goal, initializer, load or save) raised an error.

    When: your own code raised: where it ran, its type and its text are in the message, its
    traceback in `traceback_text`, which `adaptive-scheduler logs RUN LEARNER` shows.

    Remedy: mend that code, then `retry` (`run_manager.retry()` or `adaptive-scheduler retry
    RUN`). Points that are there are kept.

    Example: your goal raised AttributeError: 'Learner1D' object has no attribute 'points'

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
    """A process that evaluated points was killed, ran out of memory, or crashed.

    When: a worker process of a job ended before it could report: the kernel's memory killer, a
    crash in C
    or Fortran, `os._exit`, a lost node.

    Remedy: look at the end of the job's output (`adaptive-scheduler logs RUN LEARNER`). Out
    of memory: ask for more (`memory=`) or for fewer `cores` on a node. A crash: run that
    point alone. It is tried again up to `max_crashes` times.

    Example: a worker process died while it evaluated your function (killed, out of memory,
    or crashed); the job's output may say why
    """


class TaskError(AdaptiveSchedulerError):
    """A task was lost, killed, took too long, or could not be started; no exception of its own.

    When: `future.result()` of a task which ended without a value and without a Python
    exception: an exit status other than 0, a signal, `timeout=`, a dead process, a result
    file that is missing, a task before it (`after=`) that failed, too many whole walltimes.

    Remedy: `adaptive-scheduler task RUN ID` shows its tries, its files and the end of its
    output. Mend the cause, then `adaptive-scheduler retry RUN ID`; `retries=` tries such
    tasks again by themselves.

    Example: task 0, job here:vm:19181.1, node vm, at most 0.02 GiB of memory, after 0.00196
    s, try 1: ended with status 3. Its output: areas/logs/task-0a61ca4a2cce4b7d.log
    """


class UnpicklableError(AdaptiveSchedulerError):
    """A function or an argument of a task cannot be pickled, or its value cannot be unpickled here.

    When: at submit, if what you hand over holds an open file, a lock, a connection, a
    generator, or is too large; at `result()`, if the value's class cannot be imported where
    you are.

    Remedy: hand over names and numbers, and open files inside the function; return plain
    data (numbers, texts, lists, arrays). Put what is large into a file and hand over its
    path.

    Example: argument 0 cannot be pickled, so no job can load it: it raises TypeError:
    cannot pickle '_thread.lock' object. Make that part inside the function instead (files,
    locks, connections), or give a plain value.
    """


class PointTimeoutError(AdaptiveSchedulerError):
    """An evaluation took longer than `point_timeout`.

    When: a point ran longer than the limit that you gave. The learner has then failed once;
    points that are there are saved.

    Remedy: see with that point alone whether the function hangs. If it is only slow, give a
    longer `point_timeout`, then `retry`.

    Example: a point took longer than point_timeout=600 s: x=0.5

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
    """Python, a module or MPI on the node is not what the run needs.

    When: a job starts with another Python or other packages than yours, `mpi4py` and
    `mpiexec` are of different MPIs, or an extra such as `[loky]` is missing there.

    Remedy: jobs need your environment: activate it in `setup=[...]` of the scheduler, load
    the module of the MPI that `mpi4py` was built with, or `pip install` the extra that is
    named. `adaptive-scheduler doctor --scheduler slurm` tries it with one small job.

    Example: executor_type='loky' needs the package loky on the node: pip install
    'adaptive-scheduler[loky]'
    """


class FileError(AdaptiveSchedulerError):
    """A file cannot be read or written.

    When: the disk is full, a quota is used up, a folder is not writable or not there, or a
    file was made by another version. `path` is the file.

    Remedy: free some room, or mend the path that is named. What was confirmed is kept; a
    run that is held for it goes on after `adaptive-scheduler resume RUN`.

    Example: /scratch/me/run/db.tinydb: No space left on device (OSError)

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
    """The database file or its journal cannot be read or written.

    When: `db.tinydb` is missing, was edited by hand, or is no database of this package.

    Remedy: name the folder of a run, or restore the file from a copy. Move it away to start
    anew: the data files in `fnames` are kept, and learners go on from them.

    Example: runs/sweep/db.tinydb: is not a TinyDB file (JSON is malformed). Restore it, or
    move it away to start anew.
    """


class DataFileError(FileError):
    """A learner's data file or point journal cannot be read or written.

    When: a file in `fnames` is cut, of another kind of learner, or cannot be unpickled in
    this environment; or your learner's `save` wrote nothing. It is never overwritten.

    Remedy: move the file away (that learner starts anew), give another fname, or use the
    environment in which it was written. Then `retry`.

    Example: data/offset_0.1: does not hold the data of this Learner2D (KeyError: 'x'). Move
    it away, or give another fname.
    """


class PermissionsError(FileError):
    """A file or folder that must be private is open to, or belongs to, another user.

    When: a run's keys, pickles or data could be changed by somebody else, and loading them
    could run their code as you.

    Remedy: run the `chmod` that the message has, or choose another folder. Look first who
    changed it, and why.

    Example: runs/sweep/db.tinydb.run: is open to other users. Mend it with: chmod 700
    runs/sweep/db.tinydb.run
    """


class FarHostError(AdaptiveSchedulerError):
    """A host cannot be reached by ssh, or lacks what is needed there.

    When: a folder is `ssh://...`, and ssh asks for a password, does not know the host, the
    connection broke, or there is no such `python=` there.

    Remedy: `ssh HOST true` must work without a question: set up a key and an agent, or a
    master connection. Give the path of the Python there as `python=`. docs/remote.md has
    the list of what is needed.

    Example: login.cluster.org: it does not let you in without a password. Give it your key
    (ssh-copy-id login.cluster.org), or load the key into an agent (ssh-add).
    """


class RunError(AdaptiveSchedulerError):
    """The run folder is missing, is locked, or belongs to another run.

    When: RUN on the command line or `attach(folder)` names no run, or several are there;
    another manager of it lives; the folder has a run of another kind or of other learners.

    Remedy: name the folder that has `db.tinydb` in it. Of two managers keep the one that
    lives: `adaptive-scheduler status RUN` names its host. For something new, take another
    folder.

    Example: runs/sweep: a manager of this run lives already, and there can be only one. See
    it with: adaptive-scheduler status runs/sweep
    """


class SchedulerError(AdaptiveSchedulerError):
    """The batch system failed, or refused a request.

    When: `scancel`, `qdel` or another program ended with an error, or the small job of
    `RunManager(..., check=True)` found a fault.

    Remedy: read the batch system's own words in the message. What it could not do is tried
    again while the run lives.

    Example: scancel (exit status 1): Unable to contact slurm controller
    """


class NoObservation(SchedulerError):  # noqa: N818  no fault of anybody
    """The batch system's answer is unreliable, so nothing is concluded from it.

    When: `squeue` or `qstat` timed out, answered with half a list, or the controller
    restarts. No job is thought dead for it.

    Remedy: nothing, as a rule: the queue is asked again by itself. If the error stays, see
    whether `squeue` works
    in your shell, and tell your administrator.

    Example: squeue (exit status 1): slurm_load_jobs error: Unable to contact slurm
    controller
    """


class SubmitRefusedError(SchedulerError):
    """The batch system refuses the jobs; the message has its text.

    When: a partition, queue, account or QOS that is not there or not yours, a walltime
    above the limit, more cores than a node has. The run is held.

    Remedy: mend the option, start again in the same folder, or `adaptive-scheduler resume
    RUN`. `adaptive-scheduler doctor` tries one job beforehand.

    Example: sbatch (exit status 1): error: invalid partition specified: compte
    """


class CommandMissingError(SchedulerError):
    """A program of the batch system is not installed on this host.

    When: `sbatch`, `squeue`, `qsub`, `ssh` or the like is not on `PATH`: mostly because
    this is no host of the cluster.

    Remedy: run on a login node of the cluster, load its module, or take
    `LocalScheduler(cores=...)` on this machine.

    Example: SLURM needs sbatch, squeue, scancel, not found on PATH. Run on a login node of
    the cluster, or use LocalScheduler(cores=...) on this machine.
    """


class ManagerError(AdaptiveSchedulerError):
    """The manager, or the communication with it, failed.

    When: never itself: one of those below it is raised. `except ManagerError` catches what
    concerns the manager.

    Remedy: see the error that was raised. `manager.log` in the run's private folder
    (`db.tinydb.run`) has the manager's own words. Jobs go on meanwhile.

    Example: adaptive_scheduler.errors.ManagerUnreachableError: there is no connection to
    the manager of login.cluster.org:/scratch/me/areas.
    """


class ManagerUnreachableError(ManagerError):
    """The manager does not answer. It may come back, so trying again makes sense.

    When: the manager died, its host is down or busy, or a firewall lies between. Jobs go
    on, and keep what they have.

    Remedy: `adaptive-scheduler status RUN` says where it was; `adaptive-scheduler resume
    RUN` starts another. Between hosts give `interface=` or `ports=`.

    Example: the manager of runs/sweep/db.tinydb does not answer at tcp://10.0.0.7:50013
    (host login1, process 4242).
    """


class ProtocolError(ManagerError):
    """A message cannot be decoded, or is of another version.

    When: manager and job, or the two ends of an ssh link, are of different versions of this
    package.

    Remedy: use one environment everywhere. After an upgrade end the run's jobs (`cancel`),
    then `resume`.

    Example: a message of version 3, but this is version 4: the manager and its jobs or
    drivers use different versions of adaptive_scheduler. Use one environment for all.
    """


class RequestRefusedError(ManagerError):
    """The manager refused a request.

    When: a job whose learner another job has meanwhile (`stale_token`), a run that is over
    or cancelled, a learner or task that is not there. `code` is for programs.

    Remedy: look at `adaptive-scheduler status RUN`. In a job nothing is to be done: it
    ends, and the newer one goes on.

    Example: 'data/offset_0.1' was not saved: another job has this learner now.

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
