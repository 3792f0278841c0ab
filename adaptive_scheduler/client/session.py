"""What a client has to say, when, and what the answers mean. No socket, thread or clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Beat,
    Fail,
    Finish,
    Refused,
    Release,
    Reply,
    Report,
    Request,
    Welcome,
)

#: Seconds that the first try waits for its answer; each further one twice as long, up to the last.
FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0


@dataclass(frozen=True)
class Sending:
    """One try to have a request answered.

    Attributes
    ----------
    number : int
        Of the request; the same at each try.
    body : Request
    timeout : float
        Seconds to wait for the answer.
    at : float
        When this try was made.
    """

    number: int
    body: Request
    timeout: float
    at: float


@dataclass
class _Said:
    """A request that is held until it is answered."""

    body: Request
    number: int | None = None
    first_sent: float = math.inf


class Session:
    """One client's side of the conversation.

    One request is under way at a time, in the order in which they were said;
    heartbeats fill the gaps. Times are seconds on any clock that never steps.

    Parameters
    ----------
    timing : Timing
        The manager's welcome replaces its beat, lease and idle.
    now : float
    jitter : callable
        Gives a random factor around 1, so that clients do not come in step.

    Attributes
    ----------
    report : Report
        How far the item is; goes with the heartbeats.
    refusal : Refused or None
        The manager took back the item that this client works on.
    """

    def __init__(self, timing: Timing, now: float, jitter: Callable[[], float]) -> None:
        self.timing = timing
        self.report = Report()
        self.refusal: Refused | None = None
        self._jitter = jitter
        self._number = 0
        self._held: deque[tuple[int, _Said]] = deque()
        self._replies: dict[int, Reply] = {}
        self._tickets = 0
        self._token = 0
        self._pause = FIRST_PAUSE
        self._not_before = now
        self._next_beat = math.inf  # nobody beats before it was welcomed
        self._lease_from = -math.inf
        self._heard = now
        self._missed_since: float | None = None

    # ------------------------------------------------------------- what is said

    def tell(self, report: Report, now: float) -> None:
        """How far the item is: the first such news go at once, the others with the heartbeats."""
        if self.report == Report():
            self._next_beat = min(self._next_beat, now)
        self.report = report

    def say(self, body: Request, now: float) -> int:
        """Hold a request until it is answered; returns a ticket for `reply`."""
        self._tickets += 1
        self._held.append((self._tickets, _Said(body)))
        self._not_before = now
        return self._tickets

    def reply(self, ticket: int) -> Reply | None:
        """The answer, once; None as long as there is none."""
        return self._replies.pop(ticket, None)

    def unsay(self, ticket: int) -> None:
        """Nobody waits for this answer any more; the request is not sent again."""
        self._held = deque(held for held in self._held if held[0] != ticket)
        self._replies.pop(ticket, None)

    def next(self, now: float) -> Sending | None:
        """What is to be sent now, if anything is."""
        if now < self.due():
            return None
        if not self._held:
            self._number += 1
            return Sending(self._number, Beat(self._token, self.report), self._pause, now)
        said = self._held[0][1]
        if said.number is None:
            self._number += 1
            said.number, said.first_sent = self._number, now
        return Sending(said.number, said.body, self._pause, now)

    def due(self) -> float:
        """When `next` has something to send; infinity if it is all said."""
        return self._not_before if self._held else max(self._not_before, self._next_beat)

    # ------------------------------------------------------------- what is heard

    def unanswered(self, sending: Sending) -> None:
        """A try failed: the next one later, by and by."""
        if self._missed_since is None:
            self._missed_since = sending.at
        self._not_before = sending.at + self._pause * self._jitter()
        self._pause = min(2 * self._pause, LAST_PAUSE)

    def manager_moved(self, now: float) -> None:
        """The manager is back, perhaps elsewhere: the next try is soon.

        Also of a client that has not noticed that it was away: the new one is to know at once
        who lives. Clients notice it spread over the time between two of their looks.
        """
        soon = now + 0.2 * self._jitter()
        self._pause = FIRST_PAUSE
        self._not_before = min(self._not_before, soon)
        if math.isfinite(self._next_beat):
            self._next_beat = min(self._next_beat, soon)

    def answered(self, sending: Sending, reply: Reply, now: float) -> None:
        """Take in the answer to a try."""
        self._pause, self._not_before, self._heard = FIRST_PAUSE, now, now
        self._missed_since = None
        if isinstance(sending.body, Beat):
            return self._beat_answered(sending, reply)
        if not self._held or self._held[0][1].number != sending.number:
            return None  # unsaid meanwhile
        ticket, said = self._held.popleft()
        self._replies[ticket] = reply
        self._next_beat = sending.at + self.timing.beat * self._jitter()
        if isinstance(reply, Welcome):
            self._welcomed(reply)
        elif isinstance(reply, Assigned):
            # an answer kept from an earlier try renewed nothing at this one
            self._take(reply, said.first_sent, now)
        elif isinstance(sending.body, (Finish, Fail, Release)):
            self._let_go()
        return None

    def _welcomed(self, reply: Welcome) -> None:
        self.timing = msgspec.structs.replace(
            self.timing, beat=reply.beat, lease=reply.lease, idle=reply.idle
        )

    def _take(self, reply: Assigned, sent: float, now: float) -> None:
        self._token, self._lease_from = reply.token, sent
        self.report, self.refusal = Report(), None
        if now - sent > self.timing.beat:
            self._next_beat = now

    def _let_go(self) -> None:
        self._token, self._lease_from = 0, -math.inf
        self.report = Report()

    def _beat_answered(self, sending: Sending, reply: Reply) -> None:
        assert isinstance(sending.body, Beat)
        self._next_beat = sending.at + self.timing.beat * self._jitter()
        if sending.body.token != self._token:
            return
        if not isinstance(reply, Refused):
            # without an item there is nothing to renew: one that was lost stays lost
            if self._token or (self.refusal is not None and self.refusal.code == "cancelled"):
                self._lease_from = sending.at
        elif self._token:
            self.refusal = reply
            if reply.code == "cancelled":  # no other client has it: what it computed is saved
                self._lease_from = sending.at
            else:
                self._lease_from = -math.inf
            self._token = 0

    # ------------------------------------------------------------- what follows

    def is_lease_good(self, now: float) -> bool:
        """Whether no other client can have the item by now, as far as this one's clock tells."""
        return now - self._lease_from < self.timing.lease

    def silence(self, now: float) -> float:
        """Seconds since the manager was last heard; it is seldom asked."""
        return now - self._heard

    def away(self, now: float) -> float:
        """Seconds since the manager was first asked in vain; 0 as long as it answers."""
        return 0.0 if self._missed_since is None else now - self._missed_since
