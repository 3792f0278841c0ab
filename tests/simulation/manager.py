"""The real manager in virtual time: its steps, the answers of its batch system, its deaths."""

from __future__ import annotations

import contextlib
import io
import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.core.jobs.commands import CancelJobs, Command, Result, SubmitJobs
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import checkpoint
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.manager.batch_worker import BatchWorker
from adaptive_scheduler.manager.dispatch import Dispatcher
from adaptive_scheduler.schedulers.slurm import SLURM
from tests.simulation.slurm import Seen, Slurm

if TYPE_CHECKING:
    from tests.simulation.history import History

FOLDER = RunFolder("/run/db.tinydb")
SCHEDULER = SLURM(cores=1)
#: The longest time between two steps of an idle manager here; the real one takes one a second.
IDLE = 5.0


class KilledError(BaseException):
    """What acts now is dead."""


class Silence:
    """A log that nobody reads."""

    def info(self, *_: Any, **__: Any) -> None: ...

    warning = exception = info


class SimulatedBatchWorker(BatchWorker):
    """The real translation of tasks into commands and back; the commands go to the virtual Slurm."""

    def __init__(self, history: History, config: RunConfig) -> None:
        super().__init__(SCHEDULER, config, FOLDER, lambda _: None, lambda *_: "#!/bin/sh\n")
        self._slurm: Slurm = history.slurm
        self.seconds = 0.0
        self.seen: Seen | None = None

    def _run(self, argv: Sequence[str]) -> CommandResult:
        answer = self._slurm.run(argv)
        self.seconds += answer.seconds
        self.seen = self.seen or answer.seen
        return answer.result

    def say(self, task: Command) -> tuple[Result, float, Seen | None]:
        self.seconds, self.seen = 0.0, None
        return self.carry_out(task), self.seconds, self.seen


class CheckpointProcess:
    """The process that writes a checkpoint, as the database sees it. It does all at one moment."""

    def __init__(self, manager: Manager, last: int, discard_file: bool) -> None:
        self._manager = manager
        self._work = (last, discard_file)
        self._life = manager.life
        self.status: int | None = None

    def poll(self) -> int | None:
        return self.status

    def wait(self) -> int | None:
        self.run()
        return self.status

    def run(self) -> None:
        """Work, or die over it."""
        if self.status is not None:
            return
        manager, (last, discard_file) = self._manager, self._work
        before, manager.acting = manager.acting, "checkpoint"
        parent = os.getppid() if manager.life == self._life else -1
        printed = io.StringIO()  # of a real one this goes to the manager's log, not to a terminal
        try:
            with contextlib.redirect_stderr(printed):
                checkpoint.write_checkpoint(FOLDER, last, parent, discard_file)
            self.status = 0
        except KilledError:
            self.status = -9
        except FileError:
            self.status = 1
        finally:
            manager.acting = before
            for line in printed.getvalue().splitlines():
                manager.history.say("checkpoint prints:", line)


class Manager:
    """A manager that may die between any two steps, and its successors.

    Attributes
    ----------
    life : int
        Counts the managers of this run.
    fuse : int or None
        So many steps until this one dies.
    acting : str
        Whose steps are counted now.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.turns: Dispatcher | None = None
        self.life = 0
        self.started = 0.0
        self.deaths: list[float] = []
        self.acting = ""
        self.fuse: int | None = None
        self.checkpoint_fuse: int | None = None
        self.power = False
        self.stalled_until = 0.0
        self.disk_mended = 0.0
        self.boot = history.rng.uniform(0, 1e6)
        self.wall = 1.7e9
        self._inbox: list[tuple[bytes, bytes]] = []
        self._results: list[tuple[Result, Seen | None]] = []
        self._tasks: deque[Command] = deque()
        self._busy = False
        self._next_turn = float("inf")
        self._checkpoints: list[CheckpointProcess] = []
        self._connection = b""

    @property
    def quiet_since(self) -> float:
        """When something last kept it from answering."""
        return max(self.started, self.stalled_until, self.disk_mended)

    # ------------------------------------------------------------------ its clocks

    def time(self) -> float:
        return self.wall + self.history.now

    def monotonic(self) -> float:
        return self.boot + self.history.now

    # --------------------------------------------------------------- life and death

    def point(self, kind: str) -> None:
        """One step of whoever acts: it may be the last."""
        if self.acting == "manager" and self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                self.history.say("manager dies before", kind)
                raise KilledError
        elif self.acting == "checkpoint" and self.checkpoint_fuse is not None:
            self.checkpoint_fuse -= 1
            if self.checkpoint_fuse < 0:
                self._disturb_checkpoint(kind)

    def _disturb_checkpoint(self, kind: str) -> None:
        self.checkpoint_fuse = None
        if self.history.rng.random() < 0.5:
            self.history.say("checkpoint dies before", kind)
            raise KilledError
        self.history.say("manager changes during a checkpoint before", kind)
        self.die()
        self.start()

    def tears(self) -> bool:
        """Whether a write that is the last step arrives in part."""
        fuse = self.fuse if self.acting == "manager" else None
        return fuse == 0 and self.history.rng.random() < 0.5

    def die(self, power: bool = False) -> None:
        """End at once; `power`: its host too."""
        self.turns = None
        self.deaths.append(self.history.now)
        self.life += 1
        self.fuse = None
        self._inbox.clear()
        self._results.clear()
        self._tasks.clear()
        self._busy = False
        self._next_turn = float("inf")
        if power:
            self.history.disk.lose_power(self.history.rng)
            self.boot = self.history.rng.uniform(0, 1e6)
            for one in self._checkpoints:
                one.status = one.status if one.status is not None else -9
        self._checkpoints = [one for one in self._checkpoints if one.status is None]

    def start(self) -> None:
        """Another manager opens the database."""
        if self.turns is not None:
            return
        history = self.history
        before, self.acting = self.acting, "manager"
        life = self.life
        try:
            store = Database(FOLDER)
            store.start_checkpoint = self._start_checkpoint  # type: ignore[method-assign,assignment]
            config = history.fresh_config()
            turns = Dispatcher(store, config, Silence(), "host:1", lambda: None, self)
            turns.submit_jobs(config, "slurm", SCHEDULER.max_array, lambda _: "")
        except KilledError:
            self.die(self.power)
            history.after(history.rng.uniform(0.1, 5), self.start)
            return
        except FileError:
            if not (history.disk.full or history.disk.broken_sync):
                raise
            self.die()
            history.after(5.0, self.start)
            return
        finally:
            self.acting = before
        assert life == self.life
        self.turns = turns
        self._words = SimulatedBatchWorker(history, config)
        self.started = history.now
        history.say("manager started", str(self.life))
        history.oracle.manager_started(turns)
        self._plan(0.0)

    def hurry(self) -> None:
        """Nothing holds it up any more."""
        self._next_turn = float("inf")
        self._plan(0.0)

    def restart_after(self, seconds: float) -> None:
        self.history.after(seconds, self.start)

    # -------------------------------------------------------------------- its turns

    def receive(self, connection: bytes, message: bytes) -> None:
        """What comes while nobody listens is lost."""
        if self.turns is not None:
            self._inbox.append((connection, message))
            self._plan(0.002)

    def _plan(self, seconds: float) -> None:
        when = max(self.history.now + seconds, self.stalled_until)
        if self.turns is not None and when < self._next_turn:
            self._next_turn = when
            self.history.at(when, self._turn)

    def _turn(self) -> None:
        history = self.history
        if self.turns is None or self._next_turn != history.now:
            return
        if history.now < self.stalled_until:
            self._next_turn = float("inf")
            self._plan(0.0)
            return
        self._next_turn = float("inf")
        messages, self._inbox = self._inbox, []
        results, self._results = self._results, []
        turns, life = self.turns, self.life
        for result, seen in results:
            history.oracle.command_answered(result, seen)
        self.acting = "manager"
        try:
            turns.step(self._drain(messages), [result for result, _ in results], self)
        except KilledError:
            self.die(self.power)
            self.restart_after(history.rng.choice((0.1, 3.0, 20.0, 45.0)))
            return
        finally:
            self.acting = ""
        if self.life == life:
            history.oracle.turn_taken(any(seen for _, seen in results))
            self._plan(self._patience(turns))

    def _patience(self, turns: Dispatcher) -> float:
        """When the next turn is due; while a look or the end is awaited, soon."""
        due = turns.jobs.next_due(turns.now())
        for *_, until in turns._parked.values():
            due = min(due, until - self.monotonic())
        if turns.state.items.unfinished == 0:
            return 1.1
        return min(IDLE, max(0.5 if self._busy else 0.02, due))

    def _drain(self, messages: list[tuple[bytes, bytes]]) -> Any:
        """One message at a time, so that it is known which one is being answered."""
        for connection, message in messages:
            self.history.oracle.arrives(connection, message)
            yield connection, message

    def send(self, connection: bytes, message: bytes) -> None:
        self.point("send")
        self.history.oracle.told(connection, message)
        self.history.to_client(connection, message)

    # ------------------------------------------------------------- its batch system

    def send_command(self, task: Command) -> None:
        self.point("ask")
        if isinstance(task, CancelJobs):
            self.history.oracle.cancel_decided(task.jobs)
        elif isinstance(task, SubmitJobs):
            self.history.oracle.submit_decided(task)
        self._tasks.append(task)
        if not self._busy:
            self._busy = True
            self.history.after(0.001, lambda life=self.life: self._carry_out(life))

    def _carry_out(self, life: int) -> None:
        if life != self.life or not self._tasks:
            if life == self.life:
                self._busy = False
            return
        task = self._tasks.popleft()
        self.history.count(type(task).__name__)
        self.acting = "manager"
        try:
            result, seconds, seen = self._words.say(task)
        except KilledError:
            self.die(self.power)
            self.restart_after(self.history.rng.choice((0.1, 3.0, 20.0, 45.0)))
            return
        finally:
            self.acting = ""
        self.history.after(seconds, lambda: self._answered(life, result, seen))

    def _answered(self, life: int, result: Result, seen: Seen | None) -> None:
        if life != self.life:
            return
        self._results.append((result, seen))
        self._carry_out(life)
        self._plan(0.0)

    # -------------------------------------------------------------------- its checkpoints

    def _start_checkpoint(self, _: RunFolder, last: int, discard_file: bool) -> CheckpointProcess:
        process = CheckpointProcess(self, last, discard_file)
        self._checkpoints.append(process)
        slow = self.history.rng.random() < 0.25  # its host swaps, its file system hangs
        self.history.after(self.history.rng.uniform(0.01, 70 if slow else 8), process.run)
        return process
