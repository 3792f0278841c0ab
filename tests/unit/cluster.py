"""A cluster to which things happen, and what must hold whatever happens."""

from __future__ import annotations

import random

from adaptive_scheduler.core.config import Limits, RunConfig, Timing
from adaptive_scheduler.core.items import ENDED, Item, Phase
from adaptive_scheduler.core.jobs import JobState
from adaptive_scheduler.core.messages import Finish, decode_reply, decode_request
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.testing import VirtualClient, VirtualJob, World

TIMING = Timing(beat=5, lease=30, idle=10, grace=60, patience=120, interval=30)
#: Virtual seconds within which everything ends once nothing goes wrong any more.
BOUND = 3 * 3600.0

CAUSES = ("failed", "timeout", "cancelled", "node_fail", "out_of_memory")
WORK = (5.0, 50.0, 200.0, 400.0)

#: How often each event is chosen.
WEIGHTS = {
    "wait": 8, "start": 3, "start_all": 4, "kill": 3, "start_and_die": 1, "requeue": 2,
    "suspend_or_go_on": 2, "lose_the_client": 1, "restart_client": 2, "terminate": 1,
    "next_outcome": 3, "spoil_messages": 3, "spoil_look": 2, "spoil_submit": 2, "spoil_cancel": 1,
    "kill_manager": 2, "kill_manager_over_a_message": 2, "step_the_clock": 1, "resume": 1,
}  # fmt: skip


class Cluster:
    """One history: a world, events, invariants.

    Parameters
    ----------
    seed : int
        Says what kind of run it is.
    """

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        n, shapes, limit = rng.randint(1, 12), rng.randint(1, 2), rng.randint(1, 6)
        depends = {row: (rng.randrange(row),) for row in range(1, n) if rng.random() < 0.2}
        items = [
            Item(
                row, f"data/{row}", Phase.WAITING if row in depends else Phase.QUEUED,
                depends_on=depends.get(row, ()), shape=row % shapes, priority=float(row % 2),
            )
            for row in range(n)
        ]  # fmt: skip
        config = RunConfig(
            "run", [Resources(cores=k + 1) for k in range(shapes)], ["job"], "/logs",
            timing=TIMING, limits=Limits(limit, max_fails_per_job=2, max_crashes=3),
        )  # fmt: skip
        self.world = World(items, config, accounting=rng.random() < 0.5)
        self.world.check = self.check
        self.world.before_cancel = self.check_cancel
        self.world.decided_cancel = self.check_decision
        self.world.slow_batch = rng.choice([0.0, 0.0, 3.0, 20.0])
        self.lied = False
        self.buried_alive: set[str] = set()
        self.silent: set[str] = set()
        self._answer = self.world.manager.answer
        self.world.manager.answer = self.answer  # type: ignore[method-assign]
        self.rights: dict[int, str] = {}
        self.world.run_for(3.0)

    def happen(self, event: str, pick: int) -> None:
        """Let one event happen, then a little time pass."""
        getattr(self, event)(pick)
        self.world.run_for(float(pick % 4))

    # ------------------------------------------------------------------- invariants

    def check(self) -> None:
        self.check_rows()
        self.check_owners()
        self.check_number()
        self.check_rights()

    def answer(self, message: bytes) -> bytes:
        """A token that is not the present one changes nothing; a finish may be said again."""
        request = decode_request(message)[2]
        token = getattr(request, "token", 0)
        before = list(self.world.manager.book.rows)
        reply = self._answer(message)
        if isinstance(request, Finish) and any(
            item.token == token and item.phase is Phase.DONE for item in before
        ):
            again = decode_reply(reply)[1]
            assert getattr(again, "code", "") != "stale_token", "a finish that was noted is refused"
        if token and all(item.token != token for item in before):
            assert self.world.manager.book.rows == before, "a stale token changed a row"
        return reply

    def check_rights(self) -> None:
        """A token is the right of one life of one client."""
        for client in [*self.world.clients.values(), *self.world.zombies]:
            if client.token:
                assert self.rights.setdefault(client.token, client.owner.uuid) == client.owner.uuid

    def check_rows(self) -> None:
        book = self.world.manager.book
        holders = [item.job for item in book.rows if item.phase is Phase.RUNNING]
        assert len(holders) == len(set(holders)), "a job holds two items"
        for item in book.rows:
            running = item.phase is Phase.RUNNING
            assert (item.job is not None) == (item.owner is not None) == running
            assert item.id not in self.world.done or item.phase is Phase.DONE
            if running:
                ready = all(book.rows[parent].phase is Phase.DONE for parent in item.depends_on)
                assert ready, "it runs before what it depends on"
        for phase in Phase:
            assert book.phases[phase] == sum(item.phase is phase for item in book.rows)

    def check_owners(self) -> None:
        """By their own clocks, no two jobs may write one learner's data.

        But for a client whose job was started again elsewhere while it lived: what the
        batch system says of its end is believed, and its token is refused.
        """
        now = self.world.clock.monotonic
        writers: dict[int, set[str]] = {}
        for client in self.world.clients.values():
            if client.holds(now):
                writers.setdefault(client.item, set()).add(client.owner.job)
        assert all(len(jobs) == 1 for jobs in writers.values()), writers

    def check_number(self) -> None:
        """A job that lives but was believed dead is the fault of two liars: it does not count."""
        records = self.world.manager.clients.jobs.records
        alive = [job.id for job in self.world.batch.living()]
        ended = {job for job in alive if job in records and records[job].ended}
        assert self.lied or all(records[job].goodbye for job in ended), "buried alive"
        self.buried_alive |= ended
        limit = self.world.config.limits.max_simultaneous_jobs
        assert len(set(alive) - self.buried_alive) <= limit, "too many jobs"

    def check_decision(self, job: str) -> None:
        """Only what waits, what is left over, and what was silent for too long is cancelled."""
        manager, now = self.world.manager, self.world.clock.monotonic
        known = {r.id: (listed, heard) for r, listed, heard in manager.clients.jobs.living()}
        listed, heard = known[job]
        if manager.book.held_by(job) is not None:
            assert now - heard > TIMING.lease + TIMING.patience, "a job that works is cancelled"
            self.silent.add(job)
        elif (
            manager.book.unfinished and listed is not None and listed.state is not JobState.PENDING
        ):
            ran = now - self.world.batch.jobs[job].started
            assert ran > TIMING.patience, "a job is cancelled before it could speak"

    def check_cancel(self, job: str) -> None:
        """The cancel comes some time after the decision: what was idle has got no work since."""
        if self.world.manager.book.held_by(job) is not None:
            assert job in self.silent, "a job that works was cancelled"

    # ------------------------------------------------------------------------ events

    def _job(self, pick: int, *states: JobState) -> VirtualJob | None:
        jobs = [job for job in self.world.batch.living() if job.state in states]
        return jobs[pick % len(jobs)] if jobs else None

    def _client(self, pick: int) -> VirtualClient | None:
        clients = list(self.world.clients.values())
        return clients[pick % len(clients)] if clients else None

    def wait(self, pick: int) -> None:
        seconds = (5.0, 20.0, 40.0, 100.0)[pick % 4]
        self.world.run_for(seconds, tick=1.0 if seconds < 30 else 4.0)

    def start(self, pick: int) -> None:
        if job := self._job(pick, JobState.PENDING):
            self.world.start(job, WORK[pick % 4])

    def start_all(self, pick: int) -> None:
        for job in self.world.batch.living():
            if job.state is JobState.PENDING:
                self.world.start(job, WORK[pick % 4])

    def kill(self, pick: int) -> None:
        if job := self._job(pick, JobState.PENDING, JobState.RUNNING, JobState.ALIVE):
            self.world.kill(job, CAUSES[pick % len(CAUSES)])

    def start_and_die(self, pick: int) -> None:
        if job := self._job(pick, JobState.PENDING):
            self.world.start(job)
            self.world.step(1.0)
            self.world.kill(job, "failed")

    def requeue(self, pick: int) -> None:
        if job := self._job(pick, JobState.RUNNING):
            self.world.requeue(job, zombie=bool(pick % 2))

    def suspend_or_go_on(self, pick: int) -> None:
        if job := self._job(pick, JobState.RUNNING, JobState.ALIVE):
            running = job.state is JobState.RUNNING
            job.state = JobState.ALIVE if running else JobState.RUNNING

    def lose_the_client(self, pick: int) -> None:
        """The job runs on, but nobody speaks in it any more."""
        if job := self._job(pick, JobState.RUNNING):
            self.world.clients.pop(job.id, None)

    def restart_client(self, pick: int) -> None:
        if client := self._client(pick):
            self.world.restart_client(self.world.batch.jobs[client.owner.job])

    def terminate(self, pick: int) -> None:
        if client := self._client(pick):
            client.terminate(self.world.clock.monotonic)

    def next_outcome(self, pick: int) -> None:
        if client := self._client(pick):
            client.outcomes.append("fail" if pick % 3 else "release")

    # ------------------------------------------------------------------------ faults

    def spoil_messages(self, pick: int) -> None:
        kinds = ("lost", "reply lost", "doubled", "doubled late")
        self.world.message_faults += [kinds[(pick >> k) % 4] for k in range(pick % 6)]

    def spoil_look(self, pick: int) -> None:
        """Never two bad listings in a row: a queue that lies for ever cannot be lived with."""
        if not self.world.batch.look_faults:
            fault = ("fails", "empty", "late")[pick % 3]
            self.lied = self.lied or fault != "fails"
            self.world.batch.look_faults += [fault, "none", "none"]

    def spoil_submit(self, pick: int) -> None:
        self.world.batch.submit_faults.append(("busy", "limit", "lost", "unanswered")[pick % 4])

    def spoil_cancel(self, pick: int) -> None:
        self.world.batch.deaf_to_cancels += 1

    def kill_manager(self, pick: int) -> None:
        self.world.kill_manager(lines=pick % 6)

    def kill_manager_over_a_message(self, pick: int) -> None:
        """After it has stepped a request, before it has answered."""
        client = self._client(pick)
        message = client.speak(self.world.clock.monotonic) if client else None
        if message is not None:
            self.world.manager.answer(message)
            self.world.kill_manager(lines=pick % 6)

    def step_the_clock(self, pick: int) -> None:
        self.world.clock.step_wall((-1e6, 1e6)[pick % 2])

    def resume(self, pick: int) -> None:
        self.world.manager.jobs.resume()

    # --------------------------------------------------------------------------- end

    def leave_alone(self) -> None:
        """No more faults: everything ends, and nothing is left in the queue."""
        world = self.world
        self._stop_faults()
        end = world.clock.monotonic + BOUND
        while not world.over and world.clock.monotonic < end:
            for job in world.batch.living():
                if job.state is JobState.PENDING:
                    world.start(job, 5.0)
                elif job.state is JobState.ALIVE:
                    job.state = JobState.RUNNING
            if world.manager.jobs.notes.held:
                world.manager.jobs.resume()
            world.run_for(10.0, tick=2.0)
        assert world.over, "left alone, it does not end"
        assert all(item.phase in ENDED for item in world.manager.book.rows)

    def _stop_faults(self) -> None:
        world = self.world
        for faults in (world.message_faults, world.batch.submit_faults, world.batch.look_faults):
            faults.clear()
        world.batch.deaf_to_cancels = 0
        world.slow_batch = 0.0
        world.zombies.clear()
        for client in world.clients.values():
            client.outcomes.clear()
