"""The last word of a client: to the manager, or where the next one finds it."""

from __future__ import annotations

import sys

from adaptive_scheduler.client.link import Conversation
from adaptive_scheduler.client.patience import LAST_WORD, VAIN_WORD
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Goodbye
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.transport import offline_goodbyes as last_words


def say_goodbye(
    talk: Conversation, folder: RunFolder, goodbye: Goodbye, *, gave_up: bool = False
) -> None:
    """Say goodbye, or write it down if nobody answers.

    Without it the next manager would take a job that left in good order for one that crashed.

    Parameters
    ----------
    talk : Conversation
    folder : RunFolder
    goodbye : Goodbye
    gave_up : bool
        The manager was away for too long.
    """
    if talk.ask(goodbye, VAIN_WORD if gave_up else LAST_WORD) is not None:
        return
    try:
        last_words.write(folder, talk.owner, goodbye.reason, goodbye.broken, gave_up)
    except FileError as error:
        print(f"adaptive_scheduler: {error}", file=sys.stderr)
