"""One history of a whole run in virtual time, drawn from one seed."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from adaptive_scheduler.core.config import JobLimits, RunConfig, Timing
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Owner, Refused, Status, encode_request
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import row_codec, tinydb_file
from tests.simulation.accidents import Accidents
from tests.simulation.disk import Disk
from tests.simulation.lives import Life
from tests.simulation.manager import FOLDER, Manager
from tests.simulation.oracle import Oracle, ViolationError, demand
from tests.simulation.slurm import FaultRates, Job, Slurm

TIMING = Timing(beat=8, lease=30, idle=4, grace=60, patience=90, interval=30, kill_wait=10)
#: Virtual seconds within which everything ends once nothing goes wrong any more.
BOUND = 3 * 3600.0
#: Less than this is no history that counts.
LEARNERS, JOBS, EVENTS, FAULTS = 8, 4, 150, 3
#: What may become of a message.
MESSAGE_FAULTS = ("lost", "lost", "doubled", "doubled late", "late", "reordered", "garbage")


#: Learners that are added before it is given up.
MOST = 40


class TooSmallError(Exception):
    """The history has less in it than was promised."""


class History:
    """A run from its beginning to its end.

    Parameters
    ----------
    seed : int
        Says everything.
    trace : bool
        Keep what happens in `lines`.
    more : int
        So many learners more than the seed says.

    Attributes
    ----------
    now : float
        Virtual seconds.
    events, faults : Counter
        What happened, by kind.
    calm : float
        Since when nothing goes wrong any more; 0 while it does.
    """

    least = (LEARNERS, JOBS, EVENTS, FAULTS)
    #: Whether a message that is on its way to a manager is lost with it, as on a connection.
    dies_with_manager = False

    def __init__(self, seed: int, trace: bool = False, more: int = 0) -> None:
        self.seed = seed
        self.more = more
        self.rng = Random(seed)
        self.now = 0.0
        self.events: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.lines: list[str] = []
        self.calm = 0.0
        self.lives: dict[str, Life] = {}
        self.zombies: list[Life] = []
        self.lives_made = 0
        self._trace = trace
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._draw_run(more)
        self.disk = Disk(lambda kind: self.manager.point(kind), lambda: self.manager.tears())
        self.slurm = Slurm(
            self.rng, self._weather(), lambda: self.now, self._submitted, self._cancelled,
            self._send_submit, self.fault,
        )  # fmt: skip
        self.oracle = self.make_oracle()
        self.manager = Manager(self)
        self.accidents = self.make_accidents()

    def make_oracle(self) -> Oracle:
        """Make the one who watches."""
        return Oracle(self)

    def make_accidents(self) -> Accidents:
        """Make the one who lets things go wrong."""
        return Accidents(self)

    def make_life(self, job: Job, attempt: int) -> Any:
        """Start the client of a job."""
        return Life(self, job, attempt)

    def fresh_config(self) -> RunConfig:
        """Return what a manager that starts reads of its run."""
        return self.config

    # ------------------------------------------------------------------- the drawing

    def _draw_run(self, more: int) -> None:
        rng = self.rng
        n, shapes = rng.randint(LEARNERS + 1, 14) + more, rng.choice((1, 1, 2))
        depends = {
            row: tuple({rng.randrange(row) for _ in range(rng.choice((1, 1, 2)))})
            for row in range(5, n)
            if rng.random() < 0.4
        }
        self.items = [
            Item(
                row, f"data/{row}", Phase.WAITING if row in depends else Phase.QUEUED,
                depends_on=depends.get(row, ()), shape=row % shapes,
                priority=float(rng.choice((0, 0, 1))),
            )
            for row in range(n)
        ]  # fmt: skip
        limits = JobLimits(rng.randint(4, 6), rng.randint(0, 2), rng.randint(1, 3))
        self.config = RunConfig(
            "run", [Resources(cores=k + 1) for k in range(shapes)], ["job"], "/run/logs",
            timing=TIMING, limits=limits,
        )  # fmt: skip
        self.p_message = rng.choice((0.0, 0.02, 0.08, 0.2))
        self.p_fail = rng.choice((0.0, 0.1, 0.3))
        self.p_ends = rng.choice((0.0, 0.0, 0.1, 0.25))
        self.start_delay = rng.choice((2.0, 10.0, 30.0))
        self.long_work = rng.choice((0.1, 0.3))
        self.poison = {row for row in range(n) if rng.random() < 0.08}
        self.duration = rng.uniform(50, 160)

    def _weather(self) -> FaultRates:
        rng = self.rng
        return FaultRates(
            rng.choice((0.0, 0.1, 0.3)), rng.choice((0.0, 0.2, 0.4)), rng.choice((0.0, 0.3)),
            rng.choice((0.1, 3.0)), rng.choice((0.0, 60.0, 300.0)),
        )  # fmt: skip

    def draw_work(self, life: Life, item: int) -> tuple[float, str]:
        """How long a client works on an item, and how that ends; "" is its finish."""
        rng = self.rng
        seconds = rng.uniform(40, 120) if rng.random() < self.long_work else rng.uniform(0.5, 15)
        self.count("item begun")
        if item in self.poison:
            self.after(min(seconds, 6.0), lambda: self.accidents.die_of(life, item))
            return seconds + 60, ""
        if self.calm:
            return min(seconds, 8.0), ""
        if rng.random() < self.p_ends:
            return seconds, self._draw_end(life, item, seconds)
        outcome = rng.random()
        return seconds, "fail" if outcome < self.p_fail else "release" if outcome > 0.93 else ""

    def _draw_end(self, life: Life, item: int, seconds: float) -> str:
        """User code ends processes: where it is called, and so how the work on an item ends."""
        place = self.rng.choice(("function", "worker", "client", "signal"))
        self.fault(f"user code ends: {place}", life.owner.uuid, str(item))
        if place == "client":  # os._exit in a goal, a loss, an async function
            self.after(seconds / 2, lambda: self.accidents.die_of(life, item))
        elif place == "signal":  # to its parent, as if the batch system had sent it
            self.after(seconds / 2, life.terminate)
        return {"function": "fail", "worker": "crash"}.get(place, "")

    def draws_broken(self, who: str) -> bool:
        """Whether user code ends a client before its first claim: what it loads, or its executor."""
        if self.calm or self.rng.random() >= self.p_ends / 3:
            return False
        self.fault("user code ends: before a learner", who)
        return True

    # -------------------------------------------------------------------- virtual time

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._serial), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + seconds, next(self._serial), action))

    def _run_until(self, end: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action = heapq.heappop(heap)
            action()
        self.now = end

    # ------------------------------------------------------------------------- notes

    def count(self, kind: str) -> None:
        """Something happened."""
        self.events[kind] += 1
        if self._trace:
            self.lines.append(f"{self.now:.6f} {kind}")

    def fault(self, kind: str, *what: str) -> None:
        """Something went wrong."""
        self.faults[kind] += 1
        self.events["fault"] += 1
        if self._trace:
            self.lines.append(f"{self.now:.6f} FAULT {kind} {' '.join(what)}")

    def say(self, *words: str) -> None:
        """For people who read the trace."""
        if self._trace:
            self.lines.append(f"{self.now:.6f} {' '.join(words)}")

    @property
    def digest(self) -> str:
        """What a replay must give again."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    # ------------------------------------------------------------------------- wires

    def to_manager(self, life: Life, message: bytes) -> None:
        """A client's word, on its way; it may get lost."""
        rng, now = self.rng, self.now
        connection = b"%d" % next(self._serial)
        self._connections[connection] = life
        if self._trace:
            self.lines.append(f"{now:.6f} {life.owner.uuid} says {message.hex()}")
        if now < life.cut_until:
            return
        delay = 0.03 * rng.random()
        if not self.calm and rng.random() < self.p_message:
            kind = rng.choice(MESSAGE_FAULTS)
            self.fault(f"message {kind}")
            if kind == "lost":
                return
            if kind == "garbage":
                message = message[: rng.randrange(len(message))]
            elif kind == "late":
                delay = rng.uniform(31, 80)
            elif kind == "reordered":
                delay = rng.uniform(0.5, 6)
            else:
                self.after(
                    rng.uniform(5, 80) if "late" in kind else 0.02,
                    self._deliver(connection, message),
                )
        self.after(delay, self._deliver(connection, message))

    def _deliver(self, connection: bytes, message: bytes) -> Callable[[], None]:
        life = self.manager.life

        def arrive() -> None:
            if self.dies_with_manager and self.manager.life != life:
                return
            self.events["message arrived"] += 1
            self.manager.receive(connection, message)

        return arrive

    def to_client(self, connection: bytes, message: bytes) -> None:
        """The manager's answer, on its way; it may get lost."""
        rng = self.rng
        life = self._connections.get(connection)
        if life is None:
            return
        if self._trace:
            self.lines.append(f"{self.now:.6f} answer to {life.owner.uuid} {message.hex()}")
        delay = 0.03 * rng.random()
        if not self.calm and rng.random() < self.p_message:
            kind = rng.choice(("lost", "doubled", "late"))
            self.fault(f"answer {kind}")
            if kind == "lost":
                return
            if kind == "late":
                delay = rng.uniform(1, 50)
            else:
                self.after(delay + rng.random(), lambda: life.hear(message))
        self.after(delay, lambda: life.hear(message))

    # -------------------------------------------------------------------------- jobs

    def all_lives(self) -> Iterator[Life]:
        """Clients that can do something, the dead of mind included."""
        yield from self.zombies
        yield from self.lives.values()

    def shape_of(self, job: str) -> int:
        """What a job was made for, by its submit."""
        number = self.slurm.jobs[job].submit
        return self.manager.turns.state.jobs.submits[number].shape  # type: ignore[union-attr]

    def _submitted(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.count("job submitted")
            self._let_start(job)
            if not self.calm and self.rng.random() < 0.08:
                self.fault("job never starts", job.id)
                job.stays = True
        self.oracle.check_number()

    def _send_submit(self, seconds: float, arrive: Callable[[], object]) -> None:
        """A submit that arrives late, but not later than 50 s after its manager knows of no answer."""
        life = self.manager.life

        def late() -> None:
            if self.manager.life == life or self.now < self.manager.deaths[life] + 50:
                arrive()

        self.after(seconds, late)

    def _let_start(self, job: Job) -> None:
        seconds = 0.5 if self.calm else self.rng.uniform(0.2, self.start_delay)
        if not self.calm and self.rng.random() < 0.03:
            self.fault("job starts late", job.id)
            seconds += 100.0
        restart = job.restart
        self.after(seconds, lambda: self.start(job, restart))

    def start(self, job: Job, restart: int) -> None:
        """A job gets its nodes."""
        if job.ended or job.stays or not job.waits or job.restart != restart:
            return
        self.count("job started")
        job.state, job.started, job.node = "RUNNING", self.now, f"n{self.rng.randint(1, 4)}"
        self.lives[job.id] = self.make_life(job, 0)

    def requeue(self, job: Job) -> None:
        """The batch system takes it back into the queue."""
        self.count("job requeued")
        job.restart += 1
        job.state, job.node = "PENDING", ""
        self._let_start(job)

    def end(self, job: Job, row_codec: str) -> None:
        """A job is over, with everything in it."""
        if job.ended:
            return
        self.count("job ended")
        self.say("job", job.id, row_codec)
        life = self.lives.pop(job.id, None)
        if life is not None and not life.dead:
            self.oracle.client_dies(life, own_fault=row_codec == "FAILED")
            life.die()
        job.state, job.ended = row_codec, max(self.now, 1e-9)

    def client_left(self, life: Life) -> None:
        """A client ended in good order."""
        self.say(life.owner.uuid, "left:", life.left)
        if self.lives.get(life.job.id) is life:
            self.end(life.job, "FAILED" if life.fails else "COMPLETED")
        elif life in self.zombies:
            self.zombies.remove(life)

    def refused(self, life: Life, reply: Refused) -> None:
        """Only who is not the one client of its job may hear this."""
        if self.lives.get(life.job.id) is life and life.job.id not in self.accidents.crowded:
            self.oracle.refused(life.owner, reply)

    def _cancelled(self, job: Job) -> None:
        self.oracle.cancelled(job)
        life = self.lives.get(job.id)
        if job.waits or life is None:
            self.end(job, "CANCELLED")
            return
        life.terminate()
        self.after(TIMING.kill_wait, lambda: self.end(job, "CANCELLED"))

    # -------------------------------------------------------------------------- run

    def run(self) -> History:
        """Live through it; a broken promise names the seed."""
        with files.through(self.disk):
            try:
                self._begin()
                self._run_until(self.duration)
                while self.events.total() < EVENTS and not self._is_over():
                    self._run_until(self.now + 10.0)
                self._settle()
            except BaseException as error:
                error.add_note(f"seed {self.seed}, at {self.now:.3f} s")
                raise
        self._measure()
        return self

    def _begin(self) -> None:
        self._connections: dict[bytes, Life] = {}
        for folder in ("/", "/run"):
            self.disk.mkdir(folder)
        tinydb_file.create(FOLDER.database, row_codec.new_tables(self.items, None))
        for folder in (FOLDER.folder, FOLDER.scripts):
            self.disk.mkdir(folder)
        self.manager.start()
        self.accidents.begin()

    def person_asks(self) -> None:
        """Somebody looks at the run."""
        owner = Owner("person", 0, 0, f"person-{next(self._serial)}")
        self.manager.receive(b"person", encode_request(owner, 1, Status("all")))

    def _settle(self) -> None:
        """Nothing goes wrong any more: everything ends, and nothing is left in the queue."""
        self.calm = self.now
        self.say("calm")
        self.accidents.end()
        end = self.now + BOUND
        while not self._is_over():
            demand(self.now < end, "left alone, it does not end")
            turns = self.manager.turns
            if turns is not None and turns.state.stops.held:
                self.say("a person resumes")
                turns.jobs.resume()
            self._run_until(self.now + 5.0)
        self.oracle.check_end()

    def _is_over(self) -> bool:
        turns = self.manager.turns
        return turns is not None and not self.slurm.living() and turns.is_over()

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Learners, jobs, events and faults."""
        return (
            len(self.items), len(self.slurm.jobs), self.events.total(), self.faults.total()
        )  # fmt: skip

    def _measure(self) -> None:
        if any(n < least for n, least in zip(self.sizes, self.least, strict=True)):
            n = self.sizes
            raise TooSmallError(
                f"seed {self.seed} has {n[0]} learners, {n[1]} jobs, {n[2]} events, {n[3]} faults"
            )


def play(seed: int, trace: bool = False, keep: list[History] | None = None) -> History:
    """Live through the history of a seed: one with more learners, as long as it is too small.

    `keep` gets each that was begun, also those that broke.
    """
    for more in itertools.count(0, 4):
        history = History(seed, trace, more)
        if keep is not None:
            keep.append(history)
        try:
            return history.run()
        except TooSmallError:
            if more >= MOST:
                raise
    raise AssertionError


__all__ = ["History", "TooSmallError", "ViolationError"]
