"""In-memory observations of live jobs; rebuilt after a restart of the manager."""

from __future__ import annotations

from collections.abc import Container, Mapping

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import PENDING, RUNNING, Ending, ListedJob
from adaptive_scheduler.core.jobs.reconcile import JobView
from adaptive_scheduler.core.jobs.records import JobRecord, many_clients
from adaptive_scheduler.core.wire.messages import Owner, Refused


class TrackedJob(msgspec.Struct):
    """Of one living job.

    Attributes
    ----------
    heard : float
        When a client of it was last heard, or it was seen to start: a lease runs from here.
    known : float
        Since when this manager knows of it.
    spoke : bool
        A client of it was heard, by this manager or a former one.
    left : float, optional
        When this manager heard its goodbye.
    claimed : float, optional
        When it was last given an item.
    listed : ListedJob, optional
        Its row of the last good listing.
    waited : float
        When a listing last showed it waiting.
    node : str
        Where it runs, by the queue's word.
    absences : int
        Good listings in a row that lack it.
    missing : float, optional
        Since when they do.
    ending : Ending, optional
        What accounting tells.
    cancelled : bool
        The batch system has taken our cancel of it.
    uuids : set of str
        Processes that claim to be the same life of its client.
    """

    heard: float
    known: float
    spoke: bool = False
    left: float | None = None
    claimed: float | None = None
    listed: ListedJob | None = None
    waited: float = float("-inf")
    node: str = ""
    absences: int = 0
    missing: float | None = None
    ending: Ending | None = None
    cancelled: bool = False
    uuids: set[str] = msgspec.field(default_factory=set)

    def see(self, listed: ListedJob, now: float) -> None:
        """A good listing has it."""
        if listed.state is PENDING:
            self.waited = now
        elif self.heard <= self.waited or not (self.listed or self.spoke):
            self.heard = now  # it has just started, perhaps again: now its silence begins
        self.listed, self.absences, self.missing = listed, 0, None
        if listed.nodes:
            self.node = listed.nodes[0]

    def miss(self, now: float, doubt: float) -> None:
        """A good listing lacks it; that counts once it has been missing for `doubt` seconds."""
        self.listed = None
        self.missing = now if self.missing is None else self.missing
        self.absences += now - self.missing >= doubt


class Liveness(msgspec.Struct, frozen=True):
    """All jobs that are not buried, at one moment.

    Attributes
    ----------
    views : list of JobView
        Of those about which something might have to be decided.
    at_work : int
        How many others there are: they hold an item and were heard within their lease.
    nodes : set of str
        Where jobs run that have been given work.
    """

    views: list[JobView]
    at_work: int
    nodes: set[str]


class PendingSubmit(msgspec.Struct):
    """A submit whose answer has not come: `jobs` are those of it that were met already."""

    sent: float
    jobs: list[str]
    absences: int = 0


def conflicting_client(
    record: JobRecord, known: Owner, owner: Owner, signs: TrackedJob
) -> Refused | None:
    """Why another client of the same job than the one known is not heard; None for its next life."""
    if owner.life < known.life:
        return Refused(
            "old_life", f"job {owner.job} was started again since; this client is of its past."
        )
    if owner.life > known.life or record.goodbye:
        return None
    signs.uuids |= {known.uuid, owner.uuid}
    return many_clients(owner.job, len(signs.uuids))


def node_of(record: JobRecord, signs: TrackedJob) -> str:
    """Where a job runs, by the queue's word or its own; "" if nobody knows.

    The queue's names are those by which it takes nodes to avoid. A host may well have another
    one (``n1.cluster.org``), and a submit that names it is refused.
    """
    return signs.node or record.host


def view(record: JobRecord, signs: TrackedJob, holds: bool, now: float) -> JobView:
    """What `reconcile` sees of one job."""
    listed = signs.listed.state if signs.listed else None
    if listed is PENDING and signs.heard > signs.waited:
        listed = RUNNING  # its client was heard since that listing: it has started
    not_started = not signs.spoke and listed in (None, PENDING)
    return JobView(
        id=record.id, shape=record.shape, submit=record.submit, holds=holds, spoke=signs.spoke,
        goodbye=bool(record.goodbye), silent=0.0 if not_started else now - signs.heard,
        age=now - signs.known, listed=listed, absences=signs.absences,
        ending=signs.ending.cause if signs.ending else "", external=record.external,
        cancelled=signs.cancelled,
    )  # fmt: skip


def survey(
    records: Mapping[str, JobRecord], signs: Mapping[str, TrackedJob], holders: Container[str],
    now: float, lease: float,
) -> Liveness:  # fmt: skip
    """Tell the jobs at work, in a large run nearly all, from those that have to be looked at.

    Parameters
    ----------
    records, signs : mapping
        By job; those with signs are not buried.
    holders : container of str
        Jobs that hold an item.
    now, lease : float
        Monotonic seconds; how many may pass without a word.
    """
    views, nodes, at_work = [], set(), 0
    for job, sign in signs.items():
        record = records[job]
        if record.has_worked:
            nodes.add(sign.node or record.host)  # as `node_of`, ten thousand times
        holds = job in holders
        if (
            holds and sign.spoke and now - sign.heard <= lease
            and not (record.goodbye or record.external)
        ):  # fmt: skip
            at_work += 1
        else:
            views.append(view(record, sign, holds, now))
    return Liveness(views, at_work, nodes - {""})
