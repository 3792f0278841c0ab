"""Answer drivers: take tasks in, tell how they ended. No socket, no file, no clock."""

from __future__ import annotations

import hashlib
import re

from adaptive_scheduler.core.rows.events import Cancelled
from adaptive_scheduler.core.rows.items import OVER, QUEUED, RUNNING, TASK, Item
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import Ok, Owner, Refused, Reply, Request
from adaptive_scheduler.core.wire.tasks import (
    Call,
    CloseRun,
    Collect,
    Ended,
    Prioritise,
    PutFunction,
    Results,
    Submit,
    Submitted,
    Withdraw,
)
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.parked import Parked

#: The digest of a function: a name for its file.
_KEY = re.compile("[0-9a-f]{32}")
#: What drivers send.
DRIVER_REQUESTS = frozenset((PutFunction, Submit, Collect, Prioritise, Withdraw, CloseRun))
#: Ends and bytes of values that one answer brings.
MOST_ENDS, MOST_BYTES = 1000, 2**20


class DriverManager:
    """The drivers' side of the manager.

    Parameters
    ----------
    state : RunState
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._parts: dict[str, dict[int, bytes]] = {}

    def handle(self, _owner: Owner, _number: int, request: Request, now: Moment) -> Reply | Parked:
        """Answer one request. It may come twice: done again, each of them changes nothing more."""
        match request:
            case Submit():
                return self._submit(request, now)
            case Collect():
                results = self._results(request.seen)
                is_news = bool(results.ended) or request.wait <= 0
                return results if is_news else Parked(now.monotonic + request.wait)
            case PutFunction():
                return self._put_function(request)
            case Prioritise():
                return self._prioritise(request, now)
            case Withdraw():
                return self._withdraw(request, now)
        self._state.tasks.is_open = False
        self._state.dirty = True
        return Ok()

    def wake(self, _owner: Owner, request: Collect, _now: Moment) -> Reply | None:
        """Answer a Collect that waits, if something has ended."""
        results = self._results(request.seen)
        return results if results.ended else None

    def expire(self, _owner: Owner, request: Collect, _now: Moment) -> Reply:
        """Answer a Collect that has waited as long as it wanted."""
        return Results(request.seen)

    # ------------------------------------------------------------------- tasks in

    def _put_function(self, request: PutFunction) -> Reply:
        facts = self._state.tasks.facts
        if not _KEY.fullmatch(request.key) or not 0 <= request.part < request.parts:
            return Refused("bad_request", "that is no part of a function.")
        if facts.has_function(request.key):
            return Ok()
        parts = self._parts.setdefault(request.key, {})
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
        known = tasks.batches.get(request.batch)
        if known is not None:
            return Submitted(known)
        if refused := self._check(request):
            return refused
        numbers = [tasks.number_of(one) for one in request.resources]
        ids: list[int] = []
        new: list[Item] = []
        keys: dict[str, int] = {}
        for call in request.calls:
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
        tasks.note_batch(request.batch, ids)
        tasks.changed = tasks.is_open = self._state.dirty = True
        return Submitted(ids)

    def _item(self, number: int, call: Call, resources: list[int], now: Moment) -> Item:
        return Item(
            number, "", QUEUED, kind=TASK, priority=call.priority, depends_on=tuple(call.after),
            shape=resources[call.resources], changed=now.wall, tag=call.tag, name=call.name,
            key=call.key, function=call.function, retries=call.retries, timeout=call.timeout,
        )  # fmt: skip

    def _check(self, request: Submit) -> Refused | None:
        n = len(self._state.items)
        for place, call in enumerate(request.calls):
            if call.function and not self._state.tasks.facts.has_function(call.function):
                return Refused(
                    "unknown_function", f"task {place} calls a function that was not sent."
                )
            if not 0 <= call.resources < len(request.resources):
                return Refused("bad_request", f"task {place} names resources that were not sent.")
            missing = [one for one in call.after if not 0 <= one < n]
            if missing:
                return Refused(
                    "no_such_item", f"task {place} waits for {missing[0]}, which does not exist."
                )
        return None

    # ------------------------------------------------------------------- results out

    def _results(self, seen: int) -> Results:
        items, facts = self._state.items, self._state.tasks.facts
        ended: list[Ended] = []
        size, upto = 0, seen
        for number in range(seen, len(items.tasks.ends)):
            if len(ended) >= MOST_ENDS or size >= MOST_BYTES:
                return Results(upto, ended, more=True)
            upto = number + 1
            row = items.rows[items.tasks.ends[number]] if items.tasks.ends[number] >= 0 else None
            if row is None or row.ended != upto:
                continue  # it was tried again since
            value, error = facts.fact("value", row.id) or b"", facts.fact("error", row.id) or b""
            path = (facts.fact("path", row.id) or b"").decode()
            size += len(value) + len(error) + 200
            ended.append(
                Ended(row.id, row.phase.value, value, path, error, row.reason, row.code, row.attempts,
                      row.worked)
            )  # fmt: skip
        return Results(upto, ended)

    # ------------------------------------------------------------------- changes

    def _prioritise(self, request: Prioritise, now: Moment) -> Reply:
        items, n = self._state.items, len(self._state.items)
        for item, priority in zip(request.items, request.priorities, strict=False):
            if 0 <= item < n and items.rows[item].phase not in OVER:
                after = items.prioritise(item, priority, now.wall)
                if (
                    type(after) is Item
                    and after.phase is RUNNING
                    and after.job in self._state.tasks.heads
                ):
                    self._state.tasks.heads[after.job].view.mirror.prioritise(after.token, priority)
        self._state.tasks.changed = True
        return Ok()

    def _withdraw(self, request: Withdraw, now: Moment) -> Reply:
        items = self._state.items
        for item in request.items:
            if not 0 <= item < len(items) or items.rows[item].phase in OVER:
                continue
            before = items.rows[item]
            if request.waiting_only and before.phase is RUNNING:
                continue
            items.apply(item, Cancelled(), now.wall)
            if before.phase is RUNNING and before.job in self._state.tasks.heads:
                self._state.tasks.heads[before.job].view.mirror.drop(before.token)
        self._state.tasks.changed = True
        return Ok()
