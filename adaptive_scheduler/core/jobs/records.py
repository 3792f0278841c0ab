"""What the database keeps of jobs and of submits."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from adaptive_scheduler.core.jobs.outputs import end_of_output, told_once
from adaptive_scheduler.core.wire.messages import Owner, Refused

#: Lines of an output in which the words are looked for that hold a run.
_TOLD_LINES = 15
#: Given a job, the end of what it printed; None if there is no file of it.
Output = Callable[[str], str | None]
#: What ends a job before the first line of its script, and how not to.
PROFILE = (
    "look at the login profile on the nodes (/etc/profile, ~/.bash_profile, ~/.profile): an 'exit' or "
    "'exec' in it ends the job before its script begins. Let it do so in interactive shells only: "
    "case $- in *i*) ... ;; esac"
)


class JobRecord(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One job, as the database keeps it.

    Attributes
    ----------
    id : str
    submit : int
        The submit that made it; -1 for a script started by hand.
    shape : int
        Its resources.
    name : str
        Its name in the queue.
    owner : Owner, optional
        The client that was last heard of it.
    has_worked : bool
        Whether it was ever given an item.
    goodbye : str
        What its client said when it ended.
    broken : bool
        That client could not work on its node at all.
    host : str
        Where that client ran.
    ended : str
        Why it is believed dead; "" while it is not.
    submitted : float
        Seconds since 1970.
    """

    id: str
    submit: int = -1
    shape: int = 0
    name: str = ""
    owner: Owner | None = None
    has_worked: bool = False
    goodbye: str = ""
    broken: bool = False
    host: str = ""
    ended: str = ""
    submitted: float = 0.0

    @property
    def external(self) -> bool:
        """Whether somebody started its script by hand, so that no queue lists it."""
        return self.id.startswith("local:")


class SubmitRecord(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One submit. `jobs` is None while nobody knows whether it reached the batch system."""

    number: int
    shape: int
    n: int
    name: str
    sent: float
    jobs: list[str] | None = None


def died_early(record: JobRecord) -> bool:
    """Whether it is dead before its first claim, and nobody meant it to be."""
    meant = record.ended in ("", "cancelled", "preempted", "node_fail")
    return (
        not record.has_worked
        and not record.external
        and (record.broken or not record.goodbye)
        and not meant
    )


def count_early_deaths(records: Iterable[JobRecord]) -> int:
    """How many of these died early."""
    return sum(map(died_early, records))


def many_clients(job: str, n: int) -> Refused:
    """What a job is told that has several clients at a time."""
    return Refused(
        "many_clients",
        f"job {job} has {n} clients: mpiexec and mpi4py do not match, so each rank takes itself "
        "for the only one. Install both from one source (pip install mpi4py mpich), or with srun "
        "give mpiexec_executable='srun --mpi=pmi2'.",
    )


def last_words(records: Iterable[JobRecord], output: Output) -> str:
    """What the last job that died before its first claim said, printed, or that it was silent."""
    for record in reversed([record for record in records if died_early(record)]):
        if record.broken and record.goodbye:
            return f". The last words of job {record.id}: {record.goodbye.rstrip('.')}"
        words = explain_death(record.id, _last(output(record.id)), record.ended)
        if words:
            return f". {words.rstrip('.')}"
    return ""


def _last(text: str | None) -> str | None:
    return text and "\n".join(text.splitlines()[-_TOLD_LINES:])


def explain_death(job: str, printed: str | None, cause: str) -> str:
    """What is known of a job whose client nobody has met; "" if that is nothing.

    Parameters
    ----------
    job : str
    printed : str or None
        The end of its output; None if there is no file of it.
    cause : str
        How it ended, see `Ending`. A client that ends with 0 has said goodbye before, so a job
        that is ``completed`` without a word never began its script, or left it early.
    """
    said = told_once(printed or "").strip()
    by_itself = cause == "completed"
    if said:
        words = f"The last words of job {job}: {said.rstrip('.')}"
        return (
            f"{words}. It ended with 0, before its client began: {PROFILE}" if by_itself else words
        )
    if printed == "":
        ended = ", and it ended with 0" if by_itself else ""
        return f"Job {job} said nothing: its output exists and is empty{ended}: {PROFILE}"
    if printed is None and by_itself:
        return f"Job {job} said nothing: it has no output, and it ended with 0: {PROFILE}"
    return ""


def end_reason(job: str, cause: str, output: Output | None) -> str:
    """How a job ended; with `output`, for one that died of itself, the last that it printed."""
    said = end_of_output(output(job) or "") if output is not None else ""
    return f"job {job} ended: {cause}" + (f"; {said}" if said else "")


def tag(run: str, number: int) -> str:
    """What marks the jobs of one submit in the queue."""
    return f"as:{run}:{number}"


def submit_number(comment: str, run: str) -> int | None:
    """The submit's number, if a listed job's tag is of this run."""
    parts = comment.split(":")
    if len(parts) != 3 or parts[:2] != ["as", run] or not parts[2].isdigit():
        return None
    return int(parts[2])
