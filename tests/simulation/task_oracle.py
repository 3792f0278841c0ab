"""What must hold of tasks whatever happens, judged by what was sent to the manager and by it.

An acknowledged task ends once, as it ran, and its end never changes. A token is given once. Two
tasks never share a core, a share of a GPU, or memory of a node, and none is placed on a node of which the
manager was told that it is lost. What was withdrawn is not begun once its head
knows. A better task never waits behind a worse one that takes what it could have had; one that is
passed by gets nodes of its own after `starve_after`. A priority that was acknowledged reaches
those that wait in heads. No report of a head waits while something fits that it may have. Each task
that the database gives to a living head is known to it, or on its way. Nobody is blamed for a neighbour.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.jobs.commands import SubmitJobs
from adaptive_scheduler.core.rows.items import rank_of
from adaptive_scheduler.core.rows.row import DONE, OVER, QUEUED, RUNNING, Item
from adaptive_scheduler.core.rows.task_index import TaskClass, class_of
from adaptive_scheduler.core.tasks.head_view import HeadView
from adaptive_scheduler.core.tasks.place import NodePlace
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.wire.messages import (
    Ok,
    Owner,
    Refused,
    Reply,
    Request,
    decode_reply,
    decode_request,
)
from adaptive_scheduler.core.wire.tasks import (
    EndKind,
    Given,
    NewTask,
    NodeChange,
    Prioritise,
    Results,
    Submit,
    TaskResult,
    TasksSubmitted,
    Trade,
    Withdraw,
    Work,
)
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.storage import tinydb_file
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.dispatch import Dispatcher
from tests.simulation.jobs_that_lack_nodes import Lacking, WayOut
from tests.simulation.manager import FOLDER
from tests.simulation.oracle import Oracle, demand
from tests.simulation.slurm import Job

if TYPE_CHECKING:
    from tests.simulation.heads import HeadLife
    from tests.simulation.task_history import TaskHistory

_FAILURES = (EndKind.ERROR, EndKind.EXIT, EndKind.TIMEOUT)
#: Virtual seconds for which a task may be passed by.
STARVE_AFTER = 6.0


class TaskOracle(Oracle):
    """Watches a history of tasks.

    Attributes
    ----------
    items : dict of bytes to int
        Of the acknowledged tasks, by their specs.
    """

    history: TaskHistory

    def __init__(self, history: TaskHistory) -> None:
        super().__init__(history)
        self.items: dict[bytes, int] = {}
        self._calls: dict[bytes, NewTask] = {}
        self._specs: dict[int, bytes] = {}
        self._results: dict[int, TaskResult] = {}
        self._withdrawn: set[int] = set()
        self._wanted_gone: set[int] = set()
        self._priorities: defaultdict[int, set[float]] = defaultdict(set)
        self._ran: defaultdict[bytes, list[EndKind]] = defaultdict(list)
        self._holders: dict[int, tuple[int, str]] = {}
        self._asked: dict[bytes, tuple[Owner, int, Request]] = {}
        self._arrived: Counter[bytes] = Counter()
        self._answered: Counter[bytes] = Counter()
        self._last_told: dict[str, int] = {}
        self._last_token = 0  # that anybody was told
        self._granted = 0  # by this manager
        self._begun: Counter[bytes] = Counter()
        self._passed: dict[TaskClass, float] = {}
        self._had_nodes: set[TaskClass] = set()
        self._without = Lacking()
        self._shapes: dict[int, int] = {}  # by the submit's number
        #: Of each head the last change of each of its nodes that was told.
        self._nodes: defaultdict[str, dict[int, NodeChange]] = defaultdict(dict)

    # --------------------------------------------------------------------- a manager

    def manager_started(self, turns: Dispatcher) -> None:
        self._tasks = turns.state.tasks
        self._tasks.hand_out.starvation.after = STARVE_AFTER
        self._passed.clear()
        self._without = Lacking()
        self._granted = self._last_token
        super().manager_started(turns)
        self._real_renew = turns.clients.renew_lease
        turns.clients.renew_lease = self._renew_lease  # type: ignore[method-assign]
        self._real_heads = turns._handlers[Trade]
        turns._handlers[Trade] = self
        self._real_hand_out = self._tasks.hand_out.to
        self._real_place_waiting = self._tasks.hand_out.place_waiting
        self._tasks.hand_out.place_waiting = self._place_waiting  # type: ignore[method-assign]
        self._tasks.hand_out.to = self._hand_out  # type: ignore[method-assign]
        self._real_lose_head = self._tasks.lose_head
        self._tasks.lose_head = self._lose_head  # type: ignore[method-assign]

    def handle(self, owner: Owner, number: int, request: Request, now: Moment) -> Any:
        if not isinstance(request, Trade):
            return self._real(owner, number, request, now)
        for change in request.nodes:
            known = self._nodes[owner.uuid].get(change.node)
            if known is None or known.number < change.number:
                self._nodes[owner.uuid][change.node] = change
        return self._real_heads.handle(owner, number, request, now)

    def wake(self, owner: Owner, request: Any, now: Moment) -> Reply | None:
        return self._real_heads.wake(owner, request, now)  # type: ignore[attr-defined]

    def expire(self, owner: Owner, request: Any, now: Moment) -> Reply:
        return self._real_heads.expire(owner, request, now)  # type: ignore[attr-defined]

    def _renew_lease(self, owner: Owner, request: Request, now: Moment) -> Any:
        record = self._real_renew(owner, request, now)
        self._hear(owner, request, record if isinstance(record, Refused) else Ok())
        return record

    def _lose_head(self, job: str, *how: Any) -> None:
        """Of a head that has not told what it holds, any task may have begun."""
        head = self._tasks.heads.get(job)
        if head is None or not head.is_known:
            for item in self._book.tasks.of_job.get(job, {}).values():
                self._begun[self._spec_of(item)] += 1
        self._real_lose_head(job, *how)

    def turn_taken(self, looked: bool) -> None:
        self._last_turn = self.history.now
        rows = self._book.rows
        if len(rows) != len(self._rows) or any(
            a is not b for a, b in zip(rows, self._rows, strict=True)
        ):
            self._check_rows()
        self._without.note(self._tasks.heads, self.history.manager.monotonic())
        self._check_parked()
        for life in self.history.lives.values():
            head = self._tasks.heads.get(life.job.id)
            if not life.dead and head is not None and head.owner == life.owner and head.is_known:
                self._check_known(life, head)
        if looked:
            self._check_burials()

    # ---------------------------------------------------------------------- messages

    def arrives(self, connection: bytes, message: bytes) -> None:
        super().arrives(connection, message)
        self._arrived[connection] += 1
        try:
            owner, number, request = decode_request(message)
        except ProtocolError:
            return
        self._asked[connection] = owner, number, request
        if number < self._last_told.get(owner.uuid, 0):
            return  # late: its sender has heard the answer to a newer one
        if isinstance(request, Submit):
            self._calls.update({task.spec: task for task in request.calls})
        elif isinstance(request, Withdraw):
            self._wanted_gone.update(request.items)
        elif isinstance(request, Prioritise):
            for item, priority in zip(request.items, request.priorities, strict=True):
                self._priorities[item].add(priority)

    def told(self, connection: bytes, message: bytes) -> None:
        """An answer leaves: what it says must be true for ever after."""
        number, reply = decode_reply(message)
        if connection not in self._asked:
            return  # a person's
        self._answered[connection] += 1
        is_once = self._answered[connection] <= self._arrived[connection]
        demand(is_once, f"a request is answered twice: {type(reply).__name__}")
        owner, _, request = self._asked[connection]
        self._last_told[owner.uuid] = max(number, self._last_told.get(owner.uuid, 0))
        if isinstance(reply, Work):
            for given in reply.tasks:
                self._note_given(owner, given)
        elif isinstance(reply, Results):
            for result in reply.ended:
                self._note_result(result)
        elif not isinstance(reply, Refused):
            self._note_wish(request, reply)

    def _note_wish(self, request: Request, reply: Reply) -> None:
        """What a driver wanted was done."""
        if isinstance(request, Submit):
            assert isinstance(reply, TasksSubmitted)
            self._note_submitted(request, reply)
        elif isinstance(request, Prioritise):
            for item, priority in zip(request.items, request.priorities, strict=True):
                self._priorities[item] = {priority}
        elif isinstance(request, Withdraw):
            self._withdrawn.update(request.items)
            self._check_rows()

    def _note_submitted(self, request: Submit, reply: TasksSubmitted) -> None:
        for task, item in zip(request.calls, reply.items, strict=True):
            known = self.items.setdefault(task.spec, item)
            demand(known == item, f"task {task.spec!r} is item {known} and item {item}")
            other = self._specs.setdefault(item, task.spec)
            demand(other == task.spec, f"item {item} is two tasks")
            if not self._priorities[item]:
                self._priorities[item] = {task.priority}

    def _note_result(self, result: TaskResult) -> None:
        before = self._results.setdefault(result.item, result)
        demand(before == result, f"item {result.item} ended as {before}, and then as {result}")
        spec = self._specs.get(result.item) or self._spec_of(result.item)
        if result.phase == "done":
            is_true = EndKind.VALUE in self._ran[spec] and result.value == b"value of " + spec
            demand(is_true, f"item {result.item} ({spec!r}) has the value {result.value!r}")
        elif result.phase == "cancelled":
            demand(result.item in self._wanted_gone, "a task is cancelled, and nobody wanted it")

    def _note_given(self, owner: Owner, given: Given) -> None:
        holder = self._holders.setdefault(given.token, (given.item, owner.uuid))
        demand(holder == (given.item, owner.uuid), f"token {given.token} is given twice")
        self._last_token = max(self._last_token, given.token)

    # -------------------------------------------------------------------------- rows

    def _spec_of(self, item: int) -> bytes:
        return self._tasks.facts.fact("spec", item) or b""

    def _check_rows(self) -> None:
        rows = self._rows = list(self._book.rows)
        for item, spec in self._specs.items():
            demand(item < len(rows), f"item {item} was acknowledged, and is lost")
            row = rows[item]
            demand(self._spec_of(item) == spec, f"the arguments of item {item} are lost")
            if row.phase not in OVER:
                allowed = self._priorities[item]
                demand(row.priority in allowed, f"a priority of item {item} is lost")
                demand(item not in self._withdrawn, f"item {item} was withdrawn, and is back")
        for item, result in self._results.items():
            same = rows[item].phase.value == result.phase and rows[item].reason == result.reason
            demand(same, f"the end of item {item} is undone")
            if result.phase == "done":
                value = self._tasks.facts.fact("value", item)
                demand(value == result.value, f"the value of item {item} is lost")
        for row in rows:
            demand((row.job is not None) == (row.phase is RUNNING), "job and phase")
            self._check_blame(row)

    def _check_blame(self, row: Item) -> None:
        spec = self._spec_of(row.id)
        failed = sum(kind in _FAILURES for kind in self._ran[spec])
        most = self._begun[spec]
        is_own = row.attempts <= most and row.crashes + row.fails <= most and row.fails <= failed
        demand(is_own, f"item {row.id} is blamed for a neighbour: {row}, {self._ran[spec]}")

    # ---------------------------------------------------------------- order and placing

    def _hand_out(self, head: HeadView, wall: float, monotonic: float) -> int:
        """Watch the manager hand out tasks to one head."""
        self._forget_passed()
        before = set(head.mirror.given)
        starvation = self._tasks.hand_out.starvation
        passed = starvation.passed_by.items()
        due = {of for of, since in passed if monotonic - since >= STARVE_AFTER}
        self._had_nodes = {of for of, one in starvation.reserved.items() if one.job == head.job}
        due |= self._had_nodes
        n = self._real_hand_out(head, wall, monotonic)
        if n:
            new = [given for token, given in head.mirror.given.items() if token not in before]
            self._check_given(head, new)
            self._check_order(head, new, monotonic, due)
        self._forget_passed()
        return n

    def _place_waiting(self, head: HeadView) -> None:
        """Watch the manager give places to tasks that wait in a head."""
        before = {order.number for order in head.mirror.work().orders}
        self._real_place_waiting(head)
        for order in head.mirror.work().orders:
            if order.number not in before:
                self._check_nodes(head, order.place)

    def _check_nodes(self, head: HeadView, place: Sequence[NodePlace] | None) -> None:
        """Nothing is placed on a node that is lost, and ranks are counted in one order."""
        owner = self._tasks.heads[head.job].owner
        numbers = [part.node for part in place or ()]
        for number in numbers:
            change = self._nodes[owner.uuid].get(number)
            is_there = number == 0 if change is None else change.inventory is not None
            demand(is_there, f"{head.job}: a task is placed on node {number}, which is lost")
        demand(numbers == sorted(set(numbers)), f"nodes {numbers} are not in their order")

    def _forget_passed(self) -> None:
        """Classes without free tasks wait for nothing."""
        queued = self._book.tasks.queued
        self._passed = {of: since for of, since in self._passed.items() if queued.get(of)}

    def _check_given(self, head: HeadView, new: Sequence[Given]) -> None:
        rows, job = self._book.rows, head.job
        if any(given.crashes for given in new):
            demand(len(head.mirror.suspects) == 1, f"{job} has two tasks that died before")
        for given in new:
            row = rows[given.item]
            demand(given.token > self._granted, f"token {given.token} is given again")
            self._check_nodes(head, given.place)
            self._granted = given.token
            demand(self._may_have(head, class_of(row)), f"{job} may not have item {row.id}")
            is_free = all(rows[parent].phase is DONE for parent in row.depends_on)
            demand(is_free, f"item {row.id} is given before what it depends on is done")
            mean = self._tasks.hand_out.durations.of(row.function)
            is_known = given.place is not None or mean < float("inf")
            demand(is_known, "a task that may be long waits in a head")

    def _may_have(self, head: HeadView, of: TaskClass) -> bool:
        is_tagged = not head.accepts or of[1] in head.accepts
        return is_tagged and (self._tasks.resources[of[0]].walltime or 0.0) <= head.seconds_left

    def _best(self) -> dict[TaskClass, Item]:
        best: dict[TaskClass, Item] = {}
        for row in self._book.rows:
            if row.phase is QUEUED:
                other = best.get(class_of(row))
                if other is None or rank_of(row) < rank_of(other):
                    best[class_of(row)] = row
        return best

    def _check_order(
        self, head: HeadView, new: Sequence[Given], now: float, due: set[TaskClass]
    ) -> None:
        """What was given was better than what is left of its class, or could not have had the place."""
        rows = self._book.rows
        best = self._best()
        for given in new:
            left = best.get(class_of(rows[given.item]))
            is_best = left is None or rank_of(rows[given.item]) < rank_of(left)
            demand(is_best, f"item {given.item} went before one that is better")
        placed = [given for given in new if given.place is not None]
        for given in placed:
            self._passed.pop(class_of(rows[given.item]), None)
        if any(class_of(rows[given.item]) in due for given in placed):
            return  # what starved has had its turn: from then on the others go on
        for of, left in best.items():
            worse = [given for given in placed if rank_of(rows[given.item]) > rank_of(left)]
            if worse and self._may_have(head, of):
                if not due and not self._is_other_suspect(
                    head, of
                ):  # nothing was kept for one that starves
                    self._check_places(head, of, worse)
                self._check_passed(head, of, worse, now, due)

    def _is_other_suspect(self, head: HeadView, of: TaskClass) -> bool:
        """Whether these died before, as one that the head has did: it runs one of them at a time."""
        return of[2] and bool(head.mirror.suspects)

    def _check_places(self, head: HeadView, of: TaskClass, worse: Sequence[Given]) -> None:
        """A task that was passed by did not fit."""
        inventory, task = head.mirror.inventory, self._tasks.resources[of[0]]
        for given in worse:
            inventory.free(given.place or [])
        fits = inventory.place(task, head.avoided) is not None
        for given in worse:
            inventory.take(given.place or [])
        words = f"a task of {of} ({task}) fits, and worse ones are given its place: {worse}"
        demand(not fits, words)

    def _check_passed(
        self, head: HeadView, of: TaskClass, worse: Sequence[Given], now: float,
        due: set[TaskClass],
    ) -> None:  # fmt: skip
        """A task was passed by, and not for too long."""
        if self._is_other_suspect(head, of):
            return
        starvation = self._tasks.hand_out.starvation
        if not head.mirror.inventory.could_hold(self._tasks.resources[of[0]]):
            return
        if head.avoided or self._had_nodes - {of} or starvation.kept_from(head.job, of):
            return  # others that starve have nodes there already, or some are good for nothing
        since = self._passed.setdefault(of, now)
        is_elsewhere = of in starvation.reserved
        if now - since > STARVE_AFTER and not is_elsewhere:
            for given in worse:
                is_due = class_of(self._book.rows[given.item]) in due
                demand(is_due, f"a task of {of} is passed by for {now - since:.1f} s")

    # ----------------------------------------------------------------- what heads know

    def _heads_that_wait(self) -> Iterator[Head]:
        for _, _, owner, request, _, _ in self._turns._parked.values():
            head = self._tasks.heads.get(owner.job)
            if isinstance(request, Trade) and head is not None and head.owner == owner:
                yield head

    def _check_parked(self) -> None:
        """No report waits while something fits that its head may have."""
        queued = [of for of, n in self._book.tasks.queued.items() if n]
        if not queued:
            return
        state = self._turns.state
        way = WayOut(state, self._without.for_long(self.history.manager.monotonic()))
        for head in self._heads_that_wait():
            job = head.owner.job
            pool = state.pools.by_shape.get(state.jobs.records[job].shape)
            if head.leaves or job in state.stops.being_cancelled or pool is None or pool.is_removed:
                continue
            if way.makes_way(job, pool):
                continue
            left = head.ends_at - self.history.manager.monotonic()
            for of in queued:
                if self._is_other_suspect(head.view, of):
                    continue
                task = self._tasks.resources[of[0]]
                is_for_it = self._may_have(head.view, of) and (task.walltime or 0.0) <= left
                kept = self._tasks.hand_out.starvation.kept_from(job, of)
                kept = {*kept, *head.view.avoided}
                fits = head.view.mirror.inventory.place(task, kept) is not None
                demand(not (is_for_it and left > 0 and fits), f"{job} waits, and {of} would fit")

    def _check_known(self, life: HeadLife, head: Head) -> None:
        """What the database gives to a living head is known to it, with its priority, or on its way."""
        session, job = life.session, life.job.id
        unheard = {end.token for end in session._report.unheard}
        given = self._book.tasks.of_job.get(job, {})
        for token in given:
            is_known = token > session._report.seen or token in session._tasks or token in unheard
            demand(is_known, f"{job} knows nothing of token {token}")
        work = head.view.mirror.work()
        if work.orders or work.tasks:
            return
        for token, known in session._tasks.items():
            waits = token not in session.running and token not in session._lines
            if waits and token in given:
                priority = self._book.rows[given[token]].priority
                demand(known.priority == priority, f"{job} never hears of a new priority")

    def begins(self, life: HeadLife, given: Given) -> None:
        """A head begins a task."""
        self._begun[given.spec] += 1
        pool = self.history.pool_of(life.job)
        tag = self._calls[given.spec].tag
        demand(not pool.accepts or tag in pool.accepts, f"{life.job.id} accepts no tag {tag!r}")
        item = self.items.get(given.spec, given.item)
        demand(item == given.item, f"item {given.item} begins with arguments of item {item}")

    def ran(self, given: Given, kind: EndKind) -> None:
        """What began is over, as it really was."""
        self._ran[given.spec].append(kind)

    # -------------------------------------------------------------------- the queue

    def check_number(self) -> None:
        alive = Counter(
            self._shapes[job.submit]
            for job in self.history.slurm.living() if job.id not in self.excused
        )  # fmt: skip
        for shape, n in alive.items():
            pool = next(
                self.history.pool_of_submit[s] for s, of in self._shapes.items() if of == shape
            )
            demand(n <= pool.max_jobs, f"{n} jobs of pool {pool.name}, {pool.max_jobs} are allowed")

    def submit_decided(self, submit: SubmitJobs) -> None:
        super().submit_decided(submit)
        pool = self._turns.state.pools.by_shape[submit.shape]
        self.history.pool_of_submit[submit.number] = pool
        self._shapes[submit.number] = submit.shape

    def cancel_decided(self, jobs: Sequence[str]) -> None:
        timing = self.history.config.timing
        self.leaving.update(jobs)
        self._cancelling.update(jobs)
        for name in jobs:
            job = self.history.slurm.jobs.get(name)
            demand(job is not None, "a job of somebody else is cancelled")
            if self._silence(name) > timing.lease + timing.patience:
                self.silent.add(name)
            elif name in self._book.tasks.of_job:
                demand(job is None or job.ended, "a job that works is cancelled")

    def cancelled(self, job: Job) -> None:
        life = self.history.lives.get(job.id)
        is_at_work = life is not None and not life.dead and bool(life.begun)
        if is_at_work and job.id in self._book.tasks.of_job:
            demand(job.id in self.silent, "a job that works was cancelled")

    def client_dies(self, life: Any, own_fault: bool) -> None:
        """Who is to blame is judged by the ends of its tasks."""

    # -------------------------------------------------------------------------- end

    def check_end(self) -> None:
        rows = self._book.rows
        demand(all(row.phase in OVER for row in rows), "a task has not ended")
        specs = {self._spec_of(row.id) for row in rows}
        demand(specs <= self._calls.keys(), "there are tasks that nobody submitted")
        demand(len(specs) == len(rows), "a task is there twice")
        missing = set(self.items.values()) - self._results.keys()
        demand(not missing, f"the end of items {missing} was never told")
        self._turns.persistence.checkpoint(wait=True)
        tables = tinydb_file.AtomicStorage(FOLDER.database).read() or {}
        kept = tables.get(tinydb_file.ITEMS, {})
        for row in rows:
            found = kept[str(row.id)]
            same = (found["phase"], found.get("token", 0), found.get("ended", 0))
            demand(same == (row.phase.value, row.token, row.ended), "the file lacks an end")
        store = Database(FOLDER)
        for row in rows:
            value = store.fact("value", row.id) if row.phase is DONE else b""
            is_there = row.phase is not DONE or value == b"value of " + self._spec_of(row.id)
            demand(is_there, f"the value of item {row.id} is lost at the checkpoint")
