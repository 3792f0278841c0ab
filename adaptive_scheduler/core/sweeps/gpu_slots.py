"""GPUs of an inventory that are sets of devices: ``"0,1"``, or one of several slots on a GPU, ``"0#2"``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

#: Between what programs are told and which of several slots with it this is.
_NUMBER = "#"


def numbered(devices: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each slot with these devices, all of them different."""
    seen: Counter[str] = Counter()
    names = []
    for one in devices:
        seen[one] += 1
        names.append(one if seen[one] == 1 else f"{one}{_NUMBER}{seen[one]}")
    return tuple(names)


def visible_devices(gpus: Iterable[str]) -> str:
    """Return what ``CUDA_VISIBLE_DEVICES`` is for a task with these GPUs."""
    return ",".join(one.partition(_NUMBER)[0] for one in gpus)
