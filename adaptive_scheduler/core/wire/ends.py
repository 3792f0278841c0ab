"""How tries of items and jobs end, as it is recorded where it is known: reports only map these.

Numbers and words are on disk: they keep their meaning, and new ones are added at the end.
"""

from __future__ import annotations

import enum


class How(enum.IntEnum):
    """How one try of an item ended."""

    DONE = 0
    GIVEN_BACK = 1  # saved, and queued again
    FAILED = 2  # the user's code raised, or a program failed
    CRASHED = 3  # a process that ran it died
    WALLTIME = 4  # its job had no time left
    LOST = 5  # its job or node was lost, by no fault of its own
    CANCELLED = 6
    NOT_BEGUN = 7  # a task came back as it was given out


#: Nothing was recorded, as by versions before it was: what the row tells is interpreted.
UNKNOWN = -1


class JobEnd(enum.StrEnum):
    """How a job ended, as the batch system tells, or its client."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    NODE_FAIL = "node_fail"
    PREEMPTED = "preempted"
    OUT_OF_MEMORY = "out_of_memory"
    GOODBYE = "goodbye"  # its client left in good order, and accounting tells nothing
    UNKNOWN = "unknown"


def how_of_dead_job(cause: str, *, crash: bool) -> How:
    """How the try of a learner ended whose job is dead; `crash`: perhaps by the learner's fault."""
    if cause == JobEnd.TIMEOUT:
        return How.WALLTIME
    return How.CRASHED if crash else How.LOST
