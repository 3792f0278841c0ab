"""Parses the JSON of ``qstat`` and ``pbsnodes``.

PBS writes it without a JSON library, and not all of it is valid: OpenPBS 23.06 prints bytes that
are not UTF-8 and control characters; earlier releases also print numbers such as ``007`` and
the backslashes of a user's environment unchanged. One strange job of another user must not
make the whole listing unreadable, so a value that is not JSON is read as text. An answer that
was cut off is an error all the same.
"""

from __future__ import annotations

import json
import re
import time
from calendar import timegm
from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    Host,
    JobId,
    JobState,
    ListedJob,
    QueueCause,
)
from adaptive_scheduler.errors import NoObservation

#: The variable that holds `JobRequest.tag`; `qsub -v` puts it into ``Variable_List``.
TAG = "ADAPTIVE_SCHEDULER_TAG"
#: One job: attribute -> value. The types of values vary: ``007`` may come as 7.
Attributes = Mapping[str, Any]

#: Reference Guide 8.1 "Job States"; every other letter (E exiting, H held, S and U
#: suspended, T in transit, M moved) is alive. B is an array's parent, not a job.
_STATES = {
    "Q": JobState.PENDING,
    "W": JobState.PENDING,  # it has a start time that has not come
    "R": JobState.RUNNING,
    "X": JobState.ENDED,  # a subjob that has ended while others of its array have not
    "F": JobState.ENDED,  # from the history (-x)
}
_DELETED = 91  # JOB_SUBSTATE_TERMINATED: ended by qdel, whatever its exit status says
#: An Exit_status below zero is PBS's own code (job.h, JOB_EXEC_*); 256 + n means signal n.
_CAUSES = {
    0: "completed",
    -29: "timeout",  # walltime
    -28: "timeout",  # CPU time
    -27: "out_of_memory",
    -26: "out_of_memory",  # virtual memory
    -20: "node_fail",  # the job's first host was lost
    256 + 15: "cancelled",
    128 + 15: "cancelled",  # the same, when the shell was faster than PBS
}

_MEMBER = re.compile(r'(?P<head>\t+".*?":\t)(?P<value>.*?)(?P<comma>,?)')


#: Texts of ``comment`` that tell of the past, not why a job waits: they stay there while it is
#: suspended, exits, or waits in an array of which other jobs have started.
_PAST_COMMENT = re.compile(r"Job (Array Began|run|was sent for execution) at ", re.IGNORECASE)
#: How PBS's comment begins if the cluster, as it is, can never run a job.
_NEVER_STARTS = "Can Never Run"
_NEVER_REMEDY = (
    "no host that is in service is large enough: give fewer "
    "cores= or less memory=, another queue=, or nodes= and cores_per_node= that fit its hosts"
)
#: Hold_Types: Reference Guide, "Job Attributes".
_HOLDERS = {"u": "its owner", "o": "an operator", "s": "the system", "p": "a bad password"}
#: Node states in which no job is started: Reference Guide 8.4 "Node States".
_UNUSABLE = frozenset({"down", "offline", "stale", "state-unknown", "unknown", "maintenance"})
_SIZE = re.compile(r"(\d+)([kmgtp]?)[bw]?", re.IGNORECASE)


def error_text(result: CommandResult) -> str:
    """Return a command's error message on one line, without its usage text."""
    text = result.stderr.partition("usage:")[0] or result.stderr.partition("\n")[0]
    message = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    program = " ".join(result.argv[:1])
    return f"{message or f'{program}: no message'} (exit status {result.rc})"


def parse_jobs(result: CommandResult) -> dict[str, Attributes]:
    """Parse jobs by id, with the parents of arrays; NoObservation if the answer is incomplete.

    The caller must look at the exit status, too: a qstat that reaches no server prints a valid
    JSON object without jobs.
    """
    try:
        answer = _load(result.stdout)
    except ValueError as error:
        raise NoObservation(f"{error_text(result)}: not a whole JSON answer: {error}") from error
    jobs = answer.get("Jobs", {}) if isinstance(answer, dict) and "pbs_server" in answer else None
    if not isinstance(jobs, dict):
        raise NoObservation(f"{error_text(result)}: not qstat's JSON: {result.stdout[:80]!r}")
    return {name: job for name, job in jobs.items() if isinstance(job, dict)}


def _load(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return json.loads("\n".join(_repaired(text.splitlines())), strict=False)


def _repaired(lines: list[str]) -> list[str]:
    """Make each value valid JSON; further lines of a broken value are dropped."""
    repaired = []
    for line in lines:
        match = _MEMBER.fullmatch(line)
        if match is not None:
            repaired.append(match["head"] + _as_json(match["value"]) + match["comma"])
        elif line.strip(" \t,{}") == "":
            repaired.append(line)
    return repaired


def _as_json(value: str) -> str:
    if value == "{":
        return value
    try:
        json.loads(value, strict=False)
    except ValueError:
        return json.dumps(value.strip('"'))
    return value


def as_int(value: object) -> int | None:
    """Return an attribute as a whole number, or None if it is not one."""
    try:
        return int(str(value))
    except ValueError:
        return None


def _seconds(value: object) -> int | None:
    """Parse ``HH:MM:SS`` or a number of seconds; None for anything else."""
    total = 0
    for part in str(value).split(":"):
        number = as_int(part)
        if number is None:
            return None
        total = total * 60 + number
    return total


def _hosts(job: Attributes) -> tuple[str, ...]:
    """Return each host of ``exec_host``, such as ``vm/0*4+vm2/1*4``, once."""
    places = str(job.get("exec_host") or "").split("+")
    return tuple(dict.fromkeys(place.partition("/")[0] for place in places if place))


def _variable(job: Attributes, name: str) -> str:
    variables = job.get("Variable_List")
    return str(variables.get(name, "")) if isinstance(variables, dict) else ""


def hosts(result: CommandResult) -> list[Host]:
    """Parse ``pbsnodes -a -F json``: hosts that are up; the vnodes of a host are added up.

    NoObservation if the answer is incomplete.
    """
    try:
        answer = _load(result.stdout)
    except ValueError as error:
        raise NoObservation(f"{error_text(result)}: not a whole JSON answer: {error}") from error
    nodes = answer.get("nodes") if isinstance(answer, dict) else None
    if not isinstance(nodes, dict):
        raise NoObservation(f"{error_text(result)}: not pbsnodes' JSON: {result.stdout[:80]!r}")
    found: dict[str, Host] = {}
    for name, node in nodes.items():
        if not isinstance(node, dict) or _UNUSABLE & set(
            re.split(r"[,\s]+", str(node.get("state")))
        ):
            continue
        has = node.get("resources_available")
        has = has if isinstance(has, dict) else {}
        host = str(has.get("host") or name)
        known = found.get(host, Host(host, 0, 0))
        found[host] = Host(
            name=host,
            cores=known.cores + (as_int(has.get("ncpus", node.get("pcpus"))) or 0),
            memory=_sum(known.memory, _mebibytes(has.get("mem"))),
            queue=str(node.get("queue") or known.queue),
        )
    return list(found.values())


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _mebibytes(value: object) -> int | None:
    """Parse ``8kb``, ``16gb``, or a number of bytes."""
    match = _SIZE.fullmatch(str(value))
    return int(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " ") >> 20 if match else None


def _reason(letter: str, job: Attributes) -> str:
    """Return why a job does not run; "" if PBS gives no reason."""
    if letter == "H":
        holders = [_HOLDERS[kind] for kind in str(job.get("Hold_Types", "")) if kind in _HOLDERS]
        return f"held by {' and '.join(holders)}" if holders else "held"
    if letter in ("S", "U"):
        return "suspended"
    comment = str(job.get("comment", ""))
    return "" if _PAST_COMMENT.match(comment) else comment


def _remedy(letter: str, reason: str) -> str:
    """Return what to do about a job that will not start by itself."""
    if letter == "H":
        return "release it with 'qrls'; a hold by others they must release"
    return _NEVER_REMEDY if reason.startswith(_NEVER_STARTS) else ""


#: The comments of PBS's scheduler, "Not Running: ..." (Administrator's Guide, "Why jobs do not run"); the
#: first that matches counts.
_QUEUE_CAUSES = tuple(
    (re.compile(words, re.IGNORECASE), cause)
    for words, cause in {
        r"limit|quota|too many": QueueCause.LIMIT,
        r"conflict with reservation or top job|draining system|higher priority|strict ordering|fair ?share":
            QueueCause.PRIORITY,
        r"queue (is )?not (started|enabled)|offline|nodes are (down|unavailable)": QueueCause.NODES,
        r"insufficient amount|not enough|exclusive|free nodes|resource": QueueCause.RESOURCES,
    }.items()
)  # fmt: skip


def _cause(letter: str, job: Attributes, reason: str) -> QueueCause:
    """Return why a job waits."""
    if letter == "H":
        waits_for_others = "s" in str(job.get("Hold_Types", "")) and "depend" in job
        return QueueCause.DEPENDENCY if waits_for_others else QueueCause.HELD
    if letter == "W":
        return QueueCause.LATER
    if reason.startswith(_NEVER_STARTS):
        return QueueCause.NEVER
    found = (cause for words, cause in _QUEUE_CAUSES if words.search(reason))
    return next(found, QueueCause.OTHER)


def listed_job(name: str, job: Attributes, is_array_held: bool = False) -> ListedJob:
    """Return the `ListedJob` of a job; `name` is not an array's parent.

    PBS lists the subjobs of a held array as Q, as if they could start: hence `is_array_held`.
    """
    letter = str(job.get("job_state", "?"))
    state = _STATES.get(letter, JobState.ALIVE)
    if is_array_held and letter == "Q":
        letter = "H"
    waits = state in (JobState.PENDING, JobState.ALIVE)
    reason = _reason(letter, job) if waits else ""
    return ListedJob(
        id=JobId(name),
        state=state,
        native_state=letter,
        name=str(job.get("Job_Name", "")),
        comment=_variable(job, TAG),
        nodes=_hosts(job),
        reason=reason,
        remedy=_remedy(letter, reason) if waits else "",
        cause=_cause(letter, job, reason),
    )


def ending(name: str, job: Attributes) -> Ending | None:
    """Return how a job ended, or None if it has not ended."""
    if _STATES.get(str(job.get("job_state"))) is not JobState.ENDED:
        return None
    status = as_int(job.get("Exit_status"))
    if status is None:
        exit_text, cause = "never ran", "unknown"
    else:
        exit_text, cause = f"Exit_status {status}", _CAUSES.get(status, "failed")
    # PBS reports Exit_status 1 for all subjobs of a deleted array, however they ended
    if as_int(job.get("substate")) == _DELETED and cause != "timeout":
        cause = "cancelled"
    detail = "; ".join(filter(None, [exit_text, str(job.get("comment", ""))]))
    return Ending(id=JobId(name), cause=cause, detail=detail, nodes=_hosts(job))


def time_left(result: CommandResult, job: Attributes) -> float | None:
    """Return the seconds until the walltime; None if there is none."""
    limit = _seconds((job.get("Resource_List") or {}).get("walltime"))
    if limit is None:
        return None
    used = _seconds((job.get("resources_used") or {}).get("walltime")) or 0
    return float(max(0, limit - used - _staleness(result, job, used)))


def _staleness(result: CommandResult, job: Attributes, used: int) -> int:
    """Return how many seconds old ``resources_used`` is: PBS updates it every 10 to 120 s.

    ``stime`` is a local time in an unknown zone, ``timestamp`` is UTC: their difference is the
    job's age plus the zone's offset, which is a multiple of 15 minutes, so ``used`` tells it.
    """
    now = re.search(r'"timestamp":\s*(\d+)', result.stdout)
    try:
        start = timegm(time.strptime(str(job.get("stime")), "%a %b %d %H:%M:%S %Y"))
    except ValueError:
        return 0
    lag = (int(now[1]) - start - used + 300) % 900 - 300 if now else 0
    return max(0, lag)
