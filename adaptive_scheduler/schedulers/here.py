"""`Here`: the machine or the allocation in which this process runs, in place of a batch system."""

from __future__ import annotations

from collections.abc import Sequence

from adaptive_scheduler.errors import InputError


class Here:
    """Run tasks on this machine, or in the allocation of this process; nothing is submitted.

    Parameters
    ----------
    slots : int, optional
        Cores for tasks; default: all that this process may use.
    gpus : int or sequence of str
        How many GPUs there are, or their numbers.
    """

    def __init__(self, slots: int | None = None, gpus: int | Sequence[str] = ()) -> None:
        is_count = isinstance(slots, int) and not isinstance(slots, bool)
        if slots is not None and not (is_count and slots > 0):
            raise InputError(f"slots={slots!r} must be a whole number of at least 1.")
        self.slots = slots
        names = range(gpus) if isinstance(gpus, int) else gpus
        self.gpus = tuple(str(name) for name in names)

    def __repr__(self) -> str:
        return f"Here(slots={self.slots}, gpus={list(self.gpus)})"
