"""Why jobs wait in the queue of the batch system: said once, for `status`, items and jobs."""

from __future__ import annotations

from collections.abc import Mapping

from adaptive_scheduler.core.jobs.batch_jobs import QueueCause
from adaptive_scheduler.core.texts import counted

#: What a job in the queue does, by why; of several "wait", not "waits".
WORDS: Mapping[QueueCause, str] = {
    QueueCause.NEVER: "will not start",
    QueueCause.HELD: "wait, held by a person",
    QueueCause.LIMIT: "wait at a limit of the jobs or resources that a user, an account or a QOS may have",
    QueueCause.NODES: "wait for nodes that are drained, down or reserved",
    QueueCause.DEPENDENCY: "wait for another job, on which they depend",
    QueueCause.LATER: "wait for the time at which they may begin",
    QueueCause.RESOURCES: "wait for resources that others use",
    QueueCause.PRIORITY: "wait for jobs of a higher priority",
    QueueCause.OTHER: "wait",
}
#: What to do, where the batch system's own reason names nothing better.
REMEDIES: Mapping[QueueCause, str] = {
    QueueCause.NEVER: "cancel the run, change what its jobs ask for, and start it again",
    QueueCause.HELD: "release it (`scontrol release`, `qrls`), or ask an administrator to",
    QueueCause.LIMIT: "wait until jobs of yours, or others of that account or QOS, have ended; another --account or "
    "--qos in extra_scheduler= may have room",
    QueueCause.NODES: "ask an administrator when the nodes come back, or use others",
    QueueCause.DEPENDENCY: "wait for that job; `scontrol show job ID` or `qstat -f ID` names it",
    QueueCause.LATER: "wait until then",
    QueueCause.RESOURCES: "wait; fewer cores, or a shorter walltime, start sooner",
    QueueCause.PRIORITY: "wait; a shorter walltime lets a job start in a gap before them",
    QueueCause.OTHER: "wait; `squeue` or `qstat` tell more",
}


def queue_text(n: int, cause: QueueCause, reason: str, who: str) -> str:
    """``it waits for resources that others use (Resources)``."""
    words = WORDS[cause]
    if n == 1:
        words = words.replace("wait", "waits", 1).replace(
            "on which they depend", "on which it depends"
        )
        words = words.replace("they may", "it may")
    words += " in the queue" if cause is QueueCause.OTHER and "queue" not in who else ""
    said = f" ({reason.strip('()')})" if reason else ""
    return f"{who} {words}{said}"


def jobs_text(n: int, cause: QueueCause, reason: str, whose: str = "") -> str:
    """``2 jobs of pool gpu in the queue wait for resources that others use (Resources)``."""
    return queue_text(n, cause, reason, f"{counted(n, 'job')}{whose} in the queue")
