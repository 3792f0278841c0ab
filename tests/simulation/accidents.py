"""Faults of managers, jobs and clients, drawn one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.slurm import Job

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tests.simulation.lives import Life

#: How jobs end that did not want to, and whether it is their own fault.
CAUSES = ("FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")

#: How often each is chosen.
WEIGHTS = {
    "kill_job": 4, "kill_client": 3, "requeue": 3, "start_twice": 2, "suspend": 2, "pause": 3,
    "cut": 2, "lose_client": 1, "terminate": 2, "double_client": 1, "fail_node": 1,
    "kill_manager": 6, "cut_power": 4, "stall_manager": 1, "step_clock": 1, "fill_disk": 1,
    "break_sync": 1, "disturb_checkpoint": 2, "checkpoint": 3, "ask": 1, "limit": 1,
}  # fmt: skip


class Accidents:
    """Draws faults, one after the other; which kinds there are differs between histories.

    Attributes
    ----------
    crowded : set of str
        Jobs with two clients of one life.
    """

    weights = WEIGHTS

    def __init__(self, history: History) -> None:
        self.history = history
        self.crowded: set[str] = set()
        rng = history.rng
        weights = self.weights
        self._kinds = [kind for kind in weights if rng.random() < 0.6] or ["kill_job"]
        self._weights = [weights[kind] for kind in self._kinds]
        self._gap = rng.choice((2.0, 4.0, 8.0))

    def begin(self) -> None:
        self.history.after(self.history.rng.uniform(0.0, 6.0), self._next)

    def _next(self) -> None:
        history = self.history
        if history.calm:
            return
        (kind,) = history.rng.choices(self._kinds, self._weights)
        getattr(self, kind)()
        history.after(history.rng.expovariate(1 / self._gap), self._next)

    def end(self) -> None:
        """Everything that stands still goes on, everything broken is mended."""
        history = self.history
        weather = history.slurm.weather
        weather.look = weather.submit = weather.cancel = 0.0
        weather.latency, weather.limit = 0.1, None
        manager = history.manager
        manager.fuse = manager.checkpoint_fuse = None
        manager.stalled_until = 0.0
        self._mend()
        for life in history.all_lives():
            life.go_on()
        for job in history.slurm.living():
            if job.state == "SUSPENDED":
                job.state = "RUNNING"
            if job.waits:
                job.stays = False
                restart = job.restart
                history.after(0.5, lambda job=job, restart=restart: history.start(job, restart))
        if manager.turns is None:
            history.after(0.1, manager.start)
        else:
            manager.hurry()

    # ------------------------------------------------------------------------ choices

    def _job(self, *states: str) -> Job | None:
        jobs = [job for job in self.history.slurm.living() if job.state in states]
        return self.history.rng.choice(jobs) if jobs else None

    def _life(self) -> Life | None:
        lives = [life for life in self.history.lives.values() if not life.dead]
        return self.history.rng.choice(lives) if lives else None

    # --------------------------------------------------------------------------- jobs

    def kill_job(self) -> None:
        job = self._job("PENDING", "RUNNING", "RUNNING", "SUSPENDED")
        if job is not None:
            cause = "CANCELLED" if job.waits else self.history.rng.choice(CAUSES)
            self.history.fault(f"job killed: {cause}", job.id)
            self.history.end(job, cause)

    def fail_node(self) -> None:
        node = f"n{self.history.rng.randint(1, 4)}"
        jobs = [job for job in self.history.slurm.living() if job.node == node]
        if jobs:
            self.history.fault("node fails", node)
        for job in jobs:
            self.history.end(job, "NODE_FAIL")

    def limit(self) -> None:
        """The site takes fewer jobs for a while."""
        weather = self.history.slurm.weather
        if weather.limit is None:
            self.history.fault("site limit comes")
            weather.limit = self.history.rng.randint(0, 3)
            self.history.after(self.history.rng.uniform(5, 90), self._lift)

    def _lift(self) -> None:
        if self.history.slurm.weather.limit is not None:
            self.history.count("site limit goes")
            self.history.slurm.weather.limit = None

    def kill_client(self) -> None:
        """A rank dies and takes its world with it; the job script starts another."""
        life = self._life()
        if life is not None and life.job.state == "RUNNING":
            self.history.fault("client killed", life.owner.uuid)
            self._restart(life)

    def _restart(self, life: Life) -> None:
        self.history.oracle.client_dies(life, own_fault=False)
        life.die()
        self.start_again(life)

    def start_again(self, life: Life) -> None:
        """The job script starts another client, if its job still lives."""
        job, attempt, restart = life.job, life.owner.attempt + 1, life.job.restart

        def again() -> None:
            same = self.history.lives.get(job.id) is life and job.restart == restart
            if not job.ended and same:
                self.history.count("client started again")
                self.history.lives[job.id] = self.history.make_life(job, attempt)

        self.history.after(1.5, again)

    def die_of(self, life: Life, item: int) -> None:
        """An item kills whoever works on it."""
        if life.dead or life.client.item != item or not life.client.token:
            return
        self.history.fault("item kills its client", str(item))
        if life is not self.history.lives.get(life.job.id):
            self.history.oracle.client_dies(life, own_fault=False)  # one that should not have lived
            life.die()
        elif self.history.rng.random() < 0.5:
            self.history.end(life.job, "FAILED")
        else:
            self._restart(life)

    def requeue(self) -> None:
        job = self._job("RUNNING", "SUSPENDED")
        if job is not None:
            self.history.fault("job requeued", job.id)
            life = self.history.lives.pop(job.id, None)
            if life is not None and not life.dead:
                self.history.oracle.client_dies(life, own_fault=False)
                life.die()
            self.history.requeue(job)

    def start_twice(self) -> None:
        """Its node was only away: it is requeued, and its first life goes on."""
        job = self._job("RUNNING")
        life = self.history.lives.pop(job.id, None) if job is not None else None
        if job is not None and life is not None:
            self.history.fault("job starts twice", job.id)
            if self.history.rng.random() < 0.5:
                life.pause(self.history.rng.uniform(5, 80))
            self.history.oracle.client_dies(life, own_fault=False)
            self.history.zombies.append(life)
            self.history.requeue(job)

    def suspend(self) -> None:
        job = self._job("RUNNING")
        if job is not None:
            seconds = self.history.rng.uniform(5, 150)
            self.history.fault("job suspended", job.id)
            job.state = "SUSPENDED"
            if job.id in self.history.lives:
                self.history.lives[job.id].pause(seconds)
            self.history.after(seconds, lambda: self._resume(job))

    def _resume(self, job: Job) -> None:
        if job.state == "SUSPENDED":
            self.history.count("job resumed")
            job.state = "RUNNING"

    # ------------------------------------------------------------------------ clients

    def pause(self) -> None:
        """SIGSTOP, often for longer than its lease."""
        life = self._life()
        if life is not None:
            self.history.fault("client stopped for a while", life.owner.uuid)
            life.pause(self.history.rng.uniform(5, 130))

    def cut(self) -> None:
        life = self._life()
        if life is not None:
            self.history.fault("client cut off", life.owner.uuid)
            life.cut_until = self.history.now + self.history.rng.uniform(5, 130)

    def lose_client(self) -> None:
        """It hangs for ever, its job runs on."""
        life = self._life()
        if life is not None:
            self.history.fault("client hangs", life.owner.uuid)
            self.history.oracle.client_dies(life, own_fault=False)
            life.die()

    def terminate(self) -> None:
        """The walltime comes near, or a signal: it has some seconds."""
        life = self._life()
        if life is not None:
            self.history.fault("client gets SIGTERM", life.owner.uuid)
            life.terminate()
            job, restart = life.job, life.job.restart

            def kill() -> None:
                if job.restart == restart:
                    self.history.end(job, "TIMEOUT")

            self.history.after(10.0, kill)

    def double_client(self) -> None:
        """MPI does not match: two processes take themselves for the only one."""
        life = self._life()
        if life is not None and life.job.state == "RUNNING":
            self.history.fault("two clients of one job", life.job.id)
            self.crowded.add(life.job.id)
            double = self.history.make_life(life.job, life.owner.attempt)
            self.history.zombies.append(double)

    # ------------------------------------------------------------------- the manager

    def kill_manager(self) -> None:
        self._light_fuse("manager killed", power=False)

    def cut_power(self) -> None:
        self._light_fuse("manager's host loses power", power=True)

    def _light_fuse(self, kind: str, power: bool) -> None:
        manager = self.history.manager
        if manager.turns is not None and manager.fuse is None:
            self.history.fault(kind)
            manager.power = power
            manager.fuse = self.history.rng.randint(0, 12)

    def stall_manager(self) -> None:
        self.history.fault("manager stopped for a while")
        manager = self.history.manager
        manager.stalled_until = self.history.now + self.history.rng.uniform(5, 50)

    def step_clock(self) -> None:
        self.history.fault("wall clock set")
        self.history.manager.wall += self.history.rng.choice((-1e6, -100.0, 100.0, 1e6))

    def fill_disk(self) -> None:
        self.history.fault("disk full")
        self.history.disk.full = True
        self.history.after(self.history.rng.uniform(1, 40), self._mend)

    def break_sync(self) -> None:
        self.history.fault("fsync fails")
        self.history.disk.broken_sync = True
        self.history.after(self.history.rng.uniform(0.1, 10), self._mend)

    def _mend(self) -> None:
        self.history.disk.full = self.history.disk.broken_sync = False
        self.history.manager.disk_mended = self.history.now

    def disturb_checkpoint(self) -> None:
        manager = self.history.manager
        if manager.checkpoint_fuse is None:
            self.history.fault("checkpoint disturbed")
            manager.checkpoint_fuse = self.history.rng.randint(0, 8)

    def checkpoint(self) -> None:
        """No fault: the minute between two checkpoints is over already."""
        turns = self.history.manager.turns
        if turns is not None:
            self.history.count("checkpoint wanted")
            turns.persistence._next_checkpoint = float("-inf")

    def ask(self) -> None:
        self.history.count("a person asks")
        self.history.person_asks()
