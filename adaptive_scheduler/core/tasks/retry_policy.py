"""How often a task is tried again, and when."""

from __future__ import annotations

import math

import msgspec

#: Times that a task is tried again after the process that ran it died, if it does not say.
MAX_TASK_CRASHES = 1


class RetryPolicy(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How often a task is tried again, and when. The end of a job, or of a node, counts as nothing.

    Attributes
    ----------
    retries : int
        Times that it is tried again after it failed.
    max_crashes : int, optional
        Times that it is tried again after the process that ran it died. None: as `retries`, and
        once at least, for that may have been the node's fault.
    delay : float
        Seconds until it is tried again after either.
    """

    retries: int = 0
    max_crashes: int | None = None
    delay: float = 0.0

    @property
    def crashes_allowed(self) -> int:
        """Times that it is tried again after the process that ran it died."""
        if self.max_crashes is None:
            return max(self.retries, MAX_TASK_CRASHES)
        return self.max_crashes

    @property
    def is_possible(self) -> bool:
        """Whether its numbers mean something."""
        return self.retries >= 0 and self.crashes_allowed >= 0 and 0.0 <= self.delay < math.inf


#: Of tasks that say nothing. Rows that have this very one are stored without it.
NO_RETRIES = RetryPolicy()
