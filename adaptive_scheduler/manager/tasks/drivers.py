"""Answer drivers: take tasks in, tell how they ended. No socket, no file, no clock."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection

import msgspec

from adaptive_scheduler.core.rows.events import Cancelled
from adaptive_scheduler.core.rows.row import (
    OVER,
    QUEUED,
    RUNNING,
    TASK,
    Item,
    TaskItem,
)
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.rows.task_results import task_result
from adaptive_scheduler.core.tasks.resources import check_resources
from adaptive_scheduler.core.tasks.retry_policy import NO_RETRIES
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.wire.messages import Ok, Owner, Refused, Reply, Request
from adaptive_scheduler.core.wire.tasks import (
    CloseRun,
    Collect,
    DescribeTasks,
    Fetch,
    Fetched,
    NewTask,
    OpenRun,
    Prioritise,
    PutFunction,
    RefusedTask,
    Results,
    Submit,
    TaskResult,
    TasksSubmitted,
    TaskView,
    TaskViews,
    Withdraw,
)
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.tasks.parked import Parked
from adaptive_scheduler.manager.tasks.request_order import RequestOrder

#: The digest of a function: a name for its file.
_KEY = re.compile("[0-9a-f]{32}")
#: What drivers send.
DRIVER_REQUESTS = frozenset(
    (PutFunction, Submit, Collect, Fetch, Prioritise, Withdraw, DescribeTasks, OpenRun, CloseRun)
)
#: Ends and bytes of values that one answer brings.
MOST_ENDS, MOST_BYTES = 1000, 2**20
#: Tasks that one request may name; who has more sends several.
MOST_CALLS = 1000
MOST_PRIORITIES = 100_000
#: Parts of one function, and functions of which not all parts are there yet.
MOST_PARTS, MOST_PARTIAL = 2000, 100


class DriverManager:
    """The drivers' side of the manager.

    Parameters
    ----------
    state : RunState
    now : Moment
        From which on a driver may be missed.
    """

    def __init__(self, state: RunState, now: Moment) -> None:
        self._state = state
        self._heard = now.monotonic
        self._parts: dict[str, dict[int, bytes]] = {}
        self._order = RequestOrder()

    def handle(self, owner: Owner, number: int, request: Request, now: Moment) -> Reply | Parked:
        """Answer one request. It may come twice: done again, each of them changes nothing more."""
        self._heard = now.monotonic
        if self._order.is_late(owner.uuid, number):
            return Refused("old_request", "a newer one of the same driver was answered before.")
        return self._answer(request, now)

    def _answer(self, request: Request, now: Moment) -> Reply | Parked:
        match request:
            case Submit():
                return self._submit(request, now)
            case Collect():
                results = self._results(request.seen, now)
                is_news = bool(results.ended or results.more) or request.wait <= 0
                return results if is_news else Parked(now.monotonic + request.wait)
            case Fetch():
                return self._fetch(request, now)
            case PutFunction():
                return self._put_function(request)
            case Prioritise():
                return self._prioritise(request, now)
            case Withdraw():
                return self._withdraw(request, now)
            case DescribeTasks():
                return self._describe(request)
        self._set_open(type(request) is OpenRun)
        return Ok()

    def _set_open(self, is_open: bool) -> None:
        self._state.tasks.is_open = is_open
        self._state.dirty = self._state.tasks.changed = True

    def close_if_gone(self, now: Moment) -> None:
        """No more tasks will come, if all have ended and no driver was heard for too long."""
        is_waiting = self._state.tasks.is_open and not self._state.items.unfinished
        if is_waiting and self._is_gone(now):
            self._set_open(False)

    def _is_gone(self, now: Moment) -> bool:
        return now.monotonic - self._heard > self._state.config.timing.driver_patience

    def is_deserted(self, now: Moment) -> bool:
        """Whether tasks wait, but nobody is there to run them, and no driver was heard for too long."""
        state = self._state
        has_jobs = state.pools.active or state.tasks.heads or state.jobs.live
        is_of_tasks = state.config.kind == TASK and not state.is_over
        return is_of_tasks and not has_jobs and self._is_gone(now)

    def wake(self, _owner: Owner, request: Collect, now: Moment) -> Reply | None:
        """Answer a Collect that waits, if something has ended."""
        results = self._results(request.seen, now)
        return results if results.ended or results.more else None

    def expire(self, _owner: Owner, request: Collect, _now: Moment) -> Reply:
        """Answer a Collect that has waited as long as it wanted."""
        return Results(request.seen)

    # ------------------------------------------------------------------- tasks in

    def _put_function(self, request: PutFunction) -> Reply:
        facts = self._state.tasks.facts
        is_part = 0 <= request.part < request.parts <= MOST_PARTS
        if not _KEY.fullmatch(request.key) or not is_part:
            return Refused("bad_request", "that is no part of a function.")
        if facts.has_function(request.key):
            return Ok()
        parts = self._parts.setdefault(request.key, {})
        if len(self._parts) > MOST_PARTIAL:
            del self._parts[next(iter(self._parts))]  # of a driver that went away
        parts[request.part] = request.data
        if len(parts) == request.parts:
            del self._parts[request.key]
            whole = b"".join(parts[n] for n in range(request.parts))
            if hashlib.blake2b(whole, digest_size=16).hexdigest() != request.key:
                return Refused("bad_request", "the function is not the one that its key names.")
            facts.put_function(request.key, whole)
        return Ok()

    def _submit(self, request: Submit, now: Moment) -> Reply:
        tasks, items = self._state.tasks, self._state.items
        known = tasks.submitted.batches.get(request.batch)
        if known is not None:
            return TasksSubmitted(known, self._refused_before(request, known, now))
        if refusal := self._check(request):
            return refusal
        refused = self._refused(request, now)
        if len(refused) == len(request.calls):
            return TasksSubmitted([-1] * len(refused), list(refused.values()))
        limits = self._state.size_limits
        numbers = [tasks.submitted.number_of(one, limits) for one in request.resources]
        ids: list[int] = []
        new: list[Item] = []
        keys: dict[str, int] = {}
        for place, call in enumerate(request.calls):
            if place in refused:
                ids.append(-1)
                continue
            there = items.tasks.by_key.get(call.key, keys.get(call.key)) if call.key else None
            if there is not None:
                ids.append(there)
                continue
            item = self._item(len(items) + len(new), call, numbers, now)
            tasks.facts.put_fact("spec", item.id, call.spec)
            new.append(item)
            ids.append(item.id)
            if call.key:
                keys[call.key] = item.id
        items.append(new, now.wall)
        tasks.submitted.note_batch(request.batch, ids)
        tasks.changed = tasks.is_open = self._state.dirty = True
        return TasksSubmitted(ids, list(refused.values()))

    def _item(self, number: int, call: NewTask, resources: list[int], now: Moment) -> Item:
        return TaskItem(
            number, "", QUEUED, priority=call.priority, depends_on=tuple(call.after),
            shape=resources[call.resources], changed=now.wall, tag=call.tag, name=call.name,
            key=call.key, function=call.function, timeout=call.timeout, created=now.wall,
            policy=call.policy if call.policy != NO_RETRIES else NO_RETRIES,
        )  # fmt: skip

    def _check(self, request: Submit) -> Refused | None:
        if len(request.calls) > MOST_CALLS:
            return _too_many(len(request.calls))
        for one in request.resources:
            try:
                check_resources(**msgspec.structs.asdict(one))
            except InputError as error:
                return Refused("bad_request", f"no task can need that: {error}")
        if self._state.cancelled:
            return Refused("cancelled", "the run was cancelled: resume it first.")
        return None

    def _refused(self, request: Submit, now: Moment) -> dict[int, RefusedTask]:
        """Return those that cannot be taken, by their places: the others are unharmed."""
        refused: dict[int, RefusedTask] = {}
        unplaceable: dict[tuple[int, str], str] = {}
        functions = set(filter(self._has_function, {call.function for call in request.calls}))
        for place, call in enumerate(request.calls):
            fault = self._fault(call, len(request.resources), functions)
            if fault is None:
                of = call.resources, call.tag
                if of not in unplaceable:
                    needs = request.resources[call.resources]
                    unplaceable[of] = self._state.why_unplaceable(needs, call.tag, now.monotonic)
                fault = ("unplaceable", unplaceable[of]) if unplaceable[of] else None
            if fault is not None:
                refused[place] = RefusedTask(place, *fault)
        return refused

    def _refused_before(self, request: Submit, known: list[int], now: Moment) -> list[RefusedTask]:
        """Return what was refused of a batch whose answer was lost: the reason may have gone since."""
        again = RefusedTask(0, "refused_before", "it was refused before: send it again.")
        refused = self._refused(request, now)
        return [
            refused.get(place, msgspec.structs.replace(again, place=place))
            for place, item in enumerate(known)
            if item < 0
        ]

    def _has_function(self, key: str) -> bool:
        """Whether calls of a function can run; it looks at the disk. Commands have none."""
        is_key = bool(_KEY.fullmatch(key))
        return not key or (is_key and self._state.tasks.facts.has_function(key))

    def _fault(
        self, call: NewTask, resources: int, functions: Collection[str]
    ) -> tuple[str, str] | None:
        if call.function not in functions:
            return "unknown_function", "it calls a function that was not sent."
        if not 0 <= call.resources < resources:
            return "bad_request", "it names resources that were not sent."
        if not math.isfinite(call.priority):
            return "bad_request", f"it has the priority {call.priority}, which is no number."
        if not call.policy.is_possible or not (call.timeout is None or 0 < call.timeout < math.inf):
            return (
                "bad_request",
                "its retries, max_crashes, delay or timeout are no possible numbers.",
            )
        missing = [one for one in call.after if not 0 <= one < len(self._state.items)]
        if missing:
            return "no_such_item", f"it waits for task {missing[0]}, which does not exist."
        return None

    # ------------------------------------------------------------------- results out

    def _results(self, seen: int, now: Moment) -> Results:
        items = self._state.items
        ended: list[TaskResult] = []
        size, upto = 0, seen
        for number in range(max(0, seen), len(items.tasks.ends)):
            if len(ended) >= MOST_ENDS or size >= MOST_BYTES:
                return Results(upto, ended, more=True)
            upto = number + 1
            item = items.tasks.ends[number]
            row = items.task(item) if item >= 0 else None
            if row is None or row.ended != upto or row.phase not in OVER:
                continue  # it was tried again since
            end = self._told(row, now)
            size += _size(end)
            ended.append(end)
        return Results(upto, ended)

    def _fetch(self, request: Fetch, now: Moment) -> Reply:
        if len(request.items) > MOST_CALLS:
            return _too_many(len(request.items))
        items = self._state.items
        ended: list[TaskResult] = []
        looked_at = size = 0
        for item in request.items:
            if size >= MOST_BYTES:
                break
            looked_at += 1
            row = items.rows[item] if 0 <= item < len(items) else None
            if type(row) is TaskItem and row.phase in OVER:
                ended.append(end := self._told(row, now))
                size += _size(end)
        return Fetched(len(items.tasks.ends), looked_at, ended)

    def _told(self, row: TaskItem, now: Moment) -> TaskResult:
        """Return how a task has ended, and remember that a driver was told."""
        self._state.tasks.note_told(row, now.wall)
        return task_result(row, self._state.tasks.facts.fact)

    def _describe(self, request: DescribeTasks) -> Reply:
        if len(request.items) > MOST_CALLS:
            return _too_many(len(request.items))
        rows = self._state.items.rows
        found = [rows[item] for item in request.items if 0 <= item < len(rows)]
        return TaskViews([self._view(row) for row in found if type(row) is TaskItem])

    def _view(self, row: TaskItem) -> TaskView:
        if row.phase is not RUNNING:
            return TaskView(row.id, row.phase.value, row.attempts, since=row.changed)
        job, head = row.job or "", self._head_of(row)
        if head is None:
            return TaskView(row.id, row.phase.value, row.attempts, job, since=row.changed)
        mirror = head.view.mirror
        return TaskView(
            row.id, row.phase.value, row.attempts, job, head.node_of(row.token),
            mirror.pids.get(row.token, 0), row.changed, mirror.has_place(row.token),
        )  # fmt: skip

    # ------------------------------------------------------------------- changes

    def _prioritise(self, request: Prioritise, now: Moment) -> Reply:
        if len(request.items) > MOST_PRIORITIES:
            return _too_many(len(request.items))
        if len(request.items) != len(request.priorities):
            return Refused("bad_request", "there must be one priority for each task.")
        if not all(map(math.isfinite, request.priorities)):
            return Refused("bad_request", "a priority must be a number, and finite.")
        for item, priority in zip(request.items, request.priorities, strict=True):
            if self._is_open_task(item):
                after = self._state.items.prioritise(item, priority, now.wall)
                if type(after) is not Refused and (head := self._head_of(after)) is not None:
                    head.view.mirror.prioritise(after.token, priority)
        self._state.tasks.changed = True
        return Ok()

    def _withdraw(self, request: Withdraw, now: Moment) -> Reply:
        if len(request.items) > MOST_PRIORITIES:
            return _too_many(len(request.items))
        items = self._state.items
        for item in request.items:
            if not self._is_open_task(item):
                continue
            before = items.rows[item]
            if request.waiting_only and before.phase is RUNNING:
                continue
            items.apply(item, Cancelled(), now.wall)
            if (head := self._head_of(before)) is not None:
                head.view.mirror.drop(before.token)
        self._state.tasks.changed = True
        return Ok()

    def _is_open_task(self, item: int) -> bool:
        """Whether there is such a task, and it has not ended."""
        rows = self._state.items.rows
        return (
            0 <= item < len(rows) and type(rows[item]) is TaskItem and rows[item].phase not in OVER
        )

    def _head_of(self, row: Item) -> Head | None:
        """Return the head that holds a task."""
        return None if row.job is None else self._state.tasks.heads.get(row.job)


def _size(end: TaskResult) -> int:
    return len(end.value) + len(end.error) + len(end.reason) + 200


def _too_many(n: int) -> Refused:
    return Refused("too_large", f"{n} tasks in one message are too many: send several.")
