"""What a manager stores for the next one about the run as a whole."""

from __future__ import annotations

import msgspec

#: The table with one row for what belongs to the run as a whole.
RUN_TABLE = "run"
RUN_ROW = "1"


class RunRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a manager stores for the next one.

    Attributes
    ----------
    held : str
        Why no jobs are submitted; "" if they are.
    cancelled : bool
        The run was cancelled.
    pardoned : int
        Early deaths of jobs that no longer count, because a person resumed the run.
    """

    held: str = ""
    cancelled: bool = False
    pardoned: int = 0
    is_open: bool = False
