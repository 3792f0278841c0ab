"""What ``qstat -f -F json`` printed, made into jobs.

Its JSON is written by hand in C. Of OpenPBS 23.06 it is valid but for bytes
that are not UTF-8 and control characters; earlier releases also left numbers
such as ``007`` and backslashes of any user's environment as they were. One
odd job of somebody else must not blind us, so a value that is not JSON is
taken as text. An answer that is cut off stays an error.
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
)
from adaptive_scheduler.errors import NoObservation

#: The variable that holds `JobRequest.tag`; `qsub -v` puts it into ``Variable_List``.
TAG = "ADAPTIVE_SCHEDULER_TAG"
#: One job: attribute to value; the types of values vary, ``007`` comes as 7.
Attributes = Mapping[str, Any]

#: Reference Guide 8.1 "Job States"; every other letter (E exiting, H held, S and U
#: suspended, T in transit, M moved) is alive. B is an array's parent, not a job.
_STATES = {
    "Q": JobState.PENDING,
    "W": JobState.PENDING,  # its start time was put off
    "R": JobState.RUNNING,
    "X": JobState.ENDED,  # a subjob that is over while its array lives
    "F": JobState.ENDED,  # from the history (-x)
}
_DELETED = 91  # JOB_SUBSTATE_TERMINATED: ended by qdel, whatever its exit status says
#: Exit_status below zero is PBS's own verdict (job.h, JOB_EXEC_*); 256 + n is a signal.
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


#: What ``comment`` says of a job's past; it stays there while the job is suspended, exits, or
#: waits as a part of an array that has begun.
_PAST = re.compile(r"Job (Array Began|run|was sent for execution) at ", re.IGNORECASE)
#: The scheduler's verdict that the cluster as it is can never run a job.
_NEVER = "Can Never Run"
_NEVER_REMEDY = (
    "no part of the cluster is large enough, or what is has been taken out of service: give fewer "
    "cores= or less memory=, another queue=, or nodes= and cores_per_node= that fit its hosts"
)
#: Hold_Types: Reference Guide, "Job Attributes".
_HOLDERS = {"u": "its owner", "o": "an operator", "s": "the system", "p": "a bad password"}
#: Node states in which no job is started: Reference Guide 8.4 "Node States".
_AWAY = frozenset({"down", "offline", "stale", "state-unknown", "unknown", "maintenance"})
_SIZE = re.compile(r"(\d+)([kmgtp]?)[bw]?", re.IGNORECASE)


def words(result: CommandResult) -> str:
    """What a command complained of, in one line without the usage text."""
    text = result.stderr.partition("usage:")[0] or result.stderr.partition("\n")[0]
    told = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    program = " ".join(result.argv[:1])
    return f"{told or f'{program}: no message'} (exit status {result.rc})"


def told_jobs(result: CommandResult) -> dict[str, Attributes]:
    """Jobs by id, array parents included; NoObservation if it is not a whole answer.

    The exit status is the caller's to judge: a qstat without any server prints
    a good JSON object without jobs.
    """
    try:
        answer = _load(result.stdout)
    except ValueError as error:
        raise NoObservation(f"{words(result)}: not a whole JSON answer: {error}") from error
    jobs = answer.get("Jobs", {}) if isinstance(answer, dict) and "pbs_server" in answer else None
    if not isinstance(jobs, dict):
        raise NoObservation(f"{words(result)}: not qstat's JSON: {result.stdout[:80]!r}")
    return {name: job for name, job in jobs.items() if isinstance(job, dict)}


def _load(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return json.loads("\n".join(_mended(text.splitlines())), strict=False)


def _mended(lines: list[str]) -> list[str]:
    """Each member on its line with a value that is JSON; the rest of a broken value is dropped."""
    mended = []
    for line in lines:
        match = _MEMBER.fullmatch(line)
        if match is not None:
            mended.append(match["head"] + _valid(match["value"]) + match["comma"])
        elif line.strip(" \t,{}") == "":
            mended.append(line)
    return mended


def _valid(value: str) -> str:
    if value == "{":
        return value
    try:
        json.loads(value, strict=False)
    except ValueError:
        return json.dumps(value.strip('"'))
    return value


def whole(value: object) -> int | None:
    """An attribute that should be a whole number, or None."""
    try:
        return int(str(value))
    except ValueError:
        return None


def _seconds(value: object) -> int | None:
    """``HH:MM:SS`` or a number of seconds; None for anything else."""
    total = 0
    for part in str(value).split(":"):
        number = whole(part)
        if number is None:
            return None
        total = total * 60 + number
    return total


def _hosts(job: Attributes) -> tuple[str, ...]:
    """Hosts of ``exec_host``, such as ``vm/0*4+vm2/1*4``, each once."""
    places = str(job.get("exec_host") or "").split("+")
    return tuple(dict.fromkeys(place.partition("/")[0] for place in places if place))


def _variable(job: Attributes, name: str) -> str:
    variables = job.get("Variable_List")
    return str(variables.get(name, "")) if isinstance(variables, dict) else ""


def hosts(result: CommandResult) -> list[Host]:
    """Hosts of ``pbsnodes -a -F json`` that are up; the vnodes of one host are one.

    NoObservation if it is not a whole answer.
    """
    try:
        told = _load(result.stdout)
    except ValueError as error:
        raise NoObservation(f"{words(result)}: not a whole JSON answer: {error}") from error
    nodes = told.get("nodes") if isinstance(told, dict) else None
    if not isinstance(nodes, dict):
        raise NoObservation(f"{words(result)}: not pbsnodes' JSON: {result.stdout[:80]!r}")
    found: dict[str, Host] = {}
    for name, node in nodes.items():
        if not isinstance(node, dict) or _AWAY & set(re.split(r"[,\s]+", str(node.get("state")))):
            continue
        has = node.get("resources_available")
        has = has if isinstance(has, dict) else {}
        host = str(has.get("host") or name)
        known = found.get(host, Host(host, 0, 0))
        found[host] = Host(
            name=host,
            cores=known.cores + (whole(has.get("ncpus", node.get("pcpus"))) or 0),
            memory=_sum(known.memory, _mebibytes(has.get("mem"))),
            queue=str(node.get("queue") or known.queue),
        )
    return list(found.values())


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _mebibytes(value: object) -> int | None:
    """``8kb``, ``16gb``, or a number of bytes."""
    match = _SIZE.fullmatch(str(value))
    return int(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " ") >> 20 if match else None


def _reason(letter: str, job: Attributes) -> str:
    """Why a job does not run; "" if PBS does not say."""
    if letter == "H":
        holders = [_HOLDERS[kind] for kind in str(job.get("Hold_Types", "")) if kind in _HOLDERS]
        return f"held by {' and '.join(holders)}" if holders else "held"
    if letter in ("S", "U"):
        return "suspended"
    comment = str(job.get("comment", ""))
    return "" if _PAST.match(comment) else comment


def _remedy(letter: str, reason: str) -> str:
    """What to do about a job that will not start by itself."""
    if letter == "H":
        return "'qrls' releases it; what others hold, they release"
    return _NEVER_REMEDY if reason.startswith(_NEVER) else ""


def listed_job(name: str, job: Attributes, is_array_held: bool = False) -> ListedJob:
    """A row of the queue; `name` is not an array's parent.

    The subjobs of a held array are listed as Q, as if they could start.
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
    )


def ending(name: str, job: Attributes) -> Ending | None:
    """How a job ended, or None while it has not."""
    if _STATES.get(str(job.get("job_state"))) is not JobState.ENDED:
        return None
    status = whole(job.get("Exit_status"))
    if status is None:
        told, cause = "never ran", "unknown"
    else:
        told, cause = f"Exit_status {status}", _CAUSES.get(status, "failed")
    # a deleted array shows Exit_status 1 for its subjobs, whatever they ended with
    if whole(job.get("substate")) == _DELETED and cause != "timeout":
        cause = "cancelled"
    detail = "; ".join(filter(None, [told, str(job.get("comment", ""))]))
    return Ending(id=JobId(name), cause=cause, detail=detail, nodes=_hosts(job))


def time_left(result: CommandResult, job: Attributes) -> float | None:
    """Seconds until the walltime; None without one."""
    limit = _seconds((job.get("Resource_List") or {}).get("walltime"))
    if limit is None:
        return None
    used = _seconds((job.get("resources_used") or {}).get("walltime")) or 0
    return float(max(0, limit - used - _staleness(result, job, used)))


def _staleness(result: CommandResult, job: Attributes, used: int) -> int:
    """Seconds by which ``resources_used`` is old: PBS renews it each 10 to 120 s.

    ``stime`` is a local time of an unknown zone, ``timestamp`` is not, so their
    difference is known but for quarters of an hour; ``used`` tells which one.
    """
    now = re.search(r'"timestamp":\s*(\d+)', result.stdout)
    try:
        start = timegm(time.strptime(str(job.get("stime")), "%a %b %d %H:%M:%S %Y"))
    except ValueError:
        return 0
    lag = (int(now[1]) - start - used + 300) % 900 - 300 if now else 0
    return max(0, lag)
