"""Heads and drivers in virtual time: the real sessions, with agents and networks that fail."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from adaptive_scheduler.client.tasks.head.head_session import Begin, EndTask, HeadSession
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.wire.messages import (
    Hello,
    Owner,
    Refused,
    Welcome,
    decode_reply,
    encode_request,
)
from adaptive_scheduler.core.wire.tasks import Collect, EndKind, Results, Trade, Work

#: Seconds that a head's report, and a driver's question, may wait in the manager.
HEAD_WAIT, DRIVER_WAIT = 2.0, 5.0


class TaskViolationError(AssertionError):
    """A promise is broken."""


class Events:
    """What happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._n = 0

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        self._n += 1
        heapq.heappush(self._heap, (self.now + seconds, self._n, what))

    def next(self) -> Callable[[], object] | None:
        if not self._heap:
            return None
        self.now, _, what = heapq.heappop(self._heap)
        return what


class Network:
    """Carries messages: late, twice or not at all while there are faults."""

    def __init__(self, events: Events, dice: random.Random, faults: Counter[str]) -> None:
        self.events, self.dice, self.faults = events, dice, faults
        self.is_bad = True

    def carry(self, what: str, deliver: Callable[[], object]) -> None:
        chance = self.dice.random() if self.is_bad else 1.0
        copies, delay = 1, self.dice.uniform(0.0005, 0.02)
        if chance < 0.05:
            self.faults[f"{what} lost"] += 1
            return
        if chance < 0.10:
            self.faults[f"{what} doubled"] += 1
            copies = 2
        elif chance < 0.15:
            self.faults[f"{what} late"] += 1
            delay = self.dice.uniform(0.5, 8.0)
        for _ in range(copies):
            self.events.after(delay, deliver)
            delay += self.dice.uniform(0, 3.0)


class Sender:
    """One conversation: a request is sent again, under a new number, until it is answered."""

    def __init__(self, world: Any, owner: Owner) -> None:
        self.world, self.owner = world, owner
        self.number = 0
        self.body: Any = None
        self.is_alive = True

    def ask(self, body: Any) -> None:
        """Send this in place of what is under way."""
        self.body = body
        self._send()

    def _send(self) -> None:
        self.number += 1
        number, body = self.number, self.body
        message = encode_request(self.owner, number, body)
        life = self.world.lives
        self.world.network.carry("message", lambda: self.world.deliver(self, number, message, life))
        wait = getattr(body, "wait", 0.0) + 1.0
        self.world.events.after(wait, lambda: self._send_again(number))

    def _send_again(self, number: int) -> None:
        if self.is_alive and self.number == number and self.body is not None:
            self._send()

    def receive(self, message: bytes) -> None:
        number, reply = decode_reply(message)
        if self.is_alive and number == self.number and self.body is not None:
            body, self.body = self.body, None
            self.answered(body, reply)

    def answered(self, body: Any, reply: Any) -> None:
        raise NotImplementedError


class SimHead(Sender):
    """The real session of a head, and an agent that runs its tasks on nodes of its own."""

    def __init__(self, world: Any, job: str, life: int, nodes: list[NodeInventory]) -> None:
        super().__init__(world, Owner(job, life, 0, f"{job}-{life}"))
        self.job, self.life, self.nodes = job, life, nodes
        self.session = HeadSession()
        self.begun: set[int] = set()
        self.begun_at: dict[int, float] = {}
        self.specs: dict[int, bytes] = {}
        self.dropped: set[int] = set()
        self.is_welcome = False
        self._hello()

    def _hello(self) -> None:
        self.is_welcome = False
        self.ask(Hello("host", 1, 4, inventory=self.nodes))

    def trade(self) -> None:
        if self.is_welcome and self.is_alive:
            self.ask(self.session.trade(HEAD_WAIT))

    def answered(self, body: Any, reply: Any) -> None:
        if isinstance(reply, Welcome):
            self.is_welcome = True
        elif isinstance(reply, Work):
            self._take(reply)
        elif isinstance(reply, Refused) and reply.code == "unknown_head":
            self._hello()
            return
        elif isinstance(reply, Refused):
            if reply.code == "bad_request":
                raise TaskViolationError(f"{self.job} was told: {reply.reason}")
            self.world.end_head(self)
            return
        self.trade()

    def _take(self, work: Work) -> None:
        self.dropped |= {
            order.token
            for order in work.orders
            if order.place is None
            and order.priority is None
            and order.token not in self.session._leaders  # the agent has it already
        }
        for given in work.tasks:
            self.specs[given.token] = given.spec
        # what is ended ends a moment later: the agent has been told to begin all others by then
        for action in sorted(self.session.take(work), key=lambda one: isinstance(one, EndTask)):
            self._carry_out(action)

    def _carry_out(self, action: Begin | EndTask) -> None:
        token = action.token if isinstance(action, EndTask) else action.given.token
        if isinstance(action, EndTask):
            kind = EndKind.CANCELLED if token in self.begun else EndKind.BACK
            self._end(token, kind, begun=token in self.begun)
        elif token in self.session.running:
            self._begin(token)

    def _begin(self, token: int) -> None:
        if token in self.begun:
            raise TaskViolationError(f"{self.job} begins token {token} for the second time")
        if token in self.dropped:
            raise TaskViolationError(f"{self.job} begins token {token}, which was withdrawn before")
        self.begun.add(token)
        self.world.ledger.take(self, token)
        self.begun_at[token] = self.world.events.now
        tag, accepts = self.world.tags[self.specs[token]], self.world.accepts.get(self.job, ())
        if accepts and tag not in accepts:
            raise TaskViolationError(f"{self.job} does not accept the tag {tag!r}")
        seconds = self.world.dice.choice(self.world.durations)
        kind = self.world.outcome(self.specs[token])
        self.world.events.after(seconds, lambda: self._end_if_runs(token, kind))

    def _end_if_runs(self, token: int, kind: EndKind) -> None:
        if self.is_alive and token in self.session.running and token in self.begun:
            if kind is EndKind.DIED:
                self.world.faults["worker killed"] += 1
            self._end(token, kind)
            self.trade()

    def _end(self, token: int, kind: EndKind, begun: bool = True) -> None:
        self.world.ledger.free(self, token)
        spec = self.specs[token]
        self.world.ran(spec, kind, begun)
        value = b"value of " + spec if kind is EndKind.VALUE else b""
        seconds = self.world.events.now - self.begun_at.get(token, self.world.events.now)
        before = set(self.session.running)
        actions = self.session.end(token, kind, begun=begun, value=value, seconds=seconds)
        for follower in self.session.running.keys() - before:
            self._begin(follower)
        for action in actions:
            if not (isinstance(action, Begin) and action.given.token in self.begun):
                self._carry_out(action)

    def lose_agent(self) -> None:
        """What ran dies; a new agent is there at once."""
        for token in list(self.session.running):
            self.world.ledger.free(self, token)
            self.world.ran(self.specs[token], EndKind.DIED, True)
        self.session.lose(EndKind.DIED, "the agent of its node died")
        self.trade()

    def die(self) -> None:
        self.is_alive = False
        for token in list(self.session.running):
            self.world.ledger.free(self, token)
        for token in self.session._tasks:
            self.world.ran(self.specs[token], EndKind.DIED, True)


class Collector(Sender):
    """The half of a driver that learns how tasks ended."""

    def __init__(self, world: Any, name: str) -> None:
        super().__init__(world, Owner(name, 0, 0, name))
        self.ask(Collect(0, DRIVER_WAIT))

    def answered(self, body: Any, reply: Any) -> None:
        assert isinstance(reply, Results), reply
        if reply.upto < body.seen:
            raise TaskViolationError("the counter of ends went back")
        for ended in reply.ended:
            self.world.collected(ended)
        self.ask(Collect(reply.upto, DRIVER_WAIT))


class Asker(Sender):
    """The half of a driver that submits and changes things, one after the other."""

    def __init__(self, world: Any, name: str) -> None:
        super().__init__(world, Owner(name, 0, 0, name))
        self._sent = 0.0
        self.go_on()

    def go_on(self) -> None:
        body = self.world.next_wish() if self.is_alive else None
        if body is not None:
            self.ask(body)

    def answered(self, body: Any, reply: Any) -> None:
        self.world.acknowledged(body, reply)
        self.world.events.after(self.world.dice.uniform(0, 3.0), self.go_on)


class Ledger:
    """Who is on which core of which node, whatever a manager believes."""

    def __init__(self) -> None:
        self._cores: dict[tuple[str, int], tuple[str, int]] = {}

    def take(self, head: SimHead, token: int) -> None:
        for place in head.session.running[token]:
            for core in place.cores:
                key = (head.nodes[place.node].name, core)
                if key in self._cores:
                    raise TaskViolationError(f"{key} is used by {self._cores[key]} and by {token}")
                self._cores[key] = (head.job, token)

    def free(self, head: SimHead, token: int) -> None:
        for place in head.session.running.get(token, ()):
            for core in place.cores:
                if self._cores.get((head.nodes[place.node].name, core)) == (head.job, token):
                    del self._cores[head.nodes[place.node].name, core]


__all__ = [
    "Asker",
    "Collector",
    "Events",
    "Ledger",
    "Network",
    "SimHead",
    "TaskViolationError",
    "Trade",
]
