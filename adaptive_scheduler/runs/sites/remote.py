"""`RemoteSite`: a run on another host, behind the user's own ssh."""

from __future__ import annotations

import copy
import io
import os
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import msgspec

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.core.wire.tasks import TaskResult
from adaptive_scheduler.errors import FarHostError
from adaptive_scheduler.io.pickling import by_value
from adaptive_scheduler.io.pickling.callables_file import load_callable
from adaptive_scheduler.io.ssh.commands import module_there, ssh_argv
from adaptive_scheduler.io.ssh.far_link import FarLink, value_of
from adaptive_scheduler.io.ssh.far_manager import FarManager
from adaptive_scheduler.io.ssh.far_place import FarPlace
from adaptive_scheduler.io.ssh.far_session import FarSession, LostConnectionError
from adaptive_scheduler.runs.sites.far_end import FarHello, own_python, own_version
from adaptive_scheduler.runs.sites.site import CallPlace
from adaptive_scheduler.runs.views.status import RunSnapshot
from adaptive_scheduler.schedulers.base import Scheduler

if TYPE_CHECKING:
    from adaptive_scheduler.runs.report.write import Form
    from adaptive_scheduler.runs.sites.remote_view import RemoteViews

FAR_END = "adaptive_scheduler.runs.sites.far_end"
#: Bytes of a file that one message carries.
PART = 4 * 2**20
#: Bytes of an archive that is kept in memory.
IN_MEMORY = 64 * 2**20

T = TypeVar("T")


def _report(sentence: str) -> None:
    print(f"adaptive_scheduler: {sentence}", file=sys.stderr)


class RemoteSite:
    """A run on another host; `Site` says what each method does.

    Parameters
    ----------
    place : FarPlace
    python : str, optional
        Path there of the Python that has this package.
    begins : bool
        The path is that of a folder for a run; else a database or its ``.run`` folder will do.

    Attributes
    ----------
    folder : RunFolder
    name, remedy : str
        See `Site`.

    Raises
    ------
    FarHostError
        There is no connection, or what is needed is not there.
    """

    remedy = "To have them run there: executor.add_pool(SLURM(...)), for example."

    def __init__(self, place: FarPlace, python: str | None, *, begins: bool) -> None:
        self._place, self._python, self._begins = place, python, begins
        self.name = place.url
        self._manager = FarManager(place)
        self._link = FarLink(place, self._connect, self._look, _report)
        self._lives = False
        self._made_folders: set[Path] = set()
        self._hello = FarHello("", "", "", "")
        try:
            self._link.open()
        except BaseException:
            self._manager.close()
            raise
        self.folder = RunFolder(self._hello.run)

    def _connect(self) -> FarSession:
        """Start the program there, and see whether it is the right one."""
        command = module_there(self._place, self._python, FAR_END)
        session = FarSession(self._place, [*ssh_argv(self._place, os.environ), command])
        try:
            answer = session.ask("enter", [self._place.path, self._begins])
            self._hello = msgspec.msgpack.decode(value_of(answer), type=FarHello)
            _refuse_other_version(self._place, self._hello)
        except LostConnectionError:
            raise FarHostError(session.why_lost()) from None
        except BaseException:
            session.end()
            raise
        return session

    def _look(self) -> None:
        self._manager.look(lambda known: self._link.try_ask("look", known))

    def _ask(self, kind: type[T], what: str, *values: Any) -> T:
        found: T = msgspec.msgpack.decode(self._link.ask(what, *values), type=kind)
        return found

    # ------------------------------------------------------------------- the run

    def exists(self) -> bool:
        """Look there."""
        return self._ask(bool, "exists")

    def lives(self) -> bool:
        """Look there, if that is possible at the moment."""
        if self._link.is_there:
            try:
                self._lives = msgspec.msgpack.decode(self._link.try_ask("lives"), type=bool)
            except LostConnectionError:  # just now
                return self._lives
        return self._lives

    def start(
        self, name: str, scheduler: Scheduler | None = None, timing: Timing | None = None
    ) -> None:
        """Start it there, and find it."""
        pickled = b"" if scheduler is None else by_value.dumps_by_value(self.adapted(scheduler))
        self._ask(type(None), "start", name, pickled, timing)
        self._lives = True
        try:
            self._look()
        except LostConnectionError:  # the thread that watches looks again
            return

    def whereabouts(self) -> FarManager:
        """By the tunnel."""
        return self._manager

    def is_closed(self) -> bool:
        """Ask there."""
        return self._ask(bool, "is_closed")

    def count_unfinished(self) -> int:
        """Ask there."""
        return self._ask(int, "count_unfinished")

    def wait(self) -> float:
        """Wait for the connection."""
        return self._link.wait()

    def close(self) -> None:
        """End ssh; what was started there goes on."""
        self._link.close()
        self._manager.close()

    # ------------------------------------------------------------------- how it stands

    def snapshot(self) -> RunSnapshot:
        """Ask there."""
        return self._ask(RunSnapshot, "snapshot")

    def views(self) -> RemoteViews:
        """Return what opens views of it; what they tell is made there."""
        from adaptive_scheduler.runs.sites.remote_view import RemoteViews  # with what draws

        return RemoteViews(self._link.try_ask, may_change=True)

    # ------------------------------------------------------------------- its batch system

    def adapted(self, scheduler: Scheduler) -> Scheduler:
        """Name the Python there, unless another one than that of here was named."""
        if scheduler.python_executable != sys.executable:
            return scheduler
        adapted = copy.copy(scheduler)
        adapted.python_executable = self._hello.executable
        return adapted

    def refuse_missing_programs(self, scheduler: Scheduler) -> None:
        """Look for them there."""
        self._ask(type(None), "missing_programs", by_value.dumps_by_value(scheduler))

    def known_scheduler(self) -> Scheduler | None:
        """Load it here: it has no code but that of this package, or of its user."""
        data = self._ask(bytes, "callables")
        found: Scheduler | None = load_callable(self.folder.callables, data, "scheduler")
        return found

    # ------------------------------------------------------------------- its tasks

    def rows(self) -> list[TaskItem]:
        """Read them there."""
        return self._ask(list[TaskItem], "rows")

    def results(self) -> list[TaskResult]:
        """Read them there."""
        return self._ask(list[TaskResult], "results")

    def table(self, state: str | None, tag: str | None) -> list[dict[str, Any]]:
        """Read it there."""
        return self._ask(list[dict[str, Any]], "table", state, tag)

    def explain(self, task: int) -> Explanation:
        """Ask there."""
        return self._ask(Explanation, "explain", task)

    def report(self, form: Form) -> str:
        """Have it made there."""
        return self._ask(str, "report", form)

    def spec(self, task: int) -> bytes:
        """Read it there."""
        return self._ask(bytes, "spec", task)

    # ------------------------------------------------------------------- functions, commands, values

    def call_place(self) -> CallPlace:
        """In the run's folder: that of this process does not exist there."""
        there, here = self._hello.python, own_python()
        obstacle = "" if there == here else (
            f"{self._place.host} has Python {there}, here is {here}, and the code of functions is not "
            "the same in both. Use one of them on both sides; commands can be sent."
        )  # fmt: skip
        return CallPlace(os.fspath(self.folder.home), (), obstacle)

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """Fetch it, in parts."""
        with io.BytesIO() as whole:
            while True:
                part = self._ask(bytes, "read", os.fspath(path), whole.tell(), PART)
                whole.write(part)
                if len(part) < PART:
                    return whole.getvalue()

    def make_folder(self, path: Path) -> None:
        """Make it there, once."""
        if path not in self._made_folders:
            self._ask(type(None), "make_folder", str(path))
            self._made_folders.add(path)

    def make_task_folder(
        self, path: Path, parameters: str, inputs: Sequence[Path], links: Sequence[Path] = ()
    ) -> None:
        """Send its files as an archive, unless it is there."""
        archive = uuid.uuid4().hex if inputs else ""
        make = "make_task_folder", str(path), parameters, archive, [str(one) for one in links]
        made = self._ask(bool, *make)
        if made:
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            with tarfile.open(fileobj=file, mode="w", dereference=True) as packed:
                for one in inputs:
                    packed.add(one, one.name)
            while not made:  # a connection that was lost has taken the archive with it
                if self._put(archive, file):
                    made = self._ask(bool, *make)

    def _put(self, archive: str, file: IO[bytes]) -> bool:
        file.seek(0)
        while part := file.read(PART):
            if not self._ask(bool, "put", archive, file.tell() - len(part), part):
                return False
        return True


def _refuse_other_version(place: FarPlace, hello: FarHello) -> None:
    if hello.version != own_version():
        raise FarHostError(
            f"{place.host} has adaptive_scheduler {hello.version} in {hello.executable}, here is "
            f"{own_version()}. Install the same version on both sides."
        )
