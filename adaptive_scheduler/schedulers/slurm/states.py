"""Tables of Slurm's job states, reasons and error messages, with their sources."""

from __future__ import annotations

import functools
import itertools
import re

from adaptive_scheduler.core.jobs.batch_jobs import JobState, QueueCause, Refusal

#: squeue(1), JOB STATE CODES. All others (COMPLETING, CONFIGURING, REQUEUED,
#: REQUEUE_HOLD, RESIZING, REVOKED, SIGNALING, SPECIAL_EXIT, STAGE_OUT, STOPPED,
#: SUSPENDED, and what later versions invent) hold nodes or may come back: ALIVE.
STATES = {"PENDING": JobState.PENDING, "RUNNING": JobState.RUNNING}
#: The same table: final states of a job, and how it ended.
ENDINGS = {
    "BOOT_FAIL": "node_fail",
    "CANCELLED": "cancelled",
    "COMPLETED": "completed",
    "DEADLINE": "timeout",
    "FAILED": "failed",
    "NODE_FAIL": "node_fail",
    "OUT_OF_MEMORY": "out_of_memory",
    "PREEMPTED": "preempted",
    "TIMEOUT": "timeout",
}
STATES |= dict.fromkeys(ENDINGS, JobState.ENDED)

# Error messages of sbatch. They come from slurm_strerror() in Slurm's src/common/slurm_errno.c,
# from src/sbatch/sbatch.c, and from src/common/slurm_protocol_defs.c (job_state_reason_string).
LIMIT_WORDS = (
    r"(Assoc|QOS)(Max|Grp)Submit\w*Limit",
    r"job queue full, sleeping and retrying",
    r"temporarily unable to accept job",
    r"Step limit reached",
)
IMPOSSIBLE_WORDS = (
    r"(Assoc|QOS)\w*(PerJob|PerNode|MinCpu|MinGRES)\w*",
    r"Requested node configuration is not available",
    r"Requested time limit is invalid",
    r"[Ii]nvalid (partition|account|qos|wckey|feature|license|generic resource|user id)",
    r"Invalid (job dependency|Trackable|node name|time|GRES|--)",
    r"(No partition specified|not permitted to use this partition|nodes not in this partition)",
    r"(More processors|more tasks than available|Node count spec|CPU count spec|Task count spec)",
    r"(Access/permission denied|Memory required by task|requested reservation|too long)",
    r"sbatch: (unrecognized option|invalid option|option .* requires|fatal:)",
    r"sbatch: error: (Invalid|Unable to open file|This does not look like a batch script)",
)
#: MaxArraySize of slurm.conf(5) and similar limits.
TOO_LONG_WORDS = (r"Invalid job array specification",)
#: The message names no reason; of the three that it may have, the submit limit is the likeliest.
POLICY_WORDS = (r"violates accounting/QOS policy",)
REFUSALS = (
    (Refusal.LIMIT, re.compile("|".join(LIMIT_WORDS))),
    (Refusal.TOO_LONG, re.compile("|".join(TOO_LONG_WORDS))),
    (Refusal.IMPOSSIBLE, re.compile("|".join(IMPOSSIBLE_WORDS))),
    (Refusal.LIMIT, re.compile("|".join(POLICY_WORDS))),
)
#: After these errors the controller may have accepted the job: the request had been sent.
RESULT_UNKNOWN = re.compile(
    r"Socket timed out|Zero Bytes were transmitted|Unexpected message received"
    r"|\((receive|shutdown) failure\)|Message receive failure|Transport endpoint"
)

#: Reasons for which a waiting job will not start by itself, and what to do. Sites with
#: EnforcePartLimits=NO (slurm.conf(5)) accept such jobs. The first pattern that matches counts.
#: Sources: squeue(1), JOB REASON CODES, and https://slurm.schedmd.com/job_reason_codes.html. In
#: place of a code squeue shows a sentence if there is one, with blanks or underscores.
NEVER_STARTS = tuple(
    (re.compile(words), remedy)
    for words, remedy in {
        r"PartitionTimeLimit|(Assoc|QOS)Max(Wall|\w*Min)\w*PerJob":
            "its walltime is longer than the limit: give a shorter walltime=",
        r"PartitionConfig":
            "the partition does not give what it asks for: give a shorter walltime=, fewer nodes= or "
            "cores=, or another partition=",
        r"PartitionNodeLimit":
            "it asks for more nodes than the partition gives, or its nodes are down: give fewer "
            "nodes= or cores=, or another partition=",
        r"PartitionConfig|NodeConfig":
            "the partition has no nodes like those that it asks for, or they are down: give fewer "
            "cores=, nodes= or gpus=, less memory=, or another partition=",
        r"BadConstraints":
            "no node has what it asks for: change extra_scheduler= (--constraint), memory=, "
            "gpus= or cores_per_node=",
        r"(Assoc|QOS)Max\w*(PerJob|PerNode)|MaxMemPerLimit":
            "it asks for more than one job may have: give fewer cores=, nodes=, memory= or gpus=",
        r"AccountNotAllowed|InvalidAccount|Job's.account.not.(known|permitted)":
            "its account may not use this partition: give another --account in extra_scheduler=",
        r"QOSNotAllowed|InvalidQOS|Job's.QOS.not.(known|permitted)":
            "its QOS may not be used here: give another --qos in extra_scheduler=",
        r"DependencyNeverSatisfied":
            "it depends on a job that failed: remove --dependency from extra_scheduler=",
        r"ReservationDeleted":
            "its reservation is gone: remove --reservation from extra_scheduler=",
        r"PartitionDown|PartitionInactive":
            "its partition is closed: wait for an administrator, or give another partition=",
        r"JobHeld(User|Admin)|JobHoldMaxRequeue|launch.failed.requeued.held":
            "it is held: 'scontrol release' it, or ask an administrator",
    }.items()
)  # fmt: skip


@functools.lru_cache(maxsize=1000)  # a queue has many rows and few reasons
def never_starts(reason: str) -> str:
    """Return what to do about a job that waits for this reason; "" if it may start by itself."""
    return next((remedy for words, remedy in NEVER_STARTS if words.match(reason)), "")


#: Reasons for which a job waits; the first pattern that matches counts. Sources: as above.
QUEUE_CAUSES = tuple(
    (re.compile(words), cause)
    for words, cause in {
        r"JobHeld|JobHoldMaxRequeue|launch.failed.requeued.held|requeued_held": QueueCause.HELD,
        r"DependencyNeverSatisfied": QueueCause.NEVER,
        r"Dependency": QueueCause.DEPENDENCY,
        r"BeginTime": QueueCause.LATER,
        r"ReqNodeNotAvail|Nodes.required|Node(Down|Fail)|Reservation$": QueueCause.NODES,
        r"Priority": QueueCause.PRIORITY,
        r"Resources|Licenses|Cleaning|BurstBuffer\w*|Power\w*": QueueCause.RESOURCES,
    }.items()
)
_LIMITS = re.compile(r"(Assoc|QOS|MaxJobsPer|JobArrayTaskLimit)\w*")


@functools.lru_cache(maxsize=1000)
def queue_cause(reason: str) -> QueueCause:
    """Return why a job waits that has this reason."""
    for words, cause in QUEUE_CAUSES:
        if words.match(reason):
            return cause
    if never_starts(reason):
        return QueueCause.NEVER
    return QueueCause.LIMIT if _LIMITS.match(reason) else QueueCause.OTHER


_NODE_GROUP = re.compile(r"\[([^\]]*)\]")


def expand_nodes(text: str) -> tuple[str, ...]:
    """Return the names in a node list: ``n[1-2,07],m3`` gives ``n1 n2 n07 m3``, see scontrol(1)."""
    return _expand_nodes(text) if text and text != "(null)" else ()


@functools.lru_cache(maxsize=10_000)
def _expand_nodes(text: str) -> tuple[str, ...]:
    names: list[str] = []
    for word in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", text):
        parts = _NODE_GROUP.split(word)  # fixed, ranges, fixed, ranges, ..., fixed
        choices = [_numbers(part) if i % 2 else [part] for i, part in enumerate(parts)]
        names.extend("".join(choice) for choice in itertools.product(*choices))
    return tuple(names)


def _numbers(ranges: str) -> list[str]:
    numbers: list[str] = []
    for item in ranges.split(","):
        first, _, last = item.partition("-")
        if last.isdigit() and first.isdigit():
            numbers.extend(str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
        else:
            numbers.append(item)
    return numbers
