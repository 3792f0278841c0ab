"""`Here`: the machine or the allocation in which this process runs, in place of a batch system."""

from __future__ import annotations

from collections.abc import Sequence

from adaptive_scheduler.core.sweeps.gpu_slots import numbered
from adaptive_scheduler.errors import InputError


class Here:
    """Run tasks on this machine, or in the allocation of this process; nothing is submitted.

    Parameters
    ----------
    slots : int, optional
        Cores for tasks; default: all that this process may use.
    gpus : int or sequence of int or str
        How many GPUs there are, or their numbers.
    """

    def __init__(self, slots: int | None = None, gpus: int | Sequence[int | str] = ()) -> None:
        is_count = isinstance(slots, int) and not isinstance(slots, bool)
        if slots is not None and not (is_count and slots > 0):
            raise InputError(f"slots={slots!r} must be a whole number of at least 1.")
        self.slots = slots
        self.gpus = _numbers(gpus)

    @classmethod
    def with_devices(cls, devices: Sequence[str], slots: int) -> Here:
        """Return one whose GPUs are sets of devices, some of them perhaps in several sets.

        Parameters
        ----------
        devices : sequence of str
            Of each set, as ``CUDA_VISIBLE_DEVICES`` has it.
        slots : int
            Cores for tasks.
        """
        made = cls(slots)
        made.gpus = numbered(devices)
        return made

    def __repr__(self) -> str:
        return f"Here(slots={self.slots}, gpus={list(self.gpus)})"


def _numbers(gpus: object) -> tuple[str, ...]:
    """Return the numbers of GPUs that a user has given, or how many there are."""
    if isinstance(gpus, int) and not isinstance(gpus, bool) and gpus >= 0:
        return tuple(map(str, range(gpus)))
    is_list = isinstance(gpus, Sequence) and not isinstance(gpus, str | bytes)
    names = [str(name).strip() for name in gpus] if is_list else []  # type: ignore[attr-defined]
    if not is_list or not all(names) or any("," in name for name in names):
        raise InputError(
            f"gpus={gpus!r} must say how many GPUs there are, or list their numbers, such as [0, 2]."
        )
    if len(set(names)) < len(names):
        raise InputError(f"gpus={gpus!r} names one of them twice: two tasks would have it.")
    return tuple(names)
