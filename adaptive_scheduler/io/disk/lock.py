"""The lock of a run, which allows one manager at a time; works on NFS, where flock may not."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import FileError, RunError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.process_lock import one_at_a_time

#: Seconds between two updates of the lock file by its holder.
RENEW_SECONDS = 10.0
#: Seconds without an update after which a holder on another host may be dead.
STALE_SECONDS = 6 * RENEW_SECONDS
#: Seconds that a process which only prepares the run may hold the lock; 100,000 learners take 20.
PREPARE_SECONDS = 120.0


class Holder(msgspec.Struct, frozen=True):
    """Who holds the lock: the content of the lock file.

    `counter` grows each `RENEW_SECONDS` seconds. `prepares`: the process is no manager, it only
    writes the files that the next manager reads.
    """

    host: str
    pid: int
    boot: str
    started: float
    secret: str
    counter: int = 0
    prepares: bool = False


class Lock:
    """The lock of a run: its holder is the manager.

    Parameters
    ----------
    folder : RunFolder
    prepares : bool
        To write the run's files, not to be the manager.
    """

    def __init__(self, folder: RunFolder, *, prepares: bool = False) -> None:
        self._path = folder.lock
        self._me = Holder(
            socket.gethostname(),
            os.getpid(),
            boot_id(),
            started_at(os.getpid()),
            os.urandom(8).hex(),
            prepares=prepares,
        )
        self._next = 0.0
        self._problem = ""

    def acquire(self) -> None:
        """Take the lock; RunError if a live manager holds it.

        A holder that only prepares the run is waited for: two notebooks may start it at once.
        """
        end = time.monotonic() + PREPARE_SECONDS
        while (other := self._try()) is not None:
            if not other.prepares or time.monotonic() > end:
                raise RunError(
                    f"{self._path.parent}: the manager of this run is process {other.pid} on "
                    f"{other.host}. Attach to it, or stop it first."
                )
            time.sleep(0.05)
        self._next = time.monotonic() + RENEW_SECONDS

    def _try(self) -> Holder | None:
        """Take the lock, or return its live holder."""
        with one_at_a_time(self._path.parent):
            while not self._create():
                other = holder(self._path)
                if other is None:
                    continue  # released meanwhile
                if is_alive(self._path, other):
                    return other
                self._break(other)
        return None

    def _create(self) -> bool:
        """Create the lock file by a hard link, so that it appears with its content or not at all."""
        draft = files.temporary_name(self._path, os.urandom(4).hex())
        with files.naming(self._path):
            try:
                draft.touch(0o600)
                draft.write_bytes(msgspec.json.encode(self._me))
                os.link(draft, self._path)
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
        return True

    def _break(self, other: Holder) -> None:
        """Remove a dead manager's lock by a rename, so that only one of two processes succeeds."""
        moved_path = self._path.with_name(f"{self._path.name}.{os.urandom(4).hex()}")
        try:
            self._path.rename(moved_path)
        except FileNotFoundError:
            return
        moved = _read(moved_path)
        if (moved.secret if moved else "") != other.secret:  # another process had replaced it
            with suppress(FileExistsError):  # a third took it: the loser finds out in `renew`
                os.link(moved_path, self._path)
        moved_path.unlink()

    def renew(self) -> str:
        """Update the lock file if it is time; RunError if another manager took the lock.

        Returns
        -------
        str
            Why it cannot be updated, such as a full disk; "" if it can. The lock is held all the
            same, until another process takes it.
        """
        if time.monotonic() < self._next:
            return self._problem
        self._next = time.monotonic() + RENEW_SECONDS
        self.check()
        self._me = msgspec.structs.replace(self._me, counter=self._me.counter + 1)
        try:
            files.write_atomically(self._path, msgspec.json.encode(self._me), mode=0o600)
        except FileError as error:
            self._problem = str(error)
        else:
            self._problem = ""
        return self._problem

    def check(self) -> None:
        """Raise RunError if this process does not hold the lock any more."""
        now = holder(self._path)
        if now is None:
            raise RunError(
                f"{self._path} was removed, perhaps with the run's folder; this manager writes "
                "nothing more there and ends, jobs go on."
            )
        if now.secret != self._me.secret:
            raise RunError(
                f"{self._path}: another manager has taken over this run (this one was silent for "
                "too long); this one ends, jobs go on."
            )

    def is_held(self) -> bool:
        """Whether this process still holds it, as its file shows."""
        now = holder(self._path)
        return now is not None and now.secret == self._me.secret

    def release(self) -> None:
        """Release the lock, if this process still holds it."""
        if self.is_held():
            self._path.unlink(missing_ok=True)  # the folder may be removed just now


def holder(path: Path) -> Holder | None:
    """Return who holds the lock; None if nobody does."""
    try:
        return _read(path) or Holder("unknown", -1, "", 0.0, "")
    except FileNotFoundError:
        return None


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except NOT_DECODED:
        return None


def is_alive(path: Path, other: Holder) -> bool:
    """Whether the holder is alive: by its process on this host, by its updates on another."""
    if other.host == socket.gethostname():
        return other.boot == boot_id() and started_at(other.pid) == other.started
    deadline = time.monotonic() + 2.5 * RENEW_SECONDS
    if _age(path) > STALE_SECONDS:
        # clocks of two hosts may differ: wait and see whether the file still changes
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = holder(path)
            if now is None or now != other:
                return now is not None
        return False
    return True


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def boot_id() -> str:
    """The id of this boot of the host; "" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def started_at(pid: int) -> float:
    """Clock ticks from boot to the start of a process (pids are reused); 0 if it is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0.0
    fields = text[text.rindex(")") + 2 :].split()
    return 0.0 if fields[0] == "Z" else float(fields[19])
