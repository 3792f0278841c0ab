"""One process on each node of a job: starts the tasks that the head gives it, watches and ends them.

Started by its supervisor as ``python -m adaptive_scheduler.client.tasks.node.agent SOCKET FOLDER LIFE
PARENT``: where the head listens, the run's folder, how many agents this node has had, and an
inherited descriptor that ends with the supervisor.

One thread, one loop: it waits for the head, for answers of workers, for the end of processes
(as pidfds), and each `TICK` looks at what only the clock tells. What it reads from these goes to
the queue of a slot (`slot_queue`); what is to be said of a task goes through the ledger (`ledger`).
"""

from __future__ import annotations

import os
import select
import selectors
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.frames import Frames, connect
from adaptive_scheduler.client.tasks.messages import (
    EndRanks,
    Quit,
    RanksEnded,
    Ready,
    Slot,
    Start,
    StopTask,
    TaskEnd,
    ToAgent,
)
from adaptive_scheduler.client.tasks.node.environment import marks_of, node_name, owner_of
from adaptive_scheduler.client.tasks.node.ledger import Stopping, TaskLedger
from adaptive_scheduler.client.tasks.node.orphans import Origin, end_marked, end_orphans
from adaptive_scheduler.client.tasks.node.slot_queue import Node, SlotQueue
from adaptive_scheduler.client.tasks.node.variables import (
    RANKS_VARIABLE,
    TASK_VARIABLE,
    WORKER_VARIABLE,
)
from adaptive_scheduler.client.tasks.ranks.files import remove_left
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.io.system.child_process import (
    become_subreaper,
    children_of_thread,
    end_all,
    leave_signals_to_head,
    unbind,
)

#: Seconds between two looks at what runs.
TICK = 0.05
#: Seconds for which ends are gathered while each slot has another task: each message wakes the head.
GATHER = 0.002
#: Seconds between two looks for processes that tasks left behind.
ORPHANS = 1.0
#: See `Agent._may_have_orphans`; and so many are kept though nothing is in them.
FEW_SLOTS = 64
#: Seconds that tasks have to end if the head is gone: nobody waits for them.
LONELY_GRACE = 3.0

_orders: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ToAgent)


class Agent:
    """Runs tasks on one node.

    Parameters
    ----------
    sock : socket.socket
        To the head.
    parent : int
        File descriptor that ends with the supervisor.
    folder : Path
        Of the run: it has ``functions`` and ``values``.
    environment : dict of str to str
        Of workers and programs.
    """

    def __init__(
        self, sock: socket.socket, parent: int, folder: Path, environment: dict[str, str]
    ) -> None:
        self._head = Frames(sock, _orders)
        self._ledger = TaskLedger(self._head.send)
        self._selector = selectors.DefaultSelector()
        self._slots: dict[Slot, SlotQueue] = {}
        self._next_tick = self._next_orphans = self._flushed = 0.0
        self._foreign: set[int] = (
            set()
        )  # tasks of other agents, of which nothing is to be left here
        self._node = Node(
            folder, environment, os.getcwd(), socket.gethostname(), node_name(environment),
            self._ledger, self._watch, self._unwatch, self._make_room, self._may_have_orphans,
        )  # fmt: skip
        self._watch(sock, self._hear_head)
        self._watch(parent, self._lose_parent)

    def _watch(self, what: Any, action: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, action)

    def _unwatch(self, what: Any) -> None:
        self._selector.unregister(what)

    # ------------------------------------------------------------------------- the loop

    def run(self, life: int) -> None:
        """Serve until the head or the supervisor ends, or says so; `life` is told to the head."""
        self._head.send(Ready(self._node.host, os.getpid(), life))
        while self._ledger.quit is None or self._ledger.slots:
            before = time.monotonic()
            for key, _ in self._selector.select(self._flush()):
                key.data()
            now = time.monotonic()
            if now >= self._next_tick:
                self._next_tick = now + TICK
                self._look(now, before)
        for queue in self._slots.values():
            queue.close()
        end_all()
        while self._head.has_unsent and self._head.is_open:
            self._head.flush()
            time.sleep(0.001)

    def _flush(self) -> float:
        """Send what is to be sent, unless all have work for a moment; returns how long to wait then."""
        if self._head.has_unsent:
            now = time.monotonic()
            left = self._flushed + GATHER - now
            if left > 0 and all(queue.has_next for queue in self._slots.values()):
                return left
            self._flushed = now
            self._head.flush()
        if not self._head.is_open:
            self._end_tasks(Quit(grace=LONELY_GRACE))
        return TICK if self._ledger.slots else ORPHANS

    def _look(self, now: float, heard: float) -> None:
        """Notice what only the clock tells; the head has been heard up to `heard`.

        A process that was held up may see that time has passed before it sees what has come meanwhile.
        """
        unbind()
        self._ledger.report_judged(heard)
        for queue in self._slots.values():
            queue.look(now)
        self._end_foreign()
        if now >= self._next_orphans:
            self._next_orphans = now + ORPHANS
            self._end_orphans()

    # ------------------------------------------------------------------------- orders

    def _hear_head(self) -> None:
        for order in self._head.receive():
            self._obey(order)
        if not self._head.is_open:
            self._selector.unregister(self._head.sock)
            self._end_tasks(Quit(grace=LONELY_GRACE))
        for queue in self._slots.values():
            if queue.waiting:
                queue.pump()

    def _obey(self, order: ToAgent) -> None:
        match order:
            case Start():
                self._start(order)
            case StopTask():
                self._stop(order.token, order.kind, order.grace)
            case EndRanks():
                self._foreign.add(order.token)
                self._next_tick = 0.0
            case Quit():
                self._end_tasks(order)

    def _lose_parent(self) -> None:
        """The supervisor has ended: nobody would kill what this agent leaves."""
        self._end_tasks(Quit(grace=0.0))

    def _start(self, start: Start) -> None:
        self._ledger.add(start)
        if self._ledger.quit is not None:
            self._ledger.report(TaskEnd(start.token, EndKind.BACK, begun=False))
            return
        queue = self._slots.get(start.slot)
        if queue is None:
            if len(self._slots) >= FEW_SLOTS:
                self._forget_unused()
            queue = self._slots[start.slot] = SlotQueue(start.slot, self._node)
        queue.waiting.append(start)

    def _forget_unused(self) -> None:
        """Forget slots in which nothing is: where tasks have several cores there may be any number."""
        used = set(self._ledger.slots.values())
        for slot, queue in list(self._slots.items()):
            if slot not in used and queue.is_idle and queue.worker is None:
                queue.close()
                del self._slots[slot]

    def _stop(self, token: int, kind: EndKind, grace: float) -> None:
        """End a task; one that is being ended already ends as before, but no later."""
        slot = self._ledger.slots.get(token)
        if kind is EndKind.BACK and slot is not None:
            self._recall(token, self._slots[slot])
            return
        if slot is None or self._ledger.settle(token, kind):
            return
        queue, kill_at = self._slots[slot], time.monotonic() + grace
        stopping = self._ledger.stopping.get(token)
        if stopping is not None:
            stopping.kill_at = min(stopping.kill_at, kill_at)
        elif queue.take_out(token):
            self._ledger.report(TaskEnd(token, kind, begun=False))
        else:  # `look` tells it, also if its worker begins it only in a moment
            self._ledger.stopping[token] = Stopping(kind, kill_at, is_told=False)
            self._next_tick = 0.0

    def _recall(self, token: int, queue: SlotQueue) -> None:
        """Give a task back that has not begun; one that its worker has comes when the worker gives it up."""
        if queue.take_out(token):
            self._ledger.report(TaskEnd(token, EndKind.BACK, begun=False))
        else:
            self._ledger.recalled.add(token)

    def _end_tasks(self, order: Quit) -> None:
        if self._ledger.quit is not None and self._ledger.quit.grace <= order.grace:
            return
        self._ledger.quit = order
        for token in list(self._ledger.slots):
            self._stop(token, order.kind, order.grace)

    # ------------------------------------------------------------------------- processes

    def _make_room(self, slot: Slot) -> None:
        """End idle workers of other slots on the same cores: they keep memory for nothing."""
        for other in self._slots.values():
            is_near = not set(other.slot.cores).isdisjoint(slot.cores)
            if other.slot != slot and is_near and other.is_idle:
                other.end_worker()

    def _may_have_orphans(self) -> bool:
        """Whether there are any; where there are many slots, looking at once takes too long."""
        if len(self._slots) <= FEW_SLOTS and children_of_thread() == self._own():
            return False
        self._next_orphans = 0.0
        return True

    def _own(self) -> set[int]:
        return {pid for queue in self._slots.values() for pid in queue.pids}

    def _end_orphans(self) -> None:
        if end_orphans(self._own(), self._is_in_use):
            self._next_orphans = time.monotonic() + TICK

    def _end_foreign(self) -> None:
        """Kill ranks that are left of other agents' tasks; say so of which there are none any more."""
        for token in list(self._foreign):
            if not end_marked(marks_of(self._node.environment, {TASK_VARIABLE: str(token)})):
                self._foreign.discard(token)
                self._head.send(RanksEnded(token))

    def _is_in_use(self, pid: int) -> bool:
        origin = Origin(pid)
        return any(queue.uses(origin) for queue in self._slots.values())


def main(argv: list[str]) -> None:
    """Run tasks for the head that listens at a socket."""
    become_subreaper()
    leave_signals_to_head()
    environment = dict(os.environ)
    for name in (
        TASK_VARIABLE,
        WORKER_VARIABLE,
        RANKS_VARIABLE,
    ):  # of a task in which the head runs
        environment.pop(name, None)
    parent = int(argv[3])
    os.set_inheritable(parent, False)
    if select.select([parent], [], [], 0.0)[0]:
        return  # the supervisor was killed: the head starts another one
    while int(argv[2]) and end_marked(
        marks_of(environment, {RANKS_VARIABLE: node_name(environment)})
    ):
        time.sleep(TICK)  # ranks of tasks of the last agent
    remove_left(Path(argv[1]) / "values", owner_of(environment))
    Agent(connect(argv[0]), parent, Path(argv[1]), environment).run(int(argv[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
