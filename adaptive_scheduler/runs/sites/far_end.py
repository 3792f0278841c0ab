"""The program that ssh starts there: it does with a run what the driver here asks for.

``python -m adaptive_scheduler.runs.sites.far_end`` reads requests from its input and writes answers
to its output, until its input ends. Each request has a thread of its own: one that reads a slow disk
delays no other.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import PACKAGE, RunFolder
from adaptive_scheduler.core.wire.messages import VERSION
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import USER_RAISES, ManagerUnreachableError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling import by_value
from adaptive_scheduler.io.ssh.far_link import failure_of
from adaptive_scheduler.io.ssh.far_manager import Seen
from adaptive_scheduler.io.ssh.far_session import FarAnswer, FarRequest, pack
from adaptive_scheduler.io.transport.addresses import Address, split_url
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.runs.sites.local import (
    LocalSite,
    new_folder,
    put_in_place,
    put_links,
    write_parameters,
)
from adaptive_scheduler.runs.sites.site import Site

if TYPE_CHECKING:
    from adaptive_scheduler.runs.sites.remote_view import FarViews

#: Python 3.11.4 and later warn without a filter; the files come from the user's own driver.
_AS_THEY_ARE: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}

#: Seconds after which a driver that asks nothing is gone: one that is there looks twice a second. Its
#: connection may have ended without a word, and sshd waits for hours then.
SILENCE = 600.0
#: Seconds that what is under way may take when the driver has gone.
GRACE = 5.0

_decode = msgspec.msgpack.Decoder(FarRequest).decode
_encode = msgspec.msgpack.Encoder().encode


class FarHello(msgspec.Struct, frozen=True):
    """What there is.

    Attributes
    ----------
    version : str
        Of this package, and of its messages.
    python : str
        Minor version, ``"3.11"``.
    executable : str
    run : str
        The run's private folder.
    """

    version: str
    python: str
    executable: str
    run: str


def own_version() -> str:
    """Return the version of this package and of its messages."""
    return f"{sys.modules[PACKAGE].__version__} (messages {VERSION})"


def own_python() -> str:
    """Return Python's minor version: pickled code of another one cannot be run."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


class FarEnd:
    """What can be asked for; values are plain, so that they can travel."""

    def __init__(self) -> None:
        self._folder = RunFolder(os.devnull)
        self._site: Site | None = None
        self._archives: dict[str, IO[bytes]] = {}
        self._views: FarViews | None = None
        self._lock = threading.Lock()
        self.answers: dict[str, Callable[..., Any]] = {
            "enter": self.enter, "look": self.look, "start": self.start, "read": self.read,
            "missing_programs": self.missing_programs, "callables": self.callables,
            "put": self.put, "make_task_folder": self.make_task_folder,
            "view": self.view, "snapshot": self.snapshot,
        }  # fmt: skip

    def enter(self, path: str, begins: bool) -> FarHello:
        """Take up a run, or a folder for one."""
        is_private = not begins and path.endswith(".run")
        self._folder = RunFolder(path) if is_private else run_folder(path, "")
        site = self._site = LocalSite(self._folder)
        for name in ("exists", "lives", "is_closed", "count_unfinished", "rows", "results",
                     "table", "spec", "explain", "report"):  # fmt: skip
            self.answers[name] = getattr(site, name)
        self.answers["make_folder"] = lambda path: site.make_folder(Path(path))
        return FarHello(own_version(), own_python(), sys.executable, os.fspath(self._folder))

    def start(self, name: str, scheduler: bytes, timing: Any) -> None:
        """Start the manager."""
        made = by_value.loads(scheduler) if scheduler else None
        self.site.start(name, made, msgspec.convert(timing, Timing | None))

    @property
    def site(self) -> Site:
        """The run that was taken up."""
        assert self._site is not None, "enter comes first"
        return self._site

    def look(self, known: list[Any] | None) -> Seen | None:
        """Return where the manager is, unless that is known already."""
        where = self.site.whereabouts()
        identity = where.identity()
        if identity is None or list(identity) == known:  # type: ignore[call-overload]
            return None
        try:
            address = where.read_address()
        except ManagerUnreachableError:  # being written, or removed
            return None
        pair = where.client_keys()
        keys = pair.public.decode(), pair.secret.decode()
        return Seen(list(identity), address, keys, ways_to(address))  # type: ignore[call-overload]

    def missing_programs(self, scheduler: bytes) -> None:
        """Raise CommandMissingError if a program of the batch system is not installed."""
        self.site.refuse_missing_programs(by_value.loads(scheduler))

    def callables(self) -> bytes:
        """Return the file with the run's scheduler."""
        return files.read_private(self._folder.callables)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return a part of a file."""
        with open(path, "rb") as file:  # noqa: PTH123  a text that stays one
            file.seek(offset)
            return file.read(size)

    # ------------------------------------------------------------------- how the run stands

    def snapshot(self) -> Snapshot:
        """Return how the run stands."""
        with ManagerClient(self._folder) as client:
            return client.snapshot("active")

    def view(
        self, name: str, may_change: bool, message: dict[str, Any] | None, said: list[Any]
    ) -> list[dict[str, Any]]:
        """Hold a part of a conversation with a view; see `FarViews.answer`."""
        from adaptive_scheduler.runs.sites.remote_view import FarViews  # with what draws

        with self._lock:
            if self._views is None:
                self._views = FarViews(self._folder)
        return self._views.answer(name, may_change, message, said)

    # ------------------------------------------------------------------- folders of commands

    def put(self, name: str, offset: int, data: bytes) -> bool:
        """Take a part of an archive of files; False if those before are not here any more."""
        if offset == 0:
            self._archives[name] = tempfile.TemporaryFile()  # noqa: SIM115  closed when it is unpacked
        if name not in self._archives:
            return False
        self._archives[name].seek(offset)
        self._archives[name].write(data)
        return True

    def make_task_folder(
        self, path: str, parameters: str, archive: str, links: Sequence[str]
    ) -> bool:
        """Make a command's folder; False if its files are to be put first."""
        place = Path(path)
        if place.exists():
            return True
        if archive and archive not in self._archives:
            return False
        new = new_folder(place)
        try:
            write_parameters(new, parameters)
            put_links(new, [Path(one) for one in links])
            if archive:
                with self._archives.pop(archive) as file:
                    file.seek(0)
                    with tarfile.open(fileobj=file) as inputs:
                        inputs.extractall(new, **_AS_THEY_ARE)  # noqa: S202  our driver's
        except BaseException:  # the disk is full, for example
            shutil.rmtree(new, ignore_errors=True)
            raise
        put_in_place(new, place)
        return True


def ways_to(address: Address) -> list[tuple[str, int]]:
    """Return where a manager may be reached from here: of this host, each of its addresses will do."""
    places = [split_url(url) for url in address.urls]
    return places[:1] if address.host == socket.gethostname() else places


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests, each in a thread, until there are no more.

    Parameters
    ----------
    requests : file
        Without a buffer: `select` does not see what a buffer has.
    answers : file
    """
    end, lock, threads = FarEnd(), threading.Lock(), list[threading.Thread]()

    def work(request: FarRequest) -> None:
        packed = pack(answer_to(end, request))
        with lock, suppress(BrokenPipeError):  # who asked is gone, as the next read will show
            answers.write(packed)
            answers.flush()

    while (request := _next_request(requests)) is not None:
        threads = [one for one in threads if one.is_alive()]
        threads.append(threading.Thread(target=work, args=(request,), daemon=True))
        threads[-1].start()
    until = time.monotonic() + GRACE
    for thread in threads:  # one that hangs in a file system ends with this process
        thread.join(max(0.0, until - time.monotonic()))


def _next_request(requests: IO[bytes]) -> FarRequest | None:
    """Return the next request; None after the last one, or if none has come for very long."""
    if not select.select([requests], [], [], SILENCE)[0]:
        return None
    length = int.from_bytes(_exactly(requests, 4), "big")
    body = _exactly(requests, length) if length else b""
    return _decode(body) if body else None


def _exactly(file: IO[bytes], size: int) -> bytes:
    """Read so many bytes; none if the file ends before."""
    parts, left = [], size
    while left:
        part = file.read(left)
        if not part:
            return b""
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def answer_to(end: FarEnd, request: FarRequest) -> FarAnswer:
    """Return what comes of a request: a value, or an error that the driver is to have."""
    try:
        value = msgspec.Raw(_encode(end.answers[request.what](*request.values)))
    except USER_RAISES as error:  # the top of a thread: its driver is told, and would wait for ever
        return FarAnswer(request.number, msgspec.Raw(_encode(None)), failure_of(error))
    return FarAnswer(request.number, value)


def main(_: Sequence[str] = ()) -> None:
    """Serve who has started it; what is printed goes to where errors go."""
    with os.fdopen(os.dup(1), "wb") as answers, os.fdopen(os.dup(0), "rb", 0) as requests:
        os.dup2(2, 1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        with suppress(BrokenPipeError):
            serve(requests, answers)


if __name__ == "__main__":
    main()
