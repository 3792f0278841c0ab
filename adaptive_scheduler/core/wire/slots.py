"""How many tasks of one kind can run at a time: what a driver asks that follows its jobs."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.tasks.resources import TaskResources


class Slots(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Asks how many tasks with these resources and this tag have room in the jobs of now."""

    resources: TaskResources
    tag: str = ""


class SlotCount(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to Slots.

    Attributes
    ----------
    slots : int
        Other tasks may occupy some of them.
    ending : int
        Such tasks in jobs that take no more: they are on their way, but occupy none of the slots.
    never : str
        Why no such task would be taken, with the numbers; "" if something may run it.
    """

    slots: int
    ending: int = 0
    never: str = ""
