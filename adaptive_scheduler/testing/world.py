"""A whole cluster in virtual time: batch system, network, clients and a manager that may die."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobState
from adaptive_scheduler.core.jobs.commands import CancelJobs, Command
from adaptive_scheduler.core.rows.row import Item
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.testing.batch import VirtualBatchSystem, VirtualJob
from adaptive_scheduler.testing.client import VirtualClient
from adaptive_scheduler.testing.clock import Clock
from adaptive_scheduler.testing.manager import VirtualManager

#: What may happen to one message: it is lost, its reply is lost, or it is delivered twice.
MessageFault = Literal["lost", "reply lost", "doubled", "doubled late"]


class World:
    """A virtual cluster on which the real code decides.

    Parameters
    ----------
    items : iterable of Item
    config : RunConfig
    accounting : bool
        Whether the batch system reports how jobs ended.

    Attributes
    ----------
    clients : dict of str to VirtualClient
        By job: its present client.
    zombies : list of VirtualClient
        Earlier clients of requeued jobs, which are still running.
    message_faults : deque
        What happens to the next messages.
    check : callable
        Called after each step.
    decided_cancel, before_cancel : callable
        Called with a job that the manager wants to be cancelled, and just before it is.
    """

    def __init__(self, items: Iterable[Item], config: RunConfig, accounting: bool = True) -> None:
        self.clock = Clock()
        self.config = config
        self.cancels: list[str] = []
        self.batch = VirtualBatchSystem(config.run, accounting, self._on_cancel)
        self.manager = VirtualManager(items, config, self.clock)
        self.clients: dict[str, VirtualClient] = {}
        self.zombies: list[VirtualClient] = []
        self.message_faults: deque[MessageFault] = deque()
        self.done: set[int] = set()
        self.check: Callable[[], None] = lambda: None
        self.decided_cancel: Callable[[str], None] = lambda _: None
        self.before_cancel: Callable[[str], None] = lambda _: None
        self.slow_batch = 0.0
        self._late: list[bytes] = []
        self._queue: deque[Command] = deque()
        self._free_at = 0.0
        self._lives = 0

    def _on_cancel(self, job: str) -> None:
        self.before_cancel(job)
        self.cancels.append(job)
        if job in self.clients:
            del self.clients[job]

    # -------------------------------------------------------------------- faults

    def start(self, job: VirtualJob, work: float = 5.0) -> VirtualClient:
        """Let a waiting job start, with a client."""
        job.state, job.started = JobState.RUNNING, self.clock.monotonic
        return self._live(job, 0, work)

    def _live(self, job: VirtualJob, attempt: int, work: float) -> VirtualClient:
        self._lives += 1
        owner = Owner(job.id, job.restart, attempt, f"life-{self._lives}")
        client = VirtualClient(owner, job.submit, self.config.timing, self.clock.monotonic, work)
        self.clients[job.id] = client
        return client

    def kill(self, job: VirtualJob, cause: str) -> None:
        """End a job and its client at once."""
        self.clients.pop(job.id, None)
        self.batch.end(job, cause)

    def requeue(self, job: VirtualJob, zombie: bool = False) -> None:
        """Put a running job back into the queue, under the same id."""
        client = self.clients.pop(job.id, None)
        if zombie and client is not None:
            self.zombies.append(client)
        job.restart += 1
        job.state = JobState.PENDING

    def restart_client(self, job: VirtualJob) -> None:
        """End a job's client, and start another, as its script does after a crash."""
        before = self.clients[job.id]
        self._live(job, before.owner.attempt + 1, before.work)

    def kill_manager(self, lines: int = 0) -> None:
        """Kill the manager during a commit of which `lines` were written, and start another."""
        self.manager.note()
        self.manager.restart(lines)
        self._queue.clear()

    # ---------------------------------------------------------------------- time

    def run_for(self, seconds: float, tick: float = 1.0) -> None:
        """Let time pass."""
        end = self.clock.monotonic + seconds
        while self.clock.monotonic < end:
            self.step(min(tick, end - self.clock.monotonic))

    def step(self, seconds: float) -> None:
        """One tick: of the clients, the manager and the batch system."""
        self.clock.advance(seconds)
        late, self._late = self._late, []
        for message in late:
            self.manager.answer(message)
        for client in [*self.zombies, *self.clients.values()]:
            if not self._is_suspended(client):
                self._carry(client)
        self._turn()
        self._reap()
        self.check()

    def _is_suspended(self, client: VirtualClient) -> bool:
        job = self.batch.jobs[client.owner.job]
        return job.state is JobState.ALIVE and client is self.clients.get(job.id)

    def _carry(self, client: VirtualClient) -> None:
        """Carry a client's messages to the manager, and the replies back."""
        for _ in range(20):  # a reply often leads to the next message at once
            message = client.next_message(self.clock.monotonic)
            if message is None:
                return
            fault = self.message_faults.popleft() if self.message_faults else None
            if fault == "lost":
                return
            reply = self.manager.answer(message)
            if fault == "doubled":
                assert self.manager.answer(message) == reply
            if fault == "doubled late":
                self._late.append(message)
            self.manager.commit()
            if fault == "reply lost":
                return
            client.receive(reply, self.clock.monotonic)
            self.done.update(client.finished)
            self.check()

    def _turn(self) -> None:
        self._queue += self.manager.commands_due()
        self.manager.commit()
        while self._queue and self.clock.monotonic >= self._free_at:
            command = self._queue.popleft()
            self._free_at = self.clock.monotonic + self.slow_batch
            follow = self.manager.on_result(self.batch.carry_out(command))
            self.manager.commit()
            for job in (job for one in follow if isinstance(one, CancelJobs) for job in one.jobs):
                self.decided_cancel(job)
            self._queue += follow
            self.check()

    def _reap(self) -> None:
        """End jobs whose client has ended."""
        for name, client in list(self.clients.items()):
            if client.left:
                self.kill(self.batch.jobs[name], "completed")
        self.zombies = [zombie for zombie in self.zombies if not zombie.left]

    @property
    def over(self) -> bool:
        """Whether every item has ended and no job is left."""
        return self.manager.items.unfinished == 0 and not self.batch.living()
