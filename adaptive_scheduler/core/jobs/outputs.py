"""Why a job died, as far as its output shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.records import JobRecord

#: Returns the end of what a job printed, given its id; None if it has no output file.
Output = Callable[[str], str | None]
#: Whether a complaint means nothing any more, given its job and when it was written, in seconds since 1970.
IsOver = Callable[[str, float], bool]

#: Seconds in which a client that finds no manager complains again (each minute), with clocks that differ.
COMPLAINS_AGAIN = 150.0
#: Last lines of a job's output that are quoted in a reason.
LAST_LINES = 3
#: Frames of Python's stack that are quoted after a crash.
STACK_LINES = 4
#: Last lines of an output that are quoted when a run is held.
_HELD_LINES = 15

#: What faulthandler prints of a signal (CPython, Modules/faulthandler.c).
_FATAL, _FRAME = "Fatal Python error: ", 'File "'
#: Frames below this one are this package's own.
_OURS = "executors/worker.py"
#: The job script prints this when it starts the client again.
_AGAIN = "[adaptive_scheduler] The client ended"

#: What ends a job before the first line of its script, and how to prevent it.
PROFILE = (
    "look at the login profile on the nodes (/etc/profile, ~/.bash_profile, ~/.profile): an 'exit' or "
    "'exec' in it ends the job before its script begins. Let it do so in interactive shells only: "
    "case $- in *i*) ... ;; esac"
)


def of_this_try(text: str) -> str:
    """Return what was printed since the client was last started."""
    return _tries(text)[-1]


def _tries(text: str) -> list[str]:
    first, *others = text.split(_AGAIN)
    return [first, *(other.partition("\n")[2] for other in others)]


def without_repeats(text: str) -> str:
    """Drop the job script's own lines, and lines that each new try printed again."""
    lines = (line for line in text.splitlines() if not line.startswith("[adaptive_scheduler]"))
    return "\n".join(dict.fromkeys(lines))


def end_of_output(text: str) -> str:
    """Quote the reason in one line: Python's stack at a crash, else the last lines."""
    lines = without_repeats(text).strip().splitlines()[-LAST_LINES:]
    quoted = _crash(text) or [line.strip()[:200] for line in lines if line.strip()]
    return f"the end of its output: {' | '.join(quoted)}" if quoted else ""


def _crash(text: str) -> list[str]:
    """Return Python's last fatal error with the frames of the user's code."""
    tries = [one for one in _tries(text) if one.strip()] or [""]
    _, found, rest = tries[-1].rpartition(_FATAL)
    if not found:
        return []
    head, *stack = [line.strip()[:200] for line in rest.splitlines()]
    frames = []
    for line in stack:
        if line.startswith(_FRAME) and _OURS not in line:
            frames.append(line)
        elif frames:
            break
    return [f"{_FATAL}{head}", *frames[:STACK_LINES]]


def end_reason(job: str, cause: str, output: str = "") -> str:
    """Say how a job ended, with the end of `output` if there is any."""
    quoted = end_of_output(output)
    return f"job {job} ended: {cause}" + (f"; {quoted}" if quoted else "")


#: What `status` and `explain` say of jobs that died early; how many, and of what, follows.
DIED_EARLY = "jobs died before they asked for work"


def reached_no_manager(job: str, complaint: str) -> str:
    """What `status` and `explain` say of a job whose client could not reach the manager."""
    return f"job {job} reached no manager: {complaint}"


def complaint_is_over(jobs: JobTable, wall: float, now: float) -> IsOver:
    """Return what says which complaints are over.

    One counts while its job lives or goes on to complain, and as long as no client has reached a manager
    since: what a dead job has left is no fault of a run that goes on.

    Parameters
    ----------
    jobs : JobTable
    wall, now : float
        This instant: seconds since 1970, and of the clock of `jobs`.
    """
    reached = jobs.last_reached(wall, now)

    def is_over(job: str, written: float) -> bool:
        return job not in jobs.live and written < min(reached, wall - COMPLAINS_AGAIN)

    return is_over


def early_deaths_text(n: int, records: Iterable[JobRecord], output: Output) -> str:
    """How many jobs in a row died early, and of what the last one did; "" if none."""
    return f"{n} in a row{explain_early_death(records, output)}" if n else ""


def explain_early_death(records: Iterable[JobRecord], output: Output) -> str:
    """Quote the last job that died before it asked for work; "" if nothing is known of any.

    The text begins with ". ": it continues a sentence.
    """
    for record in reversed([record for record in records if record.died_early]):
        if record.broken and record.goodbye:
            return f". Job {record.id} ended: {record.goodbye.rstrip('.')}"
        printed = output(record.id)
        printed = printed and "\n".join(printed.splitlines()[-_HELD_LINES:])
        if text := explain_death(record.id, printed, record.ended):
            return f". {text.rstrip('.')}"
    return ""


def explain_death(job: str, printed: str | None, cause: str) -> str:
    """Explain the death of a job whose client never connected; "" if nothing is known.

    Parameters
    ----------
    job : str
    printed : str or None
        The end of its output; None if there is no output file.
    cause : str
        How it ended, see `Ending`. A client that exits with 0 has said goodbye before, so a job
        that is ``completed`` without a goodbye never began its script, or left it early.
    """
    ended_well = cause == "completed"
    text = without_repeats(printed or "").strip().rstrip(".")
    if text:
        early = f". It ended with 0, before its client began: {PROFILE}" if ended_well else ""
        return f"The last output of job {job}: {text}{early}"
    if printed == "":
        ended = ", and it ended with 0" if ended_well else ""
        return f"Job {job} printed nothing: its output file is empty{ended}: {PROFILE}"
    if printed is None and ended_well:
        return f"Job {job} printed nothing: it has no output file, and it ended with 0: {PROFILE}"
    return ""
