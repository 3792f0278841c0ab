"""One history of a run of tasks in virtual time: pools, heads, drivers, and all that goes wrong.

It has the manager, the disk, the batch system, the wires and the accidents of a history of learners
(`tests.simulation.history`); what is promised stands in `tests.simulation.task_oracle`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import RetryPolicy
from adaptive_scheduler.core.wire.messages import Refused
from adaptive_scheduler.core.wire.pools import AddPool, RemovePool
from adaptive_scheduler.core.wire.tasks import (
    CloseRun,
    EndKind,
    Given,
    NewTask,
    Prioritise,
    Submit,
    Withdraw,
)
from adaptive_scheduler.io.storage import row_codec, tinydb_file
from tests.simulation.accidents import WEIGHTS, Accidents
from tests.simulation.drivers import Asker, Collector
from tests.simulation.heads import HeadLife, Ledger
from tests.simulation.history import MOST, TIMING, History, TooSmallError
from tests.simulation.manager import FOLDER
from tests.simulation.oracle import demand
from tests.simulation.task_oracle import TaskOracle

if TYPE_CHECKING:
    from tests.simulation.slurm import Job

#: Less than this is no history that counts: tasks, jobs, events, faults.
TASKS, JOBS, EVENTS, FAULTS = 8, 1, 150, 3
MIB = 2**20
#: How tasks end by themselves; None: with their agent.
OUTCOMES = (EndKind.VALUE, EndKind.ERROR, EndKind.DIED, EndKind.EXIT, EndKind.TIMEOUT, None)


class TaskAccidents(Accidents):
    """What may happen to those who run and submit tasks, too."""

    #: A head is started without MPI: a job never has two that take themselves for the only one.
    weights: ClassVar = {
        **{kind: weight for kind, weight in WEIGHTS.items() if kind != "double_client"},
        "kill_agent": 4, "kill_driver": 3, "lose_node": 8,
    }  # fmt: skip
    history: TaskHistory

    def kill_agent(self) -> None:
        """What runs on its node dies; its supervisor starts another."""
        life: Any = self._life()
        if life is not None:
            life.lose_agent("", life.any_node())

    def lose_node(self) -> None:
        """One of several nodes of a job; its head goes on."""
        lives: list[Any] = [life for life in self.history.lives.values() if not life.dead]
        several = [life for life in lives if len(life.nodes.there) > 1]
        if several:
            self.history.rng.choice(several).lose_node()

    def kill_driver(self) -> None:
        """Somebody starts it again."""
        self.history.fault("driver killed")
        self.history.start_driver()

    def end(self) -> None:
        super().end()
        self.history.asker.go_on()


class TaskHistory(History):
    """A run of tasks from its beginning to its end.

    Attributes
    ----------
    collected : set of int
        Items of which some driver has heard the end.
    functions : dict of str to bytes
        By their keys.
    pool_of_submit : dict of int to Pool
        What each submit was for.
    """

    oracle: TaskOracle
    accidents: TaskAccidents
    least = (TASKS, JOBS, EVENTS, FAULTS)
    #: A wish that comes after its driver has heard that a later one was fulfilled, would undo it.
    dies_with_manager = True

    # ------------------------------------------------------------------- the drawing

    def _draw_run(self, more: int) -> None:
        rng = self.rng
        self.items = []
        self.collected: set[int] = set()
        self.pool_of_submit: dict[int, Pool] = {}
        self.ledger = Ledger()
        #: What is left of tasks on nodes whose head or agent is gone, by the node's name.
        self.left: defaultdict[str, list[NodePlace]] = defaultdict(list)
        self.functions = {
            hashlib.blake2b(data, digest_size=16).hexdigest(): data for data in (b"short", b"long")
        }
        self.config = RunConfig(
            "run", [Resources()], ["job"], "/run/logs", timing=TIMING, kind="task"
        )
        self.p_message = rng.choice((0.0, 0.02, 0.08, 0.2))
        self.p_fail = rng.choice((0.0, 0.1, 0.3))
        self.p_ends = rng.choice((0.0, 0.0, 0.1, 0.25))
        self.start_delay = rng.choice((1.0, 5.0, 20.0))
        self.seconds = {b"short": rng.choice((0.001, 0.02)), b"long": rng.choice((0.5, 3.0)),
                        b"": rng.choice((2.0, 15.0))}  # fmt: skip
        self.duration = rng.uniform(40, 120)
        self._draw_pools()
        self._draw_resources()
        self.batches = 0
        #: Mostly short tasks of few kinds, many at a time: heads hold some ahead.
        self.is_dense = rng.random() < 0.4
        self.wishes = rng.randint(6, 12) + more
        self._is_closed = False
        self._keyed: list[NewTask] = []
        self._first = [AddPool(pool) for pool in self.pools]

    def _draw_pools(self) -> None:
        rng = self.rng
        cores = rng.randint(2, 4)
        self.pools = [self._pool("all", cores)]
        if rng.random() < 0.4:
            self.pools.append(self._pool("tagged", rng.randint(1, cores), accepts=["x"]))
        if rng.random() < 0.3:
            self.pools.append(self._pool("spare", rng.randint(1, cores)))

    def _pool(self, name: str, cores: int, accepts: list[str] | None = None) -> Pool:
        rng = self.rng
        walltime = rng.choice((None, None, 60, 120))
        gpus = rng.choice((0, 0, 1, 2)) if name != "all" else self.rng.choice((0, 2))
        memory = rng.choice((None, 8))
        nodes = rng.choice((1, 1, 2, 3))
        resources = Resources(
            cores=cores * nodes, nodes=nodes, cores_per_node=cores, gpus=gpus, memory=memory,
            walltime=walltime, executor_type="process-pool",
        )  # fmt: skip
        most = rng.randint(1, 3)
        least = rng.choice((0, 0, 0, 1))
        idle = rng.choice((3.0, 10.0, 60.0))
        return Pool(
            name=name, resources=resources, max_jobs=most, min_jobs=least, accepts=accepts or [],
            idle=idle,
        )  # fmt: skip

    def _draw_resources(self) -> None:
        has = self.pools[0].resources
        self.resources = [TaskResources(), TaskResources(), TaskResources(threads_per_rank=2)]
        nodes = has.nodes or 1
        self.resources.append(TaskResources(threads_per_rank=has.cores // nodes))
        if nodes > 1:
            self.resources.append(TaskResources(nodes=2))
            self.resources.append(TaskResources(nodes=nodes, threads_per_rank=has.cores // nodes))
            self.resources.append(TaskResources(nodes=2, ranks_per_node=2))
        if has.gpus:
            self.resources += [TaskResources(gpus_per_rank=0.5), TaskResources(gpus_per_rank=1)]
        if has.memory:
            self.resources.append(TaskResources(memory=3 * MIB))
        if has.walltime:
            self.resources.append(TaskResources(walltime=has.walltime / 3))

    def make_oracle(self) -> TaskOracle:
        return TaskOracle(self)

    def make_accidents(self) -> TaskAccidents:
        return TaskAccidents(self)

    def make_life(self, job: Job, attempt: int) -> HeadLife:
        return HeadLife(self, job, attempt)

    def fresh_config(self) -> RunConfig:
        return msgspec.structs.replace(self.config, shapes=list(self.config.shapes))

    def draws_broken(self, who: str) -> bool:
        if self.calm or self.rng.random() >= self.p_ends / 3:
            return False
        self.fault("head cannot work", who)
        return True

    # ------------------------------------------------------------------ jobs and tasks

    def pool_of(self, job: Job) -> Pool:
        """What a job was made for."""
        return self.pool_of_submit[job.submit]

    def nodes_of(self, job: Job) -> list[NodeInventory]:
        """What a job has, each time that it starts on other nodes."""
        has = self.pool_of(job).resources
        first, nodes = job.restart % 2, has.nodes or 1
        memory = None if has.memory is None else has.memory * MIB
        gpus = [str(n) for n in range(has.gpus or 0)]
        cores = list(range(first, first + has.cores // nodes))
        return [
            NodeInventory(f"{job.id}.{job.restart}.{n}", cores, gpus, memory) for n in range(nodes)
        ]

    def start(self, job: Job, restart: int) -> None:
        super().start(job, restart)
        walltime = self.pool_of(job).resources.walltime
        if walltime is not None and job.started == self.now and job.id in self.lives:
            self.after(walltime, lambda: self._end_walltime(job, restart))

    def _end_walltime(self, job: Job, restart: int) -> None:
        if job.restart == restart and not job.ended:
            self.fault("walltime ends", job.id)
            self.end(job, "TIMEOUT")

    def value_of(self, given: Given) -> bytes:
        """What a task comes to."""
        return b"value of " + given.spec

    def draw_task(self, given: Given) -> tuple[float, EndKind | None]:
        """How long a task runs, and how it ends."""
        rng = self.rng
        seconds = self.seconds[self.functions.get(given.function, b"")] * rng.uniform(0.5, 1.5)
        if self.calm:
            return min(seconds, 5.0), EndKind.VALUE
        if rng.random() >= self.p_fail:
            return seconds, EndKind.VALUE
        return seconds, rng.choice(OUTCOMES)

    # ------------------------------------------------------------------------ drivers

    def _begin(self) -> None:
        self._connections = {}
        for folder in ("/", "/run"):
            self.disk.mkdir(folder)
        tables = row_codec.new_tables([], None)
        run = {row_codec.RUN_ROW: {"is_open": True}}
        tinydb_file.create(FOLDER.database, {**tables, row_codec.RUN_TABLE: run})
        for folder in (FOLDER.folder, FOLDER.scripts):
            self.disk.mkdir(folder)
        self.manager.start()
        self._drivers = itertools.count(1)
        self.asker: Asker | None = None
        self.start_driver()
        self.accidents.begin()

    def start_driver(self) -> None:
        """Start one; what another one was about to say is said again, or by its keys."""
        kept = None
        number = next(self._drivers)
        if self.asker is not None:
            self.asker.dead = self.collector.dead = True
            kept = self.asker.unsaid
            if isinstance(kept, Submit):
                self.fault("submitted twice")
                if kept.calls[0].key:
                    kept = msgspec.structs.replace(kept, batch=f"again{number}")
        self.asker = Asker(self, f"driver-{number}", kept)
        self.collector = Collector(self, f"collector-{number}")

    def pause(self) -> float:
        """Seconds until a driver wants something else."""
        return 0.1 if self.calm else self.rng.uniform(0, 1.2 * self.duration / (self.wishes + 3))

    def next_wish(self) -> Any:
        """What a driver wants next; None: nothing at present."""
        if self._first:
            return self._first.pop(0)
        if self.wishes > 0:
            self.wishes -= 1
            return self._draw_wish()
        if self.calm and not self._is_closed:
            self._is_closed = True
            return CloseRun()
        return None

    def _draw_wish(self) -> Any:
        rng = self.rng
        known = list(self.oracle.items.values())
        wish = rng.random()
        if known and wish < 0.25:
            self.fault("priorities changed")
            some = rng.sample(known, min(len(known), 5))
            return Prioritise(some, [float(rng.randint(0, 9)) for _ in some])
        if known and wish < 0.37:
            self.fault("tasks withdrawn")
            return Withdraw(rng.sample(known, min(len(known), 3)))
        if known and wish < 0.47 and len(self.pools) > 1:
            return self._change_pools()
        return self._draw_submit(known)

    def _change_pools(self) -> Any:
        name = self.pools[-1].name
        if self.rng.random() < 0.5:
            self.fault("pool removed")
            return RemovePool(name)
        return AddPool(self.pools[-1])

    def _draw_submit(self, known: list[int]) -> Submit:
        rng = self.rng
        self.batches += 1
        is_keyed = rng.random() < 0.5
        tasks = [self._draw_task_of(n, known, is_keyed) for n in range(self._draw_size())]
        if is_keyed:
            self._keyed += tasks
        if self._keyed and rng.random() < 0.2:
            tasks.append(rng.choice(self._keyed))
        return Submit(f"batch{self.batches}", self.resources, tasks)

    def _draw_size(self) -> int:
        return self.rng.randint(6, 16) if self.is_dense else self.rng.randint(2, 8)

    def _draw_task_of(self, number: int, known: list[int], is_keyed: bool) -> NewTask:
        rng = self.rng
        spec = f"{self.batches}:{number}".encode()
        after = [rng.choice(known)] if known and rng.random() < 0.15 else []
        return NewTask(
            spec, rng.choices([*self.functions, ""], (8, 1, 1) if self.is_dense else (2, 2, 1))[0],
            rng.randrange(2 if self.is_dense else len(self.resources)), float(rng.randint(0, 3)), rng.choice(("", "", "x")),
            "", spec.decode() if is_keyed else "", after, RetryPolicy(rng.randint(0, 2)),
        )  # fmt: skip

    def refused_wish(self, body: Any, reply: Refused) -> None:
        """Nothing that a driver wants here is refused."""
        demand(False, f"{type(body).__name__} is refused: {reply.code}: {reply.reason}")

    # ---------------------------------------------------------------------------- end

    def _is_over(self) -> bool:
        turns = self.manager.turns
        if self._is_closed and turns is not None and turns.state.tasks.is_open and self.asker:
            self._is_closed = False  # a late Submit of a driver that is dead has opened it again
            self.asker.go_on()
        return (
            super()._is_over() and set(self.oracle.items.values()) <= self.collected
            and self.asker is not None and self.asker.body is None
        )  # fmt: skip

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Tasks, jobs, events and faults."""
        return (
            len(self.oracle.items), len(self.slurm.jobs), self.events.total(), self.faults.total()
        )  # fmt: skip


def play_tasks(seed: int, trace: bool = False, keep: list[History] | None = None) -> TaskHistory:
    """Live through the history of a seed: a longer one, as long as it is too small."""
    for more in itertools.count(0, 4):
        history = TaskHistory(seed, trace, more)
        if keep is not None:
            keep.append(history)
        try:
            history.run()
            return history
        except TooSmallError:
            if more >= MOST:
                raise
    raise AssertionError
