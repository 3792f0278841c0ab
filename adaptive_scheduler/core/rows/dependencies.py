"""Which items wait for which, and what a change of one means for the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from adaptive_scheduler.core.rows.events import Event, Postponed
from adaptive_scheduler.core.rows.items import DONE, QUEUED, Item, effect_on_dependant
from adaptive_scheduler.errors import InputError


class Dependencies:
    """Counts for each item how many of those that it depends on are not DONE.

    Parameters
    ----------
    rows : sequence of Item
        In any phase: of a new run, or read from a journal.

    Raises
    ------
    InputError
        One depends on an item that does not exist.
    """

    def __init__(self, rows: Sequence[Item]) -> None:
        dependants: defaultdict[int, list[int]] = defaultdict(list)
        for item in rows:
            for parent in set(item.depends_on):
                dependants[parent].append(item.id)
        if any(not 0 <= parent < len(rows) for parent in dependants):
            raise InputError("an item of the database depends on one that does not exist.")
        self._dependants: dict[int, list[int]] = dict(dependants)
        self._undone = {
            item.id: sum(rows[parent].phase is not DONE for parent in set(item.depends_on))
            for item in rows
            if item.depends_on
        }

    def __iter__(self) -> Iterator[int]:
        """Ids of items that depend on others."""
        return iter(self._undone)

    def dependants(self, item_id: int) -> Sequence[int]:
        """Ids of the items that depend on this one."""
        return self._dependants.get(item_id, ())

    def undone(self, item_id: int) -> int:
        """How many of those that this item depends on are not DONE."""
        return self._undone.get(item_id, 0)

    def effects(self, before: Item, after: Item) -> list[tuple[int, Event]]:
        """Take in that an item's phase has changed; returns the events that follow, by item."""
        found: list[tuple[int, Event]] = []
        for item_id in self._dependants.get(after.id, ()):
            self._undone[item_id] += (before.phase is DONE) - (after.phase is DONE)
            effect = effect_on_dependant(before, after, self._undone[item_id])
            if effect is not None:
                found.append((item_id, effect))
        if after.phase is QUEUED and self._undone.get(after.id):
            found.append((after.id, Postponed()))  # what it needs was reopened while it ran
        return found
