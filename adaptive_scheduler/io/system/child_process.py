"""A child process in a process group of its own: started quickly, watched by a pidfd, reaped once.

By `posix_spawn`: it takes half of the time of `subprocess.Popen`, and agents start thousands of
programs. What it lacks is done by this process, which therefore has one thread only: it goes into
the child's folder for a moment, and binds itself to the child's cores until it binds itself to
others, or calls `unbind`: changing the cores is what takes longest.

Each rank of a task imports this: not `dataclasses`, which takes as long as all the rest.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from adaptive_scheduler.executors import signals

T = TypeVar("T")

#: Every process of a job gets them.
_HEADS_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: prctl(2).
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
#: Added to what the kernel chooses by if memory runs out: it is to take the task, not the agent.
_OOM = b"500"
#: Ignored by Python, and not to be ignored by programs.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
#: See fork(2), open(2), execve(2); the last: somebody writes the program at the moment.
_SHORTAGES = frozenset(
    (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ETXTBSY)
)
#: Seconds between tries while there is a shortage.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
#: Seconds that a program may take to be executed, and between two looks at it.
_EXECUTION, _INSTANT = 1.0, 0.0005
#: Fields behind the name in /proc/PID/stat, see proc(5); flags: see PF_EXITING, PF_KTHREAD in Linux's sched.h.
_STATE, _FLAGS, _START_CODE, _ENV_END = 0, 6, 23, 48
_ENDING, _KERNELS = 0x4, 0x200000
#: Ticks of the times in /proc/PID/stat in a second, see proc(5).
_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessEnd(NamedTuple):
    """How a process ended: exit status, or signal, and the most memory it had (bytes).

    The memory is that of its largest process: itself, or one that it has waited for. What the
    process that started it had at that moment is the least that Linux tells (`getrusage(2)`).
    """

    status: int
    signal: int
    peak: int

    @property
    def killed_by(self) -> int:
        """The signal that killed it, or a program of a shell's that it waited for; 0: none."""
        return self.signal or (self.status - 128 if self.status in _SHELL_KILLED else 0)


#: Exit status of a shell whose program was killed: 128 and the signal's number (POSIX, 2.8.2).
_SHELL_KILLED = range(129, 129 + signal.SIGRTMAX)


class Streams(NamedTuple):
    """File descriptors of a child's standard input, output and error.

    Without an input, that is empty; without one of the others, it is that of this process.
    """

    input: int | None
    output: int | None
    error: int | None

    def actions(self) -> list[Any]:
        """What `posix_spawn` is to do for them."""
        first: Any = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        if self.input is not None:
            first = os.POSIX_SPAWN_DUP2, self.input, 0
        others = (self.error, 2), (self.output, 1)
        return [first, *((os.POSIX_SPAWN_DUP2, fd, to) for fd, to in others if fd is not None)]


class Child:
    """A process and its process group.

    Parameters
    ----------
    argv : list of str
    env : mapping of str to str
    cwd : str
    output : int or Streams, optional
        File descriptor of its standard output and error, or of all three; None: those of this
        process, and an empty input.
    inherit : sequence of int
        File descriptors that it has as well.
    cores : iterable of int
        It may use; those that this machine lacks are left out.

    Attributes
    ----------
    pid, pidfd : int
    """

    def __init__(
        self,
        argv: list[str],
        env: Mapping[str, str],
        *,
        cwd: str,
        output: int | Streams | None = None,
        inherit: Sequence[int] = (),
        cores: Iterable[int] = (),
    ) -> None:
        streams = output if isinstance(output, Streams) else Streams(None, output, output)
        actions = streams.actions()
        actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in inherit]
        _bind_to(cores)
        with _in_folder(cwd):
            self.pid = os.posix_spawn(
                _program(argv[0], env), argv, env, file_actions=actions, setpgroup=0,
                setsigdef=_DEFAULT_SIGNALS,
            )  # fmt: skip
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except OSError:  # too many files: it may be started again, and must not run twice
            self.send(signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise

    def prefer_when_memory_is_short(self) -> None:
        """Let the kernel take it, and what it starts, before the processes of the job itself."""
        with suppress(OSError):  # it has ended, or the machine does not allow it
            fd = os.open(f"/proc/{self.pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, _OOM)
            finally:
                os.close(fd)

    def send(self, number: int) -> None:
        """Send a signal to the whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def send_alone(self, number: int) -> None:
        """Send a signal to it, not to its group."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def peek(self) -> ProcessEnd:
        """Wait until it has ended; it keeps its number, so that its group can still be signalled."""
        info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        assert info is not None
        is_exit = info.si_code == os.CLD_EXITED
        return ProcessEnd(info.si_status if is_exit else 0, 0 if is_exit else info.si_status, 0)

    def reap(self) -> ProcessEnd:
        """Kill what is left of its group, itself too if it has not ended, and free its number."""
        self.send(signal.SIGKILL)  # its number cannot be another's yet: it is not reaped
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self.pidfd)
        code = os.waitstatus_to_exitcode(status)
        return ProcessEnd(max(code, 0), max(-code, 0), usage.ru_maxrss * 1024)


#: Where programs are, by their name and the folders in which they were looked for.
_found: dict[tuple[str, str | None], str] = {}


def patiently(start: Callable[[], T]) -> T:
    """Start something; try again for a second and a half if the machine has no room for it.

    Raises
    ------
    OSError
        See `is_shortage`.
    """
    for pause in _PAUSES:
        try:
            return start()
        except OSError as error:
            if not is_shortage(error):
                raise
            time.sleep(pause)
    return start()


def is_shortage(error: OSError) -> bool:
    """Whether the machine has too few processes, files or memory left: not the task's fault."""
    return error.errno in _SHORTAGES


def _program(name: str, env: Mapping[str, str]) -> str:
    """Where a program is; OSError that names it if it is nowhere."""
    if "/" in name:
        return name
    key = name, env.get("PATH")
    path = _found.get(key)
    if path is None or not os.access(path, os.X_OK):
        path = _found[key] = _search(name, env)
    return path


def _search(name: str, env: Mapping[str, str]) -> str:
    for folder in os.get_exec_path(env):
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112  as it is called often
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


@contextmanager
def _in_folder(path: str) -> Iterator[None]:
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir("/")  # no folder is kept busy


class _Cores:
    """The cores that this process may use, and those that it uses at the moment."""

    all: frozenset[int] = frozenset()
    now: frozenset[int] = frozenset()


def _bind_to(cores: Iterable[int]) -> None:
    """Use these cores, as far as there are any of them; else all."""
    if not _Cores.all:
        _Cores.all = _Cores.now = frozenset(os.sched_getaffinity(0))
    wanted = _Cores.all.intersection(cores) or _Cores.all
    if wanted != _Cores.now:
        os.sched_setaffinity(0, wanted)
        _Cores.now = wanted


def unbind() -> None:
    """Use all cores again: not only that of the last child."""
    _bind_to(())


# --------------------------------------------------------------------------- this process


def leave_signals_to_head() -> None:
    """Do nothing at signals by which batch systems end or warn jobs: the head says when it is time.

    By a handler: what is ignored stays ignored in the programs that are started.
    """
    signals.take(_HEADS_SIGNALS, signals.nothing)


def become_subreaper() -> None:
    """Let orphans of this process's descendants become its own children."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Be killed when the thread ends that has started this process."""
    signal_with_parent(signal.SIGKILL)


def signal_with_parent(number: int) -> None:
    """Get a signal when the thread ends that has started this process."""
    _prctl(_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# --------------------------------------------------------------------------- its children


def children() -> set[int]:
    """Pids of the children of this process, also of those that have ended and are not reaped."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208  called often
        found.update(map(int, _read(f"/proc/self/task/{thread}/children").split()))
    return found


def children_of_thread() -> set[int]:
    """The same of this thread alone, in half of the time."""
    return set(map(int, _read("/proc/thread-self/children").split()))


def variable_of(pid: int, name: str) -> str | None:
    """The value that a variable had when a process was started; None if it had none, or has ended."""
    prefix = f"{name}=".encode()
    for entry in environment_of(pid):
        if entry.startswith(prefix):
            return os.fsdecode(entry[len(prefix) :])
    return None


def has_variables(pid: int, marks: Mapping[str, str]) -> bool:
    """Whether a process was started with all of these variables; False if it has ended."""
    entries = environment_of(pid)
    return all(os.fsencode(f"{name}={value}") in entries for name, value in marks.items())


def environment_of(pid: int) -> list[bytes]:
    """The variables with which a process was started, as ``NAME=value``; none if it has ended.

    The kernel shows none either while a program is just being executed: `execve` has returned to the one who
    started it, and what it was given is not in place yet. Then it is looked at again.
    """
    path = f"/proc/{pid}/environ"
    data = _read(path)
    end = time.monotonic() + _EXECUTION
    while not data and os.access(path, os.R_OK):  # not the kernel's own, nor another user's
        is_late = time.monotonic() > end  # before it is looked at: this process may be held up, too
        is_early = _is_being_executed(pid)
        data = _read(path)  # also if it no longer is: it may have been a moment ago
        if not is_early or is_late:
            break
        time.sleep(_INSTANT)
    return data.split(b"\0")


def _is_being_executed(pid: int) -> bool:
    """Whether a process has no environment yet, as its ``env_end`` says (proc(5)).

    None is ever shown of a process that this one must not look into; the kernel's own have none, and one that
    ends has none any more.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) <= _ENV_END or fields[_STATE] in (b"Z", b"X") or int(fields[_ENV_END]):
        return False
    is_hidden = fields[_START_CODE] == b"1"
    return not is_hidden and not int(fields[_FLAGS]) & (_ENDING | _KERNELS)


def begin_of(pid: int) -> float:
    """When a process was started, in seconds since the machine was; infinity if it has ended."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19]) / _TICKS if len(fields) > 19 else float("inf")


def kill(pid: int) -> None:
    """Kill a child; `reap` it when it has ended, which may take it a while.

    Nothing happens to one of another user's, as of ``sudo``.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _may_kill(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True


def reap(pid: int) -> bool:
    """Free the number of a child if it has ended; returns whether it has."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def reap_group(group: int) -> bool:
    """Free the numbers of children of a process group that have ended; returns whether none is left."""
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def end_all() -> None:
    """Kill all children, and what they leave behind, until there is none: only in a subreaper.

    Those of another user's, as of ``sudo``, are left.
    """
    while left := set(filter(_may_kill, children())):
        for pid in left:
            kill(pid)
        if not all(reap(pid) for pid in left):
            time.sleep(0.005)


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has ended
        return b""
    try:
        parts = []
        while part := os.read(fd, 2**16):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(fd)
