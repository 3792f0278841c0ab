"""Why something is as it is: what a person asks the manager."""

from __future__ import annotations

import msgspec


class Explain(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Asks why an item, or a job if one is named, does not run, or is not done."""

    item: int = -1
    job: str = ""


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One cause that holds.

    Attributes
    ----------
    cause : str
        Its name, as in the table of `core.reasons.table`, for programs.
    text : str
        A sentence without its capital and its full stop.
    remedy : str
        What to do, likewise; "" if nothing need be done.
    """

    cause: str
    text: str
    remedy: str = ""


class Reasons(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to Explain: what holds, the most important first.

    `state`: the phase of the item; of a job its state in the queue.
    """

    state: str
    reasons: list[Reason]
