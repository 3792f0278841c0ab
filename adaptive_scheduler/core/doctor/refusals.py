"""Verdicts on what a batch system answers: its own words, sorted by what is to be done."""

from __future__ import annotations

import re

from adaptive_scheduler.core.doctor.findings import Finding, wrong

#: PBS does not say which limit it is; whoever asks again with a short walltime knows whether it is that.
OVER_LIMITS = "over-limits"
#: The first pattern that matches counts. Slurm: slurm_strerror() in src/common/slurm_errno.c, and the
#: reasons of squeue(1); PBS: src/lib/Liblog/pbs_messages.c.
_WORDS = tuple(
    (re.compile(words, re.IGNORECASE), fault)
    for words, fault in {
        r"munge": "munge-down",
        r"invalid account|AccountNotAllowed|InvalidAccount|account not known|account.*not permitted":
            "wrong-account",
        r"invalid qos|QOSNotAllowed|InvalidQOS": "wrong-qos",
        r"requested time limit is invalid|PartitionTimeLimit|Max(Wall|\w*Min)\w*PerJob|walltime":
            "walltime-too-long",
        r"invalid partition|no partition specified|not permitted to use this partition|unknown queue"
        r"|queue .*not enabled|access to queue|unauthorized request.*queue": "wrong-partition",
        r"violates queue and/or server resource limits": OVER_LIMITS,
        r"would exceed .*limit|maximum number of jobs|MaxSubmitJob": "too-many-jobs",
        r"bad [UG]ID for job|invalid user id": "user-refused",
    }.items()
)  # fmt: skip
#: Reasons of jobs that wait for an administrator: PBS's comment, Slurm's (job_reason_codes).
_STOPPED = re.compile(r"queue not started|Partition(Down|Inactive)\b", re.IGNORECASE)
_FAULT_WORDS = r"^(\w+: )?(error: )?(allocation failure: )?"


def fault_of(words: str) -> str:
    """Return the fault that a batch system's words mean; "" if they are not known."""
    return next((fault for pattern, fault in _WORDS if pattern.search(words)), "")


def judge_refusal(words: str, check: str) -> Finding:
    """Judge why a job was refused."""
    return wrong(fault_of(words) or "request-refused", check, why=plain(words))


def judge_silence(words: str) -> Finding:
    """Judge why the queue could not be listed."""
    fault = "munge-down" if fault_of(words) == "munge-down" else "scheduler-silent"
    return wrong(fault, "batch-system", why=plain(words))


def judge_wait(state: str, reason: str, remedy: str) -> Finding | None:
    """Judge a job that has not begun; None if it is worth waiting for.

    Parameters
    ----------
    state, reason : str
        As the batch system lists it.
    remedy : str
        What to do about a job that will never start; "" if it may.
    """
    if _STOPPED.search(reason):
        return wrong("queue-stopped", state=state)
    if not remedy:
        return None
    fault = fault_of(reason)
    if fault and fault != "munge-down":
        return wrong(fault, "job", why=state)
    return wrong("job-never-starts", state=state, remedy=remedy)


def plain(words: str) -> str:
    """Return an error's lines as one, each once and without the names of programs before it."""
    lines = [re.sub(_FAULT_WORDS, "", line.strip()) for line in words.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))[:400]
