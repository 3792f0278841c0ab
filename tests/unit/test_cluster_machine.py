"""A whole cluster of events against the real decisions.

What is promised: one owner per item, never more than `max_simultaneous_jobs`, DONE is for
ever, no job that works is cancelled, and left alone everything ends.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from adaptive_scheduler.core.config import Limits, RunConfig, Timing
from adaptive_scheduler.core.items import ENDED, Item, Phase
from adaptive_scheduler.core.jobs import JobState
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.testing import VirtualClient, VirtualJob, World

TIMING = Timing(beat=5, lease=30, idle=10, grace=60, patience=120, interval=30)
#: Virtual seconds within which everything ends once nothing goes wrong any more.
BOUND = 3 * 3600.0

CAUSES = st.sampled_from(["failed", "timeout", "cancelled", "node_fail", "out_of_memory"])
WORK = st.sampled_from([0.0, 5.0, 50.0, 400.0])


class Cluster(RuleBasedStateMachine):
    world: World

    @initialize(
        n=st.integers(1, 8),
        limit=st.integers(1, 4),
        shapes=st.integers(1, 2),
        parents=st.lists(st.integers(0, 6), max_size=3),
        accounting=st.booleans(),
        slow=st.sampled_from([0.0, 3.0, 20.0]),
    )
    def begin(
        self, n: int, limit: int, shapes: int, parents: list[int], accounting: bool, slow: float
    ) -> None:
        depends = {row + 1: (row,) for row in parents if row + 1 < n}
        items = [
            Item(
                row,
                f"data/{row}",
                Phase.WAITING if row in depends else Phase.QUEUED,
                depends_on=depends.get(row, ()),
                shape=row % shapes,
                priority=float(row % 2),
            )
            for row in range(n)
        ]
        config = RunConfig(
            "run", [Resources(cores=k + 1) for k in range(shapes)], ["job"], "/logs",
            timing=TIMING, limits=Limits(limit, max_fails_per_job=2, max_crashes=3),
        )  # fmt: skip
        self.world = World(items, config, accounting)
        self.world.check = self.check
        self.world.before_cancel = self.check_cancel
        self.world.slow_batch = slow
        self.lied = False
        self.tokens = [0] * n

    # ------------------------------------------------------------------- invariants

    def check(self) -> None:
        self.check_rows()
        self.check_owners()
        self.check_number()

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
        """By their own clocks, no two jobs may write one learner's data."""
        now = self.world.clock.monotonic
        clients: list[VirtualClient] = [*self.world.clients.values(), *self.world.zombies]
        writers: dict[int, set[str]] = {}
        for client in clients:
            if client.holds(now):
                writers.setdefault(client.item, set()).add(client.owner.job)
        assert all(len(jobs) == 1 for jobs in writers.values()), writers

    def check_number(self) -> None:
        """A job that is alive but was believed dead is the fault of two liars: do not count it."""
        records = self.world.manager.clients.jobs.records
        alive = [job.id for job in self.world.batch.living()]
        believed = [job for job in alive if job not in records or not records[job].ended]
        assert len(believed) <= self.world.config.limits.max_simultaneous_jobs
        assert self.lied or len(believed) == len(alive), "buried alive"

    def check_cancel(self, job: str) -> None:
        """Only what is of no use, or was silent for too long, is cancelled."""
        if self.world.manager.book.held_by(job) is not None:
            silence = {
                record.id: self.world.clock.monotonic - heard
                for record, _, heard in self.world.manager.clients.jobs.living()
            }
            assert silence[job] > TIMING.lease, "a job that works was cancelled"

    # ------------------------------------------------------------------------ events

    def _job(self, data: st.DataObject, *states: JobState) -> VirtualJob | None:
        jobs = [job for job in self.world.batch.living() if job.state in states]
        return data.draw(st.sampled_from(jobs), label="job") if jobs else None

    @rule(seconds=st.sampled_from([1.0, 5.0, 40.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.world.run_for(seconds, tick=seconds / 20 if seconds > 20 else 1.0)

    @rule(data=st.data(), work=WORK)
    def start(self, data: st.DataObject, work: float) -> None:
        if job := self._job(data, JobState.PENDING):
            self.world.start(job, work)

    @rule(work=WORK)
    def start_all(self, work: float) -> None:
        for job in self.world.batch.living():
            if job.state is JobState.PENDING:
                self.world.start(job, work)

    @rule(data=st.data(), cause=CAUSES)
    def kill(self, data: st.DataObject, cause: str) -> None:
        if job := self._job(data, JobState.PENDING, JobState.RUNNING, JobState.ALIVE):
            self.world.kill(job, cause)

    @rule(data=st.data())
    def start_and_die(self, data: st.DataObject) -> None:
        if job := self._job(data, JobState.PENDING):
            self.world.start(job)
            self.world.step(1.0)
            self.world.kill(job, "failed")

    @rule(data=st.data(), zombie=st.booleans())
    def requeue(self, data: st.DataObject, zombie: bool) -> None:
        if job := self._job(data, JobState.RUNNING):
            self.world.requeue(job, zombie)

    @rule(data=st.data())
    def suspend_or_go_on(self, data: st.DataObject) -> None:
        if job := self._job(data, JobState.RUNNING, JobState.ALIVE):
            running = job.state is JobState.RUNNING
            job.state = JobState.ALIVE if running else JobState.RUNNING

    @rule(data=st.data())
    def lose_the_client(self, data: st.DataObject) -> None:
        """The job runs on, but nobody speaks in it any more."""
        if job := self._job(data, JobState.RUNNING):
            self.world.clients.pop(job.id, None)

    @rule(data=st.data())
    def restart_client(self, data: st.DataObject) -> None:
        job = self._job(data, JobState.RUNNING)
        if job is not None and job.id in self.world.clients:
            self.world.restart_client(job)

    @rule(data=st.data())
    def terminate(self, data: st.DataObject) -> None:
        job = self._job(data, JobState.RUNNING)
        if job is not None and job.id in self.world.clients:
            self.world.clients[job.id].terminate(self.world.clock.monotonic)

    @rule(data=st.data(), outcome=st.sampled_from(["fail", "release"]))
    def next_outcome(self, data: st.DataObject, outcome: str) -> None:
        if self.world.clients:
            client = data.draw(st.sampled_from(list(self.world.clients.values())))
            client.outcomes.append(outcome)

    # ------------------------------------------------------------------------ faults

    @rule(
        faults=st.lists(
            st.sampled_from(["lost", "reply lost", "doubled", "doubled late"]), max_size=5
        )
    )
    def spoil_messages(self, faults: list[str]) -> None:
        self.world.message_faults += faults

    @precondition(lambda self: not self.world.batch.look_faults)
    @rule(fault=st.sampled_from(["fails", "empty", "late"]))
    def spoil_look(self, fault: str) -> None:
        self.lied = self.lied or fault == "empty"
        self.world.batch.look_faults += [fault, "none", "none"]

    @rule(fault=st.sampled_from(["busy", "limit", "lost", "unanswered"]))
    def spoil_submit(self, fault: str) -> None:
        self.world.batch.submit_faults.append(fault)

    @rule()
    def spoil_cancel(self) -> None:
        self.world.batch.deaf_to_cancels += 1

    @rule(lines=st.integers(0, 5))
    def kill_manager(self, lines: int) -> None:
        self.world.kill_manager(lines)
        self.check()

    @rule(data=st.data(), lines=st.integers(0, 5))
    def kill_manager_over_a_message(self, data: st.DataObject, lines: int) -> None:
        """After it has stepped a request, before it has answered."""
        if self.world.clients:
            client = data.draw(st.sampled_from(list(self.world.clients.values())))
            message = client.speak(self.world.clock.monotonic)
            if message is not None:
                self.world.manager.answer(message)
                self.world.kill_manager(lines)

    @rule(seconds=st.sampled_from([-1e6, 1e6]))
    def step_the_clock(self, seconds: float) -> None:
        self.world.clock.step_wall(seconds)

    @rule()
    def resume(self) -> None:
        self.world.manager.jobs.resume()

    # --------------------------------------------------------------------------- end

    def teardown(self) -> None:
        """No more faults: everything ends, and nothing is left in the queue."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.message_faults.clear()
        world.batch.submit_faults.clear()
        world.batch.look_faults.clear()
        world.batch.deaf_to_cancels = 0
        world.slow_batch = 0.0
        world.zombies.clear()
        for client in world.clients.values():
            client.outcomes.clear()
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


Cluster.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCluster = Cluster.TestCase
