"""Starts, finds and signals the processes of jobs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from adaptive_scheduler.io.system.child_process import environment_of
from adaptive_scheduler.localbatch.folder import FOLDER_VARIABLE, Folder, try_lock
from adaptive_scheduler.localbatch.rules import BatchJob, Spec, interpreter, output_path

JOB_VARIABLE = "LOCALBATCH_JOB_ID"
RESTART_VARIABLE = "LOCALBATCH_RESTART"

# The watcher of a job. Its standard input is the job's record, whose lock it holds while it is
# alive; the job itself does not inherit it. The traps keep the watcher alive when its job is
# signalled; the shell resets them in children.
_WATCHER = """
trap : TERM INT HUP QUIT USR1 USR2 ALRM
echo "started $$" >&0
"$@" </dev/null
echo "exit $?" >&0
"""


class Process(NamedTuple):
    """A live process of this user."""

    pid: int
    session: int
    job_id: str | None  # by its environment, if it belongs to this batch system


def start(folder: Folder, job: BatchJob, spec: Spec, script: bytes) -> subprocess.Popen[bytes]:
    """Start a job as the leader of its own session.

    Raises
    ------
    OSError
        Its folder, its output or its script cannot be opened.
    """
    record = try_lock(folder.record(job.id, job.restart))
    if record is None:
        raise BlockingIOError(f"{folder.record(job.id, job.restart)} is locked")
    try:
        output = _open_output(output_path(spec, job), spec.umask)
        try:
            return subprocess.Popen(
                [
                    "/bin/sh",
                    "-c",
                    _WATCHER,
                    "localbatch",
                    *interpreter(script),
                    _copy(folder, job.submit, script),
                ],
                stdin=record,
                stdout=output,
                stderr=output,
                cwd=spec.chdir,
                env=_environment(folder, job, spec),
                umask=spec.umask,
                start_new_session=True,
            )
        finally:
            os.close(output)
    finally:
        os.close(record)


def _environment(folder: Folder, job: BatchJob, spec: Spec) -> dict[str, str]:
    own = {
        JOB_VARIABLE: job.id,
        RESTART_VARIABLE: str(job.restart),
        FOLDER_VARIABLE: folder.path,
    }
    return spec.environ | own


def _open_output(path: str, umask: int) -> int:
    previous = os.umask(umask)  # the user's umask, not the server's: groups share results
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    finally:
        os.umask(previous)


def _copy(folder: Folder, submit: int, script: bytes) -> str:
    """A copy of the script as it was submitted, even if its author has changed it since."""
    path = Path(folder.script(submit))
    if not path.exists():
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_bytes(script)
        fresh.rename(path)
    return str(path)


def is_alive(folder: Folder, job: BatchJob) -> bool:
    """Whether the job's watcher is alive."""
    lock = try_lock(folder.record(job.id, job.restart))
    if lock is None:
        return True
    os.close(lock)
    return False


def read_record(folder: Folder, job: BatchJob) -> str:
    """What the job's watcher wrote: ``started PID``, then ``exit CODE``; "" if nothing."""
    try:
        return Path(folder.record(job.id, job.restart)).read_text()
    except FileNotFoundError:
        return ""


def leader(folder: Folder, job: BatchJob) -> int | None:
    """The session of the job, which is the pid of its watcher; None if not known."""
    words = read_record(folder, job).split()
    return int(words[1]) if len(words) > 1 else None


def find_processes(folder: Folder) -> list[Process]:
    """All live processes of this user."""
    return [process for pid in _own_pids() if (process := _read_process(pid, folder))]


def members(
    processes: Iterable[Process], job_ids: Collection[str], sessions: Collection[int]
) -> list[int]:
    """The pids that belong to these jobs, by their environment or by their session."""
    return [p.pid for p in processes if p.job_id in job_ids or p.session in sessions]


def _own_pids() -> Iterator[int]:
    user = os.geteuid()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if entry.stat().st_uid == user:
                    yield int(entry.name)
            except FileNotFoundError:  # it has just ended
                continue


def _read_process(pid: int, folder: Folder) -> Process | None:
    """Read one process from ``/proc``; None if it has ended or is a zombie."""
    try:
        # the name, in parentheses, may hold anything; after it come state, parent, group, session
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        environ = environment_of(pid)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[3]), _job_of(environ, folder))


def _job_of(environ: list[bytes], folder: Folder) -> str | None:
    if os.fsencode(f"{FOLDER_VARIABLE}={folder.path}") not in environ:
        return None
    prefix = f"{JOB_VARIABLE}=".encode()
    found = [entry for entry in environ if entry.startswith(prefix)]
    return os.fsdecode(found[0][len(prefix) :]) if found else None


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes; those that have ended meanwhile are skipped."""
    for pid in pids:
        try:
            os.kill(pid, number)
            if number is signal.SIGTERM:
                os.kill(pid, signal.SIGCONT)  # a stopped process would not see it
        except (ProcessLookupError, PermissionError):
            continue
