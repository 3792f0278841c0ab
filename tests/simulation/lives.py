"""A client of a job, from its start to its end: the real session, on a host that may pause or vanish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler.core.wire.messages import Assigned, Owner, Refused, Reply
from adaptive_scheduler.testing import VirtualClient
from adaptive_scheduler.testing.client import CRASHED
from tests.simulation.slurm import Job

if TYPE_CHECKING:
    from tests.simulation.history import History

NEVER = float("inf")


class Client(VirtualClient):
    """Its work and how that ends are drawn when it is given an item."""

    life: Life

    def _begin(self, reply: Assigned, now: float) -> None:
        self.outcomes.clear()
        self.work, outcome = self.life.history.draw_work(self.life, reply.item)
        self.new_points = self.life.history.rng.randint(0, 3)
        if outcome:
            self.outcomes.append(outcome)
        super()._begin(reply, now)

    def _take(self, reply: Reply, now: float) -> None:
        if isinstance(reply, Refused) and self._asked in ("hello", "claim"):
            self.life.history.refused(self.life, reply)
        super()._take(reply, now)


class Life:
    """A client, its host's clock, and what happens to it.

    Attributes
    ----------
    paused_until : float
        The process is stopped until then.
    cut_until : float
        No message reaches it or leaves it until then.
    dead : bool
        The process has ended.
    """

    def __init__(self, history: History, job: Job, attempt: int) -> None:
        self.history = history
        self.job = job
        self.offset = history.rng.uniform(0, 1e6)
        self.paused_until = 0.0
        self.cut_until = 0.0
        self.dead = False
        self._wake = NEVER
        history.lives_made += 1
        owner = Owner(job.id, job.restart, attempt, f"life-{history.lives_made}")
        timing, rng = history.config.timing, history.rng
        self.client = Client(
            owner, job.submit, timing, self.clock(), jitter=lambda: 0.8 + 0.4 * rng.random()
        )
        self.client.life = self
        self.client.breaks = history.draws_broken(owner.uuid)
        self.wake(history.rng.uniform(0.1, 2.0))

    @property
    def owner(self) -> Owner:
        """Who it says that it is."""
        return self.client.owner

    @property
    def left(self) -> str:
        """Why it ended in good order."""
        return self.client.left

    @property
    def fails(self) -> bool:
        """Whether its job ends as one that failed."""
        return self.client.breaks

    def die(self) -> None:
        """The process ends, with all that it has started."""
        self.dead = True

    def clock(self) -> float:
        """Monotonic seconds of its own host."""
        return self.history.now + self.offset

    def wake(self, seconds: float) -> None:
        """Let it send what is due then, unless it does before."""
        when = max(self.history.now + seconds, self.paused_until)
        if when < self._wake:
            self._wake = when
            self.history.at(when, self._look)

    def _look(self) -> None:
        if self.dead or self._wake != self.history.now:
            return
        self._wake = NEVER
        if self.history.now < self.paused_until:
            self.wake(0.0)
            return
        self.speak()

    def speak(self) -> None:
        message = self.client.next_message(self.clock())
        if message is not None:
            self.history.to_manager(self, message)
        due = self.client.due - self.offset - self.history.now
        if due < NEVER:
            self.wake(max(due, 0.001))

    def hear(self, message: bytes) -> None:
        """An answer arrives; one that stands still hears it when it goes on."""
        history = self.history
        if self.dead or history.now < self.cut_until:
            return
        if history.now < self.paused_until:
            history.at(self.paused_until, lambda: self.hear(message))
            return
        history.count("answer heard")
        self.client.receive(message, self.clock())
        if self.client.left:
            self.die()
            if self.client.left == CRASHED:
                history.accidents.start_again(self)
            else:
                history.client_left(self)
        else:
            self.speak()

    def terminate(self) -> None:
        """SIGTERM."""
        if not self.dead:
            self.client.terminate(self.clock())
            self.wake(0.0)

    def pause(self, seconds: float) -> None:
        self.paused_until = max(self.paused_until, self.history.now + seconds)

    def go_on(self) -> None:
        """Nothing holds it any more."""
        self.cut_until = 0.0
        if self.paused_until > self.history.now:
            self.paused_until = self.history.now
            self._wake = NEVER
            self.wake(0.01)
