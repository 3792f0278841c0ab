"""The records of a run's history, as the checkpoint keeps them.

Theory of operation
-------------------
Every change of a learner, a task or a job is a line of the database's journal already, synced before
it is answered. The checkpoint reads these lines before it deletes them, and folds them into a
`RunHistory`: so the history costs the manager nothing, and no crash leaves less of it than of
the database. Who reads it folds the lines that no checkpoint has read yet (`io.storage.history_file`).

It is bounded. What was computed, saved and lost is added up for each job as it happens (`Tally`), and
for the run over time (`Bins`); so that single stretches of work, and then whole jobs, can be
dropped, the oldest first, and no sum changes (`thin`).

Times are seconds since 1970, of the manager's clock; 0.0 is unknown.
"""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.history.bins import Bins

#: Changes with each change of the records below that older readers would misread.
VERSION = 1


class Stretch(msgspec.Struct, array_like=True, gc=False):
    """One try of one item: from when a job took it to when it was given back, or has ended.

    Attributes
    ----------
    item : int
    job : int
        Place in `RunHistory.jobs`.
    began, ended : float
    seconds : float
        That it is known to have computed.
    points : int
        New points of a learner.
    how : int
        A `How`.
    reason : int
        Place in `RunHistory.reasons`; -1: none.
    """

    item: int
    job: int
    began: float
    ended: float
    seconds: float = 0.0
    points: int = 0
    how: int = 0
    reason: int = -1


class OpenStretch(msgspec.Struct, array_like=True, gc=False):
    """A try that goes on: what the row had when it began, to be subtracted when it ends."""

    job: int
    token: int
    began: float
    cores: int
    worked: float
    points: int
    attempts: int
    failures: int
    crashes: int
    losses: int
    cuts: int
    data_seconds: float = 0.0


class Tally(msgspec.Struct, array_like=True, gc=False):
    """Sums over the tries of one job that ended in one way: their number, core-seconds from begin to end, and computed."""

    n: int = 0
    held: float = 0.0
    computed: float = 0.0


class JobSpan(msgspec.Struct, array_like=True):
    """One job.

    Attributes
    ----------
    id, name, host : str
    shape, cores : int
    submitted, started : float
        In the queue; on its node.
    first_claim : float
        When it was first given work.
    left : float
        When its client said goodbye.
    ended : float
        When it was found to be dead; 0.0: it lives.
    goodbye, cause : str
        Why its client left; why it is believed dead.
    last_end : float
        When the last try in it ended.
    last_how : int
        How; -1: none has.
    tallies : dict of int to Tally
        By `How`.
    """

    id: str
    name: str = ""
    host: str = ""
    shape: int = 0
    cores: int = 1
    submitted: float = 0.0
    started: float = 0.0
    first_claim: float = 0.0
    left: float = 0.0
    ended: float = 0.0
    goodbye: str = ""
    cause: str = ""
    last_end: float = 0.0
    last_how: int = -1
    tallies: dict[int, Tally] = msgspec.field(default_factory=dict)

    @property
    def begin(self) -> float:
        """From when on it held its cores; 0.0: it has not begun, as far as is known."""
        return self.started or self.first_claim

    def end(self, now: float) -> float:
        """Until when it held its cores: `now` while it lives."""
        if not self.ended:
            return max(now, self.begin)
        return max(self.left or self.ended, self.last_end, self.begin)


class CoreUse(msgspec.Struct, array_like=True):
    """What became of the core-seconds that jobs held; `held` is the sum of the others.

    Attributes
    ----------
    held : float
    computing : float
    starting : float
        From the start of a job to its first work.
    saving : float
        Within tries, not computing: learners are loaded and saved.
    crashes : float
        Tries that failed, crashed or were lost, as far as nothing of them was kept.
    walltime : float
        Tries that the walltime cut, and what jobs had left when there was no time for more.
    idle : float
        All else: no work was there.
    """

    held: float = 0.0
    computing: float = 0.0
    starting: float = 0.0
    saving: float = 0.0
    crashes: float = 0.0
    walltime: float = 0.0
    idle: float = 0.0


class DroppedJobs(msgspec.Struct, array_like=True):
    """Sums over the jobs that were dropped, and how many stretches are gone."""

    jobs: int = 0
    stretches: int = 0
    use: CoreUse = msgspec.field(default_factory=CoreUse)
    tallies: dict[int, Tally] = msgspec.field(default_factory=dict)
    waited: float = 0.0
    waits: int = 0


class Cores(msgspec.Struct):
    """Cores of jobs and of tasks, by their shapes."""

    of_jobs: dict[int, int] = msgspec.field(default_factory=dict)
    of_tasks: dict[int, int] = msgspec.field(default_factory=dict)


class RunHistory(msgspec.Struct):
    """What has happened in a run so far.

    Attributes
    ----------
    version : int
    segment : int
        The last segment of the journal that is in it.
    kind : str
        What the items are: ``learner`` or ``task``.
    clock : float
        The time of the last change that it knows of.
    jobs : list of JobSpan
    stretches : list of Stretch
        Tries that have ended, in the order of their ends.
    running : dict of int to OpenStretch
        Tries that go on, by item.
    reasons : list of str
        Of stretches.
    bins : Bins
        Cores and ends over time, of jobs and tries that have ended.
    past : DroppedJobs
        What was dropped.
    cores : Cores
    is_complete : bool
        It goes back to the run's first job, without a gap; else a version without a history had the run,
        or the file was damaged, or could not be written.
    """

    version: int = VERSION
    segment: int = 0
    kind: str = "learner"
    clock: float = 0.0
    jobs: list[JobSpan] = msgspec.field(default_factory=list)
    stretches: list[Stretch] = msgspec.field(default_factory=list)
    running: dict[int, OpenStretch] = msgspec.field(default_factory=dict)
    reasons: list[str] = msgspec.field(default_factory=list)
    bins: Bins = msgspec.field(default_factory=Bins)
    past: DroppedJobs = msgspec.field(default_factory=DroppedJobs)
    cores: Cores = msgspec.field(default_factory=Cores)
    is_complete: bool = True
