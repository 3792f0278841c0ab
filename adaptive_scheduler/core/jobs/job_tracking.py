"""Live jobs, and submits without an answer: what the database has and what was observed since.

Observations stay in memory. A new manager begins without any, so every lease begins anew with it.
"""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import PENDING, RUNNING, Ending, JobState, ListedJob
from adaptive_scheduler.core.jobs.records import JobRecord, SubmitRecord
from adaptive_scheduler.core.wire.messages import Owner, Refused

#: Seconds for which a job whose client has left must be missing, where the queue shows jobs that
#: have ended. Longer than the faults of a controller that starts anew; as long, a job that the
#: queue forgets at once (a MinJobAge of seconds) is replaced later.
LEFT_DOUBT = 15.0


class TrackedJob(msgspec.Struct):
    """A live job. All times are the manager's monotonic seconds.

    Attributes
    ----------
    record : JobRecord
        As the database has it.
    known_since : float
        When this manager first knew of it.
    last_heard : float
        When a client of it last sent something, or a listing showed it start: the lease runs
        from here.
    was_heard : bool
        A client of it has connected, to this manager or a former one.
    left_at : float, optional
        When its client said goodbye to this manager.
    claimed_at : float, optional
        When it was last given an item.
    clients : set of str
        Processes that claim to be its one client, if there are several.
    listed : ListedJob, optional
        Its row in the last good listing; None if that listing lacks it.
    last_pending : float
        When a listing last showed it pending.
    node : str
        Where it runs, as the queue names it.
    absences : int
        Good listings in a row that lack it.
    missing_since : float, optional
        When the first of these came.
    ending : Ending, optional
        How it ended, by accounting.
    cancelled : bool
        The batch system has accepted our cancel.
    """

    record: JobRecord
    known_since: float
    last_heard: float
    was_heard: bool = False
    left_at: float | None = None
    claimed_at: float | None = None
    clients: set[str] = msgspec.field(default_factory=set)
    listed: ListedJob | None = None
    last_pending: float = float("-inf")
    node: str = ""
    absences: int = 0
    missing_since: float | None = None
    ending: Ending | None = None
    cancelled: bool = False

    @classmethod
    def start(cls, record: JobRecord, now: float) -> TrackedJob:
        """Track a job from now on: its lease begins."""
        return cls(record, now, now, was_heard=record.owner is not None)

    # ----------------------------------------------------------------- observations

    def on_listed(self, row: ListedJob, now: float) -> None:
        """Take in the job's row of a good listing."""
        if row.state is PENDING:
            self.last_pending = now
        elif self.last_heard <= self.last_pending or not (self.listed or self.was_heard):
            self.last_heard = now  # it has just started, perhaps again: its lease begins
        self.listed, self.absences, self.missing_since = row, 0, None
        if row.nodes:
            self.node = row.nodes[0]

    def on_missing(self, now: float, doubt: float) -> None:
        """Take in that a good listing lacks the job; counts after `doubt` seconds."""
        self.listed = None
        self.missing_since = now if self.missing_since is None else self.missing_since
        self.absences += now - self.missing_since >= doubt

    def on_heartbeat(self, now: float) -> None:
        """Renew the lease: the job's client has sent something."""
        self.last_heard, self.was_heard = now, True

    def on_ending(self, ending: Ending) -> None:
        """Take in what accounting reports of its end."""
        self.ending, self.node = ending, (*ending.nodes, self.node)[0]

    def refuse_other(self, owner: Owner) -> Refused | None:
        """Refuse a client other than the known one; None if it replaces that one.

        It does if the job was restarted since, or if the known client has said goodbye.
        """
        known = self.record.owner
        if known is None or known == owner:
            return None
        if owner.life < known.life:
            return Refused(
                "old_life", f"job {owner.job} was restarted; this client is of an earlier start."
            )
        if owner.life > known.life or self.record.goodbye:
            return None
        self.clients |= {known.uuid, owner.uuid}
        return Refused(
            "many_clients",
            f"job {owner.job} has {len(self.clients)} clients: mpiexec and mpi4py do not match, so "
            "each rank believes that it is the only one. Install both from one source "
            "(pip install mpi4py mpich), or with srun give mpiexec_executable='srun --mpi=pmi2'.",
        )

    # ------------------------------------------------------------------ conclusions

    @property
    def id(self) -> str:
        """The batch system's id of the job."""
        return self.record.id

    @property
    def state(self) -> JobState | None:
        """Its state in the queue; None if the last good listing lacks it.

        A job whose client was heard after the listing that showed it pending has started.
        """
        if self.listed is None:
            return None
        if self.listed.state is PENDING and self.last_heard > self.last_pending:
            return RUNNING
        return self.listed.state

    @property
    def node_name(self) -> str:
        """Where it runs; "" if unknown.

        The queue's name comes first: it is the one that a submit may exclude. The host's own may
        differ (``n1.cluster.org``), and a submit that names it is refused.
        """
        return self.node or self.record.host

    @property
    def has_started(self) -> bool:
        """Whether it is known to have started, however long ago."""
        return self.was_heard or bool(self.node)

    @property
    def may_be_pending(self) -> bool:
        """Whether nothing shows that it has started; one just submitted is not listed yet."""
        return not self.was_heard and self.state in (PENDING, None)

    @property
    def waits(self) -> bool:
        """Whether it is in the queue for the first time, or was requeued, as far as is known."""
        return self.may_be_pending or self.state is PENDING

    def doubt(self, seconds: float) -> float:
        """For how long a listing that lacks it is doubted, of `seconds` for a job that runs.

        Its absence is no surprise if we cancelled it, and little if its client has left and it was
        not requeued since: it may hold its node for a while, and an empty listing may be a fault.
        """
        if self.cancelled:
            return 0.0
        if not self.record.goodbye or self.left_at is None or self.last_pending > self.left_at:
            return seconds
        return min(seconds, LEFT_DOUBT)

    def silence(self, now: float) -> float:
        """Seconds since its client was last heard; 0 for a job that has not started."""
        return 0.0 if self.may_be_pending else now - self.last_heard

    @property
    def worked_for(self) -> float | None:
        """Seconds from its last claim to its last message; None if it was given no item."""
        return None if self.claimed_at is None else self.last_heard - self.claimed_at


class PendingSubmit(msgspec.Struct):
    """A submit whose result is unknown: it timed out, or the manager died meanwhile.

    Attributes
    ----------
    record : SubmitRecord
    since : float
        Monotonic seconds from which on its jobs are looked for.
    jobs : list of str
        Those that have shown up.
    absences : int
        Good listings that should have shown it.
    """

    record: SubmitRecord
    since: float
    jobs: list[str] = []
    absences: int = 0

    @property
    def missing(self) -> int:
        """How many of its jobs have not shown up."""
        return self.record.n - len(self.jobs)
