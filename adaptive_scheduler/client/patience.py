"""How long a client waits for a manager that is away."""

from __future__ import annotations

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.transport import offline_goodbyes as last_words

#: Seconds that a client with nothing to compute waits: it keeps cores from others.
IDLE_PATIENCE = 600.0
#: Seconds that a job that starts waits where another one has given this manager up already:
#: long enough for one that lives.
BRIEF_PATIENCE = 3.0
#: Seconds that a client that must end waits for the answer to its last word.
LAST_WORD = 5.0
#: Seconds of it where the manager has been away for long.
VAIN_WORD = 1.0


def idle_patience(timing: Timing) -> float:
    """Seconds that a client waits that has nothing to compute."""
    return min(IDLE_PATIENCE, timing.client_patience)


def first_patience(folder: RunFolder, timing: Timing) -> float:
    """Seconds that a client waits that has not reached a manager yet.

    A dead manager cannot cancel the jobs that wait in the queue: they start one after the
    other, and must not keep their cores each as long as the first that found nobody.
    """
    patience = idle_patience(timing)
    return min(patience, BRIEF_PATIENCE) if last_words.is_given_up(folder) else patience


def away_for_too_long(timing: Timing) -> str:
    """Why a client leaves whose patience is over; for people."""
    return f"the manager was away for longer than client_patience ({timing.client_patience:g} s)"
