"""One client's side of the conversation with the manager. No socket, no thread, no clock.

Theory of operation
===================

A client and the manager talk over a network that loses messages, with a manager that may be killed
and started again elsewhere while hours of work go on in the jobs. What is decided about that is
decided here, as a function of requests, answers and times that are passed in, so that a test can
play a week of accidents in a second. `client.link` owns the clock, the thread and the socket, and
only carries out what this says; the simulator does the same in virtual time.

**One request at a time, until it is answered.** The caller hands over a request and gets a ticket;
requests are sent in that order. One that got no answer is sent again *with the same number*, after
pauses that double from 1 s to 30 s, so that ten thousand clients do not flood a manager that comes
back. The manager answers a number that it knows with the answer that it gave before. So a lost
answer costs nothing, and a Finish that arrives twice finishes an item once. Pauses are stretched by
a random factor, so that clients do not come in step.

**Heartbeats** fill the gaps while nothing is asked. They are the one thing that is never repeated:
a lost one is replaced by a new one, with a new number and the latest report of the item.

**The lease, seen from here.** The manager gives an item to another client when the lease of this one
has run out. Both must agree without a common clock. So the lease counts here from the moment at
which the request was *sent* that the manager answered, which is never later than the moment from
which the manager counts. For a claim that was sent several times it is the first sending: the
answer may be one that the manager kept from the first try, which renewed nothing since. When it has
run out by this count, the item may have another owner, and its data file may not be replaced.

**An item that was taken back.** A heartbeat that is answered with Refused means that the token is not
valid any more. That is final: the client stops the item, and a later heartbeat that is answered
well does not renew what was lost. One refusal is different: after a cancel no other client has the
item, so what it has computed may still be saved (`refusal.code == "cancelled"`).

**A manager that has moved.** A new manager writes a new `manager.json`. The link notices that the file
has changed, and `manager_moved` makes the next try soon, whatever the pause was: the new manager
must learn who lives before it may declare any job dead.
"""

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
class _Held:
    """A request that is held until it is answered."""

    body: Request
    number: int | None = None
    first_sent: float = math.inf


class Session:
    """One client's side of the conversation; see the module.

    Times are seconds on any clock that never steps.

    Parameters
    ----------
    timing : Timing
        The manager's welcome replaces its beat, lease and idle.
    now : float
    jitter : callable
        Gives a random factor around 1.

    Attributes
    ----------
    report : Report
        How far the item is; goes with the heartbeats.
    refusal : Refused or None
        The answer with which the manager took back the item that this client works on.
    """

    def __init__(self, timing: Timing, now: float, jitter: Callable[[], float]) -> None:
        self.timing = timing
        self.report = Report()
        self.refusal: Refused | None = None
        self._jitter = jitter
        self._number = 0
        self._held: deque[tuple[int, _Held]] = deque()
        self._replies: dict[int, Reply] = {}
        self._tickets = 0
        self._token = 0
        self._pause = FIRST_PAUSE
        self._not_before = now
        self._next_beat = math.inf  # no heartbeat before the welcome
        self._lease_from = -math.inf
        self._last_answer = now
        self._unanswered_since: float | None = None

    # ------------------------------------------------------------- requests

    def set_report(self, report: Report, now: float) -> None:
        """Set how far the item is: the first report is sent at once, later ones with the heartbeats."""
        if self.report == Report():
            self._next_beat = min(self._next_beat, now)
        self.report = report

    def request(self, body: Request, now: float) -> int:
        """Send a request until it is answered; returns a ticket for `reply`."""
        self._tickets += 1
        self._held.append((self._tickets, _Held(body)))
        self._not_before = now
        return self._tickets

    def reply(self, ticket: int) -> Reply | None:
        """The answer, once; None as long as there is none."""
        return self._replies.pop(ticket, None)

    def withdraw(self, ticket: int) -> None:
        """Do not send this request again; its answer is not wanted any more."""
        self._held = deque(held for held in self._held if held[0] != ticket)
        self._replies.pop(ticket, None)

    def next(self, now: float) -> Sending | None:
        """What is to be sent now, if anything is."""
        if now < self.due():
            return None
        if not self._held:
            self._number += 1
            return Sending(self._number, Beat(self._token, self.report), self._pause, now)
        held = self._held[0][1]
        if held.number is None:
            self._number += 1
            held.number, held.first_sent = self._number, now
        return Sending(held.number, held.body, self._pause, now)

    def due(self) -> float:
        """When `next` has something to send; infinity if there is nothing."""
        return self._not_before if self._held else max(self._not_before, self._next_beat)

    # ------------------------------------------------------------- answers

    def unanswered(self, sending: Sending) -> None:
        """A try got no answer: the next one is made after a longer pause."""
        if self._unanswered_since is None:
            self._unanswered_since = sending.at
        self._not_before = sending.at + self._pause * self._jitter()
        self._pause = min(2 * self._pause, LAST_PAUSE)

    def manager_moved(self, now: float) -> None:
        """There is a new manager: the next try, or heartbeat, is soon.

        Also if this client has not noticed that the old one was away: the new one must know soon
        which clients live.
        """
        soon = now + 0.2 * self._jitter()
        self._pause = FIRST_PAUSE
        self._not_before = min(self._not_before, soon)
        if math.isfinite(self._next_beat):
            self._next_beat = min(self._next_beat, soon)

    def answered(self, sending: Sending, reply: Reply, now: float) -> None:
        """Note the answer to a try."""
        self._pause, self._not_before, self._last_answer = FIRST_PAUSE, now, now
        self._unanswered_since = None
        if isinstance(sending.body, Beat):
            return self._beat_answered(sending, reply)
        if not self._held or self._held[0][1].number != sending.number:
            return None  # withdrawn meanwhile
        ticket, held = self._held.popleft()
        self._replies[ticket] = reply
        self._next_beat = sending.at + self.timing.beat * self._jitter()
        if isinstance(reply, Welcome):
            self._welcomed(reply)
        elif isinstance(reply, Assigned):
            # an answer kept from an earlier try renewed nothing at this one
            self._take_item(reply, held.first_sent, now)
        elif isinstance(sending.body, (Finish, Fail, Release)):
            self._drop_item()
        return None

    def _welcomed(self, reply: Welcome) -> None:
        self.timing = msgspec.structs.replace(
            self.timing, beat=reply.beat, lease=reply.lease, idle=reply.idle
        )

    def _take_item(self, reply: Assigned, sent: float, now: float) -> None:
        self._token, self._lease_from = reply.token, sent
        self.report, self.refusal = Report(), None
        if now - sent > self.timing.beat:
            self._next_beat = now

    def _drop_item(self) -> None:
        self._token, self._lease_from = 0, -math.inf
        self.report = Report()

    def _beat_answered(self, sending: Sending, reply: Reply) -> None:
        assert isinstance(sending.body, Beat)
        self._next_beat = sending.at + self.timing.beat * self._jitter()
        if sending.body.token != self._token:
            return
        if not isinstance(reply, Refused):
            # without an item there is nothing to renew: one that was taken back stays so
            if self._token or (self.refusal is not None and self.refusal.code == "cancelled"):
                self._lease_from = sending.at
        elif self._token:
            self.refusal = reply
            if reply.code == "cancelled":  # no other client has it: what it computed is saved
                self._lease_from = sending.at
            else:
                self._lease_from = -math.inf
            self._token = 0

    # ------------------------------------------------------------- what follows from them

    def is_lease_good(self, now: float) -> bool:
        """Whether no other client can have the item by now, as far as this one's clock tells."""
        return now - self._lease_from < self.timing.lease

    def silence(self, now: float) -> float:
        """Seconds since the last answer. Some are normal: heartbeats are seconds apart."""
        return now - self._last_answer

    def away(self, now: float) -> float:
        """Seconds since the first try that got no answer; 0 as long as the manager answers."""
        return 0.0 if self._unanswered_since is None else now - self._unanswered_since
