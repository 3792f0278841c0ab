"""A client in virtual time: the real session, with waiting in place of work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from adaptive_scheduler.client.session import Sending, Session
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Hello,
    Idle,
    Owner,
    Refused,
    Release,
    Reply,
    Report,
    Welcome,
    decode_reply,
    encode_request,
)

Outcome = Literal["finish", "fail", "release", "crash"]

#: Points that a client evaluates at a time.
WORKERS = 2
#: Why a client ended: it is to be started again; it could not work at all.
CRASHED, BROKEN = "a worker died", "ValueError: no such partition"


class VirtualClient:
    """Claims an item, waits as if it worked, reports the end, and so on until there is nothing to do.

    Parameters
    ----------
    owner : Owner
    submit : int
        Of the submit that made its job.
    timing : Timing
    now : float
        Monotonic seconds.
    work : float
        Seconds that an item takes.
    jitter : callable
        Gives a factor around 1 for the pauses of its session.

    Attributes
    ----------
    outcomes : deque
        How the next items end; if it is empty, "finish". After a "crash" the client ends, and its
        job script is to start another.
    new_points : int
        That it reports of each item.
    breaks : bool
        It cannot work at all: it ends before its first claim.
    item, token : int
        What it works on; with token 0, nothing.
    left : str
        Why it has ended; "" while it has not.
    """

    def __init__(
        self, owner: Owner, submit: int, timing: Timing, now: float, work: float = 5.0,
        jitter: Callable[[], float] = lambda: 1.0,
    ) -> None:  # fmt: skip
        self.owner = owner
        self.work = work
        self.outcomes: deque[Outcome] = deque()
        self.new_points = 0
        self.breaks = False
        self.item, self.token = -1, 0
        self.left = ""
        self.finished: list[int] = []
        self._session = Session(timing, now, jitter)
        self._timing = timing
        self._sending: Sending | None = None
        self._ticket = self._session.request(Hello("node", 1, 1, submit), now)
        self._asked: str = "hello"
        self._until = float("inf")  # of its work, or of its waiting
        self._idle_since: float | None = None
        self._ending = ""

    @property
    def waits_for(self) -> int | None:
        """Number of the request under way."""
        return None if self._sending is None else self._sending.number

    @property
    def is_at_work(self) -> bool:
        """Whether it has an item, and has not reported its end."""
        return self._asked == "work" and not self.left

    @property
    def is_refused(self) -> bool:
        """Whether the manager took the item back."""
        return self._session.refusal is not None

    def holds(self, now: float) -> bool:
        """Whether it may write to its item's data."""
        return self._asked == "work" and not self.left and self._session.is_lease_good(now)

    @property
    def due(self) -> float:
        """When `next_message` may return one."""
        if self.left:
            return float("inf")
        if self._sending is not None:
            return self._sending.at + self._sending.timeout
        if self._asked in ("work", "idle"):
            return min(self._until, self._session.due())
        return self._session.due()

    def terminate(self, now: float) -> None:
        """Do as after a signal: give the item back, and end."""
        self._ending = self._ending or "signal"
        if self._asked == "work":
            self._end_item("release", now)
        elif self._asked == "idle":
            self._send("goodbye", Goodbye(self._ending), now)

    # ------------------------------------------------------------------ sending

    def next_message(self, now: float) -> bytes | None:
        """The message that it sends now; None: none."""
        if self.left:
            return None
        if self._sending is not None:
            if now < self._sending.at + self._sending.timeout:
                return None
            self._session.unanswered(self._sending)
            self._sending = None
        self._go_on(now)
        self._sending = self._session.next(now)
        if self._sending is None:
            return None
        return encode_request(self.owner, self._sending.number, self._sending.body)

    def _go_on(self, now: float) -> None:
        if self._asked == "work":
            if self._session.refusal is not None:
                self.token = 0
                self._next(now)
            elif now >= self._until:
                self._end_item(self.outcomes.popleft() if self.outcomes else "finish", now)
        elif self._asked == "idle" and now >= self._until:
            self._send("claim", Claim(), now)

    def _end_item(self, outcome: Outcome, now: float) -> None:
        report = Report(seconds=self.work, new_points=self.new_points)
        match outcome:
            case "finish":
                claims = not self._ending and self.token % 2 == 0  # both ways are tried
                self._send("finish", Finish(self.token, report, claims), now)
            case "fail":
                fail = Fail(self.token, "ValueError: no", "Traceback ...", report, workers=WORKERS)
                self._send("fail", fail, now)
            case "crash":
                self._send("crash", Fail(self.token, "a worker died", "", report, crash=True), now)
            case "release":
                self._send("release", Release(self.token, "deadline", report), now)

    def _send(self, what: str, body: Claim | Finish | Fail | Release | Goodbye, now: float) -> None:
        self._asked = what
        self._ticket = self._session.request(body, now)

    def _next(self, now: float) -> None:
        if self._ending:
            self._send("goodbye", Goodbye(self._ending), now)
        else:
            self._send("claim", Claim(), now)

    # ----------------------------------------------------------------- receiving

    def receive(self, message: bytes, now: float) -> None:
        """Take in a reply; one that it does not wait for is ignored."""
        number, reply = decode_reply(message)
        if self.left or self._sending is None or number != self._sending.number:
            return
        sending, self._sending = self._sending, None
        self._session.answered(sending, reply, now)
        answer = self._session.reply(self._ticket)
        if answer is not None:
            self._take(answer, now)

    def _take(self, reply: Reply, now: float) -> None:
        if self._asked == "goodbye":
            self.left = self._ending or "nothing to do"
        elif self._asked == "crash":
            self.token, self.left = 0, CRASHED
        elif self._asked in ("finish", "fail", "release"):
            if self._asked == "finish" and not isinstance(reply, Refused):
                self.finished.append(self.item)
            self.token = 0
            if isinstance(reply, (Assigned, Idle)):
                self._take_work(reply, now)
            else:
                self._next(now)
        else:
            self._take_answer(reply, now)

    def _take_answer(self, reply: Reply, now: float) -> None:
        """To a hello or a claim."""
        if isinstance(reply, Refused):
            self.left = reply.code
        elif isinstance(reply, Welcome) and self.breaks:
            self._ending = BROKEN
            self._send("goodbye", Goodbye(BROKEN, broken=True), now)
        elif isinstance(reply, Welcome):
            self._next(now)
        elif isinstance(reply, (Assigned, Idle)):
            self._take_work(reply, now)

    def _take_work(self, reply: Assigned | Idle, now: float) -> None:
        if isinstance(reply, Assigned):
            self._begin(reply, now)
        else:
            self._wait(reply, now)

    def _begin(self, reply: Assigned, now: float) -> None:
        self.item, self.token = reply.item, reply.token
        self._asked, self._until, self._idle_since = "work", now + self.work, None
        if self._ending:
            self._end_item("release", now)

    def _wait(self, reply: Idle, now: float) -> None:
        self._idle_since = now if self._idle_since is None else self._idle_since
        if reply.over or self._ending or now - self._idle_since > self._timing.idle:
            self._ending = self._ending or "nothing to do"
            self._send("goodbye", Goodbye(self._ending), now)
        else:
            self._asked, self._until = "idle", now + reply.wait
