"""One history of tasks, drawn from a seed: drivers, heads and a manager, and all that goes wrong.

Promised is: an acknowledged task ends once, as it ran; its end never changes; two tasks never share
a core; what was withdrawn is not begun once its head knows; a better task never waits behind a
worse one of its class; no report of a head waits while something fits; each task that the
database gives to a living head is known to it, or on its way.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.items import rank_of
from adaptive_scheduler.core.rows.row import OVER, QUEUED, RUNNING, Item
from adaptive_scheduler.core.rows.task_index import TaskClass, class_of
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.wire.messages import decode_reply
from adaptive_scheduler.core.wire.tasks import (
    EndKind,
    NewTask,
    Prioritise,
    Submit,
    TaskResult,
    TasksSubmitted,
    Withdraw,
)
from adaptive_scheduler.testing.clock import Clock
from adaptive_scheduler.testing.manager import VirtualManager
from tests.simulation.task_world import (
    Asker,
    Collector,
    Events,
    Ledger,
    Network,
    SimHead,
    TaskViolationError,
)

#: What must come in a thousand histories.
TASK_FAULTS = frozenset(
    {
        *(f"{what} {how}" for what in ("message", "answer") for how in ("lost", "doubled", "late")),
        "worker killed", "agent killed", "head killed", "job killed", "job believed dead",
        "manager killed", "manager killed in a commit", "driver killed", "priorities changed",
        "tasks withdrawn", "submitted twice",
    }
)  # fmt: skip
RESOURCES = [TaskResources(), TaskResources(threads_per_rank=2), TaskResources(nodes=2)]
CONFIG = RunConfig("run", [Resources()], ["job"], "/logs")
#: Seconds with faults, and until all must have ended without.
FAULTS_UNTIL, MOST_SECONDS = 40.0, 900.0
STARVE_AFTER = 2.0


class TaskHistory:
    """Lives through one history; raises `TaskViolationError` where a promise is broken."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.events = Events()
        self.network = Network(self.events, self.dice, self.faults)
        self.ledger = Ledger()
        self.clock = Clock()
        self.manager = VirtualManager([], CONFIG, self.clock)
        self.is_up = True
        self.lives = 0
        self.steps = self.jobs = self.drivers = self.batches = 0
        self.heads: dict[str, SimHead] = {}
        self.acknowledged_tasks: dict[bytes, int] = {}
        self.ends: dict[int, TaskResult] = {}
        self.outcomes: dict[bytes, list[EndKind]] = {}
        self.wanted_gone: set[int] = set()
        self.starving: dict[TaskClass, float] = {}
        self.tags: dict[bytes, str] = {}
        self.accepts: dict[str, tuple[str, ...]] = {}
        self.durations = self.dice.choice([[0.001], [0.001, 0.02], [0.001, 0.5, 3.0, 10.0]])
        self.deliveries: Counter[tuple[str, int]] = Counter()
        self.replies: Counter[tuple[str, int]] = Counter()
        self.wishes = self.dice.randint(4, 12)
        self.kept_batch: Submit | None = None

    # ------------------------------------------------------------------ the course of it

    def live(self) -> TaskHistory:
        for _ in range(self.dice.randint(1, 3)):
            self.start_job()
        self.start_driver()
        self.events.after(0.1, self.tick)
        self.events.after(self.dice.uniform(0, 3), self.something_fails)
        while not self.is_over():
            what = self.events.next()
            assert what is not None
            self.clock.advance(self.events.now - self.clock.monotonic)
            self.network.is_bad = self.events.now < FAULTS_UNTIL
            if not self.network.is_bad:
                self.accepts.clear()
            if self.events.now > MOST_SECONDS:
                raise TaskViolationError(f"it never ends: {self.unended()}")
            what()
        self.check_end()
        return self

    def unended(self) -> list[Item]:
        return [row for row in self.manager.items.rows if row.phase not in OVER]

    def is_over(self) -> bool:
        return (
            self.wishes == 0 and self.asker.body is None and self.is_up
            and set(self.acknowledged_tasks.values()) <= self.ends.keys()
        )  # fmt: skip

    def tick(self) -> None:
        self.step([])
        self.events.after(0.5, self.tick)

    def start_job(self) -> None:
        self.jobs += 1
        job = f"j{self.jobs}"
        if self.jobs > 1 and self.events.now < FAULTS_UNTIL and self.dice.random() < 0.2:
            self.accepts[job] = ("x",)
        nodes = [
            NodeInventory(f"{job}n{n}", list(range(self.dice.randint(2, 3)))) for n in range(2)
        ]
        self.heads[job] = SimHead(self, job, 0, nodes)

    def start_driver(self) -> None:
        self.drivers += 1
        self.asker = Asker(self, f"driver{self.drivers}")
        self.collector = Collector(self, f"collector{self.drivers}")

    # ------------------------------------------------------------------ the manager

    def deliver(self, sender: Any, number: int, message: bytes, life: int) -> None:
        if not self.is_up or life != self.lives:
            return  # what was on its way to a manager dies with the connection
        self.deliveries[sender.owner.uuid, number] += 1
        if self.network.is_bad and self.dice.random() < 0.006:
            self.faults["manager killed in a commit"] += 1
            self.manager.dispatcher.answer(message, self.clock.moment, b"")
            self.manager.note()
            self.stop_manager(self.dice.randint(0, self.manager.store.buffered))
            return
        self.senders[sender.owner.uuid.encode()] = sender
        self.step([(sender.owner.uuid.encode(), message)])

    @property
    def senders(self) -> dict[bytes, Any]:
        return self.__dict__.setdefault("_senders", {})

    def step(self, messages: list[tuple[bytes, bytes]]) -> None:
        if not self.is_up:
            return
        self.steps += 1
        self.manager.state.tasks.hand_out.starvation.after = STARVE_AFTER
        for job, known in self.manager.state.tasks.heads.items():  # as its pool's settings say
            wanted = self.accepts.get(job, ())
            self.manager.state.tasks.changed |= known.view.accepts != wanted
            known.view.accepts = wanted
        running = self.running_tokens()
        for connection, reply in self.manager.step(messages):
            number, _ = decode_reply(reply)
            key = (connection.decode(), number)
            self.replies[key] += 1
            if self.replies[key] > self.deliveries[key]:
                raise TaskViolationError(f"request {number} of {connection!r} was answered twice")
            self.network.carry("answer", lambda r=reply, s=self.senders[connection]: s.receive(r))
        self.check_order(running)
        self.check_parked()
        self.check_known()
        self.check_starved()

    def running_tokens(self) -> set[int]:
        of_job = self.manager.items.tasks.of_job
        return {token for tokens in of_job.values() for token in tokens}

    def stop_manager(self, lines: int = 0) -> None:
        self.is_up = False
        self.lives += 1
        self.events.after(self.dice.uniform(0.1, 6.0), lambda: self.start_manager(lines))

    def start_manager(self, lines: int) -> None:
        self.manager.restart(lines)
        self.is_up = True

    # ------------------------------------------------------------------ what fails

    def something_fails(self) -> None:
        if self.events.now >= FAULTS_UNTIL:
            if not self.heads:
                self.start_job()
            return
        self.dice.choice([
            self.kill_manager, self.kill_agent, self.kill_agent, self.kill_head, self.kill_job,
            self.believe_dead, self.kill_driver,
        ])()  # fmt: skip
        self.events.after(self.dice.uniform(0.3, 6.0), self.something_fails)

    def some_head(self) -> SimHead | None:
        alive = [head for head in self.heads.values() if head.is_alive]
        return self.dice.choice(alive) if alive else None

    def kill_manager(self) -> None:
        if self.is_up:
            self.faults["manager killed"] += 1
            self.stop_manager()

    def kill_agent(self) -> None:
        if head := self.some_head():
            self.faults["agent killed"] += 1
            head.lose_agent()

    def kill_head(self) -> None:
        """The job goes on with a new one."""
        if head := self.some_head():
            self.faults["head killed"] += 1
            head.die()
            self.heads[head.job] = SimHead(self, head.job, head.life + 1, head.nodes)

    def kill_job(self) -> None:
        if head := self.some_head():
            self.faults["job killed"] += 1
            head.die()
            self.end_head(head)

    def end_head(self, head: SimHead) -> None:
        if self.heads.get(head.job) is head:
            del self.heads[head.job]
            if head.is_alive:
                head.die()
            self.events.after(self.dice.uniform(0.5, 4.0), lambda: self.lose_job(head.job))
            self.events.after(self.dice.uniform(0.5, 4.0), self.start_job)

    def believe_dead(self) -> None:
        """The batch system said so, but it lives."""
        if head := self.some_head():
            self.faults["job believed dead"] += 1
            self.lose_job(head.job)

    def lose_job(self, job: str) -> None:
        if not self.is_up:
            self.events.after(1.0, lambda: self.lose_job(job))
            return
        for token, item in self.manager.items.tasks.of_job.get(job, {}).items():
            self.ran(self.spec_of(item), EndKind.DIED, token > 0)
        self.manager.state.take_back(job, Lost("the job is gone", True), self.clock.moment.wall)
        self.step([])

    def spec_of(self, item: int) -> bytes:
        return self.manager.store.fact("spec", item) or b""

    def kill_driver(self) -> None:
        """Another one takes over; what was under way may have been carried out or not."""
        self.faults["driver killed"] += 1
        body = self.asker.body
        self.asker.is_alive = self.collector.is_alive = False
        if isinstance(body, Submit):
            self.kept_batch = body
        self.start_driver()

    # ------------------------------------------------------------------ what drivers want

    def next_wish(self) -> Any:
        if self.kept_batch is not None:
            batch, self.kept_batch = self.kept_batch, None
            self.faults["submitted twice"] += 1
            return batch
        if self.wishes == 0:
            return None
        self.wishes -= 1
        known = list(self.acknowledged_tasks.values())
        wish = self.dice.random()
        if known and wish < 0.25:
            self.faults["priorities changed"] += 1
            some = self.dice.sample(known, min(len(known), 5))
            return Prioritise(some, [float(self.dice.randint(0, 9)) for _ in some])
        if known and wish < 0.4:
            self.faults["tasks withdrawn"] += 1
            some = self.dice.sample(known, min(len(known), 3))
            self.wanted_gone |= set(some)
            return Withdraw(some)
        self.batches += 1
        calls = [self.call(n, known) for n in range(self.dice.randint(1, 8))]
        return Submit(f"batch{self.batches}", RESOURCES, calls)

    def call(self, number: int, known: list[int]) -> NewTask:
        spec = f"{self.batches}:{number}".encode()
        self.tags[spec] = tag = self.dice.choice(["", "", "x"])
        after = [self.dice.choice(known)] if known and self.dice.random() < 0.2 else []
        return NewTask(
            spec, resources=self.dice.randrange(len(RESOURCES)), after=after,
            priority=float(self.dice.randint(0, 3)), retries=self.dice.randint(0, 2),
            tag=tag,
        )  # fmt: skip

    def acknowledged(self, body: Any, reply: Any) -> None:
        if isinstance(body, Submit):
            assert isinstance(reply, TasksSubmitted), reply
            for call, item in zip(body.calls, reply.items, strict=True):
                known = self.acknowledged_tasks.setdefault(call.spec, item)
                if known != item:
                    raise TaskViolationError(f"task {call.spec!r} is item {known} and item {item}")
            if len(set(self.acknowledged_tasks.values())) != len(self.acknowledged_tasks):
                raise TaskViolationError("two tasks are one item")

    # ------------------------------------------------------------------ how tasks run and end

    def outcome(self, spec: bytes) -> EndKind:
        return self.dice.choice(
            [EndKind.VALUE] * 8 + [EndKind.ERROR, EndKind.DIED, EndKind.EXIT, EndKind.TIMEOUT]
        )

    def ran(self, spec: bytes, kind: EndKind, begun: bool) -> None:
        if begun:
            self.outcomes.setdefault(spec, []).append(kind)

    def collected(self, ended: TaskResult) -> None:
        before = self.ends.setdefault(ended.item, ended)
        if before != ended:
            raise TaskViolationError(f"item {ended.item} ended twice: {before}, then {ended}")
        spec = self.spec_of(ended.item)
        ran = self.outcomes.get(spec, [])
        if ended.phase == "done" and (
            EndKind.VALUE not in ran or ended.value != b"value of " + spec
        ):
            raise TaskViolationError(f"item {ended.item} ({spec!r}) has the value {ended.value!r}")
        if ended.phase == "cancelled" and ended.item not in self.wanted_gone:
            raise TaskViolationError(f"item {ended.item} is cancelled, and nobody wanted it")

    # ------------------------------------------------------------------ the oracle

    def check_order(self, before: set[int]) -> None:
        """What was given in this step was better than what is left of its class."""
        book = self.manager.items
        best: dict[Any, Any] = {}
        for row in book.rows:
            if row.phase is QUEUED:
                best[class_of(row)] = min(best.get(class_of(row), rank_of(row)), rank_of(row))
        for tokens in book.tasks.of_job.values():
            for token, item in tokens.items():
                row = book.rows[item]
                left = best.get(class_of(row))
                if token not in before and left is not None and left < rank_of(row):
                    raise TaskViolationError(
                        f"item {item} went before item {left[2]}, which is better"
                    )

    def check_parked(self) -> None:
        state = self.manager.state
        for _, _, owner, _, handler, _ in self.manager.dispatcher._parked.values():
            head = state.tasks.heads.get(owner.job)
            if head is None or not hasattr(handler, "_restore") or head.owner != owner:
                continue
            for of, n in state.items.tasks.queued.items():
                if head.view.accepts and of[1] not in head.view.accepts:
                    continue
                kept = state.tasks.hand_out.starvation.kept_from(owner.job, of)
                if n and head.view.mirror.inventory.place(state.tasks.resources[of[0]], kept):
                    raise TaskViolationError(f"{owner.job} waits, and a task of {of} would fit")

    def check_known(self) -> None:
        """Each task that a living head is said to run is known to it, or on its way."""
        for job, tokens in self.manager.items.tasks.of_job.items():
            head = self.heads.get(job)
            known = self.manager.state.tasks.heads.get(job)
            if head is None or known is None or known.owner != head.owner or not known.is_known:
                continue
            session = head.session
            unheard = {end.token for end in session._unheard}
            for token in tokens:
                if token <= session._seen and token not in session._tasks and token not in unheard:
                    raise TaskViolationError(f"{job} knows nothing of token {token}")

    def check_starved(self) -> None:
        """What was passed by for too long has nodes reserved, wherever nothing else has."""
        now, starving = self.clock.monotonic, set(self.starving_now())
        self.starving = {of: self.starving.get(of, now) for of in starving}
        for of, since in self.starving.items():
            if now - since > 12.0:  # each head has asked several times since then
                raise TaskViolationError(f"{of} starves, and a head could keep nodes for it")

    def starving_now(self) -> Iterator[TaskClass]:
        state = self.manager.state
        starvation = state.tasks.hand_out.starvation
        having = {of for of, _ in starvation.reserved.values()}
        for of, since in starvation.passed_by.items():
            is_old = self.clock.monotonic - since > STARVE_AFTER
            is_wanting = is_old and of not in having and state.items.tasks.queued[of]
            if is_wanting and any(
                self.could_reserve(one, of) for one in state.tasks.heads.values()
            ):
                yield of

    def could_reserve(self, head: Head, of: TaskClass) -> bool:
        tasks, job = self.manager.state.tasks, head.owner.job
        is_there = job in self.heads and self.heads[job].owner == head.owner and head.is_known
        accepts = not head.view.accepts or of[1] in head.view.accepts
        fits = head.view.mirror.inventory.nearest_to_free(tasks.resources[of[0]]) is not None
        return is_there and accepts and fits and job not in tasks.hand_out.starvation.reserved

    def check_end(self) -> None:
        if set(self.acknowledged_tasks.values()) != set(range(len(self.manager.items))):
            raise TaskViolationError("there are tasks that nobody submitted")
        for row in self.manager.items.rows:
            ran = self.outcomes.get(self.spec_of(row.id), [])
            died = sum(kind in (EndKind.DIED, EndKind.SIGNAL) for kind in ran)
            failed = sum(kind in (EndKind.ERROR, EndKind.EXIT, EndKind.TIMEOUT) for kind in ran)
            if row.crashes > died or row.fails > failed:
                raise TaskViolationError(f"item {row.id} was blamed for a neighbour: {row}, {ran}")
            if row.phase is RUNNING:
                raise TaskViolationError(f"item {row.id} still runs")


def play_tasks(seed: int) -> TaskHistory:
    """Live through the history of a seed."""
    return TaskHistory(seed).live()
