"""How long a client waits for a manager that is away, and its last word when it leaves."""

from __future__ import annotations

import sys

from adaptive_scheduler.client.link import ManagerLink
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Goodbye
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.transport import offline_goodbyes as last_words

#: Seconds that a client with nothing to compute waits: it keeps cores from others.
IDLE_PATIENCE = 600.0
#: Seconds that a job that starts waits where another one has given this manager up already:
#: long enough for one that lives.
BRIEF_PATIENCE = 3.0
#: Seconds that a client that must end waits for the answer to its last word.
FINAL_TIMEOUT = 5.0
#: Seconds of it where the manager has been away for long.
SHORT_FINAL_TIMEOUT = 1.0


def idle_patience(timing: Timing) -> float:
    """Seconds that a client waits that has nothing to compute."""
    return min(IDLE_PATIENCE, timing.client_patience)


def first_patience(folder: RunFolder, timing: Timing) -> float:
    """Seconds that a client waits that has not reached a manager yet.

    A dead manager cannot cancel the jobs that wait in the queue: they start one after the
    other, and must not keep their cores each as long as the first that found nobody.
    """
    patience = idle_patience(timing)
    return min(patience, BRIEF_PATIENCE) if last_words.is_manager_given_up(folder) else patience


def away_for_too_long(timing: Timing) -> str:
    """Why a client leaves whose patience is over; for people."""
    return f"the manager was away for longer than client_patience ({timing.client_patience:g} s)"


def say_goodbye(
    talk: ManagerLink, folder: RunFolder, goodbye: Goodbye, *, gave_up: bool = False
) -> None:
    """Say goodbye, or write it down if nobody answers.

    Without it the next manager would take a job that left in good order for one that crashed.

    Parameters
    ----------
    talk : ManagerLink
    folder : RunFolder
    goodbye : Goodbye
    gave_up : bool
        The manager was away for too long.
    """
    if talk.ask(goodbye, SHORT_FINAL_TIMEOUT if gave_up else FINAL_TIMEOUT) is not None:
        return
    try:
        last_words.write_goodbye(folder, talk.owner, goodbye.reason, goodbye.broken, gave_up)
    except FileError as error:
        print(f"adaptive_scheduler: {error}", file=sys.stderr)
