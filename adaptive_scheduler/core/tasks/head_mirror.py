"""The manager's mirror of one head: what it was given, what it runs where, what it must be told.

Why double booking is impossible
--------------------------------
A place (cores, GPUs, memory) belongs to exactly one task at a time, in the mirror as in the head,
and it changes hands in two ways only. The manager gives a free place to a task (`Given.place`, or
an `Order` with a place for one that waits in the head). And the head hands the place of a task
that has ended on to a waiting task of the same resources, and says so in that End (`End.next`).
A place is free again only when an End says that nobody took it over. So whatever messages are
lost, late or repeated: what the manager believes to be free is free, because the head cannot use
a place that it does not know of.

A task may be given a place by the manager at the moment in which the head lets it take over
another one. The End tells: the task is where the head began it, and the other place, which the
head has ignored, is free. If it only stands in line for another place, the head passes the one that was
meant for it on to the best that waits, and says so before anything else happens to the two (an End
of the kind PASSED): short tasks stand in line before the manager's word has come, and without this a
place that has become free would be offered to the next in line again and again, and stay empty.

A job's nodes come and are lost one by one, as the head tells (`NodeChange`). Nothing is placed on a node
that is lost; but what is taken there stays taken until its End comes, be the node there again or not: its
tasks may still run, and only the head knows when they have gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator

import msgspec

from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory, Placement
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.tasks import (
    End,
    EndKind,
    Given,
    Held,
    NodeChange,
    Order,
    Trade,
    Work,
)

#: Number of the resources of a task that its manager does not know.
UNKNOWN = -1


class OrderBook:
    """What a head is to do about its tasks, until it has said that it knows.

    Attributes
    ----------
    kept : deque of Order
    last : int
        Number of the last one that was given.
    meant : set of int
        Tokens of tasks to which a place was given by an order, until they have ended or are elsewhere.
    former : int
        Ends up to this number follow orders of a former manager.
    """

    def __init__(self) -> None:
        self.kept: deque[Order] = deque()
        self.last = self.former = 0
        self.meant: set[int] = set()

    def add(
        self, token: int, priority: float | None = None, place: Placement | None = None,
        *, is_recall: bool = False,
    ) -> None:  # fmt: skip
        """Give one more."""
        self.last += 1
        self.kept.append(Order(self.last, token, priority, place, is_recall))
        if place is not None:
            self.meant.add(token)

    def forget(self, told: int) -> None:
        """It knows those up to this number."""
        while self.kept and self.kept[0].number <= told:
            self.kept.popleft()


class PlacedTasks:
    """Which tasks of a head have a place, and where.

    Attributes
    ----------
    by_token : dict of int to Placement
    ended : dict of int to Placement
        Of those whose end is being taken in.
    """

    def __init__(self) -> None:
        self.by_token: dict[int, Placement] = {}
        self.ended: dict[int, Placement] = {}
        self._n: dict[int, int] = {}  # how many there are, by fits

    def put(self, given: Given, place: Placement) -> None:
        """A task has a place."""
        self.by_token[given.token] = place
        self._n[given.fits] = self._n.get(given.fits, 0) + 1

    def take(self, token: int, fits: int | None) -> Placement | None:
        """A task has no place any more; returns the one that it had."""
        place = self.by_token.pop(token, None)
        if place is not None and fits is not None:
            self._n[fits] -= 1
        return place

    def n(self, fits: int) -> int:
        """How many of these resources there are."""
        return self._n.get(fits, 0)

    def nodes(self, token: int) -> list[int]:
        """Return the numbers of the nodes of a task; none: it has no place."""
        place = self.by_token.get(token) or self.ended.get(token) or []
        return [part.node for part in place]


class HeadMirror:
    """What the manager knows of one head.

    Parameters
    ----------
    nodes : iterable of NodeInventory
        What its job has.

    Attributes
    ----------
    inventory : Inventory
        The free part of it.
    given : dict of int to Given
        Tasks that it was given and that have not ended, by token; oldest first.
    heard : int
        The last of its ends that was taken in.
    suspects : set of int
        Tokens of those of `given` that died before.
    pids : dict of int to int
        Processes of tasks that have been running for a moment, by token.
    nodes : int
        The last of its changes of nodes that was taken in.
    """

    def __init__(self, nodes: Iterable[NodeInventory]) -> None:
        self.inventory = Inventory(nodes)
        self.nodes = 0
        self.given: dict[int, Given] = {}
        self.heard = 0
        self.suspects: set[int] = set()
        self.pids: dict[int, int] = {}
        self._placed = PlacedTasks()
        self._waiting: dict[int, set[int]] = {}  # tokens without a place, by fits
        self._seen = 0
        self._orders = OrderBook()

    # ------------------------------------------------------------------ what it tells

    def take_nodes(self, changes: Iterable[NodeChange]) -> bool:
        """Take in which nodes have come, or are lost; returns whether that was new.

        Raises
        ------
        ValueError
            There is no such node, or it has come back as another one.
        """
        before = self.nodes
        for change in changes:
            if change.number <= self.nodes:
                continue
            if change.inventory is None:
                self.inventory.lose(change.node)
            else:
                self.inventory.add(change.node, change.inventory)
            self.nodes = change.number
        return self.nodes != before

    def take(self, trade: Trade) -> Iterator[tuple[Given, End]]:
        """Take in a report; yields the ends that are new, each after the mirror knows of it."""
        self._seen = max(self._seen, trade.seen)
        self.pids |= {token: pid for token, _, pid in trade.begun if token in self.given}
        self._orders.forget(trade.told)
        for end in trade.ended:
            if end.number == self.heard + 1:
                self.heard = end.number
                if end.kind is EndKind.PASSED:
                    self._pass_on(end)
                    continue
                place = self._placed.by_token.get(end.token, [])
                given = self._end(end)
                if given is not None:
                    self._placed.ended = {end.token: place}
                    yield given, end
                self.pids.pop(end.token, None)

    def _end(self, end: End) -> Given | None:
        given = self.given.pop(end.token, None)
        self.suspects.discard(end.token)
        place = self._forget(end.token, given)
        if place is None:
            return given
        follower = self.given.get(end.next) if end.next else None
        if follower is None:
            self.inventory.free(place)
        else:
            other = self._forget(follower.token, follower)
            if other is not None:
                self.inventory.free(other)
            self._placed.put(follower, place)
        return given

    def _pass_on(self, end: End) -> None:
        """The place that was meant for a task is another's; not if a former manager had meant it."""
        given, other = self.given.get(end.token), self.given.get(end.next)
        is_known = end.token in self._orders.meant and end.number > self._orders.former
        if given is None or other is None or not is_known:
            return
        place = self._forget(end.token, given)
        assert place is not None, "it was meant for it"
        self._waiting.setdefault(given.fits, set()).add(end.token)
        if (its_own := self._forget(end.next, other)) is not None:  # which it will ignore
            self.inventory.free(its_own)
        self._placed.put(other, place)

    def _forget(self, token: int, given: Given | None) -> Placement | None:
        """Let a task have neither a place nor wait for one; returns the place that it had."""
        place = self._placed.take(token, None if given is None else given.fits)
        self._orders.meant.discard(token)
        if given is not None and place is None:
            self._waiting.get(given.fits, set()).discard(token)
        return place

    # ------------------------------------------------------------------ what it gets

    def give(self, given: Given) -> None:
        """Give it a task; with a place, which must be free, or to wait in the head."""
        self.given[given.token] = given
        if given.crashes:
            self.suspects.add(given.token)
        if given.place is None:
            self._waiting.setdefault(given.fits, set()).add(given.token)
        else:
            self.inventory.take(given.place)
            self._placed.put(given, given.place)

    def restore(self, trade: Trade, tasks: Iterable[Given]) -> None:
        """Begin with what a head says that it holds: its manager knows nothing of it.

        Parameters
        ----------
        trade : Trade
            With `holds`; it is told to drop what is not among `tasks`.
        tasks : iterable of Given
            All that it was given and that has reached it. One that it does not hold has ended, as
            an End of it will say that no manager has confirmed; others have its place by now.
        """
        self._seen = trade.seen
        self.heard = trade.ended[0].number - 1 if trade.ended else trade.ends
        self._orders.last, self._orders.former = trade.told, trade.ends
        known = {given.token: given for given in tasks}
        told = {held.token for held in trade.holds or ()}
        self.given |= {token: given for token, given in known.items() if token not in told}
        self.suspects |= {token for token, given in self.given.items() if given.crashes}
        for held in trade.holds or ():
            # one that is no task here any more has its place until it ends, too
            given = known.get(held.token, Given(-1, held.token, UNKNOWN))
            self.give(msgspec.structs.replace(given, place=held.place))
            if held.token not in known:
                self._orders.add(held.token)
            elif held.place is None:  # the former manager may have told nobody of a new one
                self._orders.add(held.token, priority=given.priority)

    def could_hold(self, held: Iterable[Held]) -> bool:
        """Whether tasks can be where a head says that they are."""
        whole = Inventory(self.inventory.nodes)
        try:
            for one in held:
                whole.take(one.place or [])
        except ValueError:
            return False
        return True

    @property
    def has_begun(self) -> set[int]:
        """Tokens of tasks that have a place, and that the head knows to have one: they may have begun."""
        unheard = {order.token for order in self._orders.kept if order.place is not None}
        return {token for token in self._placed.by_token if token <= self._seen} - unheard

    def has_place(self, token: int) -> bool:
        """Whether a task has a place: it does not wait in the head."""
        return token in self._placed.by_token

    def node_of(self, token: int, part: int = 0) -> str:
        """Return the name of a node of a task, also while its end is being taken in; "": it has none.

        The first one, if it has no such part: nobody knows on which of them it failed.
        """
        numbers = self._placed.nodes(token)
        if not numbers:
            return ""
        return self.inventory.nodes[numbers[part if 0 <= part < len(numbers) else 0]].name

    def nodes_of(self, end: End) -> list[int]:
        """Return the numbers of the nodes of which the end of a task that was just taken in tells something.

        If it was good, these are all of its nodes; else it is the one on which it failed, or that it had alone.
        """
        numbers = self._placed.nodes(end.token)
        if end.kind is EndKind.VALUE or len(numbers) == 1:
            return numbers
        return numbers[end.part : end.part + 1] if end.part >= 0 else []

    def placed(self, fits: int) -> int:
        """How many of its tasks of these resources have a place."""
        return self._placed.n(fits)

    def placed_tasks(self, fits: int) -> Iterator[Given]:
        """Those of its tasks of these resources that have a place."""
        for token in self._placed.by_token:
            given = self.given.get(token)
            if given is not None and given.fits == fits:
                yield given

    @property
    def waiting_tasks(self) -> list[Given]:
        """All that wait in the head, the best ones first."""
        tokens = [token for tokens in self._waiting.values() for token in tokens]
        return sorted(
            map(self.given.__getitem__, tokens), key=lambda one: (-one.priority, one.item)
        )

    @property
    def is_any_waiting(self) -> bool:
        """Whether a task waits in the head."""
        return any(self._waiting.values())

    def recall(self, token: int) -> None:
        """Let it give a task back that waits there, unless it is to do something with it already."""
        if all(order.token != token for order in self._orders.kept):
            self._orders.add(token, is_recall=True)

    def waiting(self, fits: int) -> Collection[int]:
        """Tokens of its tasks of these resources that wait in the head."""
        return self._waiting.get(fits, ())

    def place_waiting(
        self, resources: list[TaskResources], kept: Collection[int] = (), most: int = 1000
    ) -> None:
        """Give places that are free to tasks that wait in the head, the best ones first.

        Parameters
        ----------
        resources : list of TaskResources
        kept : collection of int
            Nodes that are kept free for other tasks.
        most : int
            Orders that it may have at a time.
        """
        free = {
            fits
            for fits, tokens in self._waiting.items()
            if tokens and fits != UNKNOWN and self.inventory.place(resources[fits], kept)
        }
        waiting = [self.given[token] for fits in free for token in self._waiting[fits]]
        for given in sorted(waiting, key=lambda one: (-one.priority, one.item)):
            if len(self._orders.kept) >= most:
                return
            if given.fits not in free:
                continue
            place = self.inventory.place(resources[given.fits], kept)
            if place is None:
                free.discard(given.fits)
            else:
                self._waiting[given.fits].discard(given.token)
                self.inventory.take(place)
                self._placed.put(given, place)
                self._orders.add(given.token, place=place)

    @property
    def unseen(self) -> tuple[int, int]:
        """How many tasks it was given that it has not seen, and the bytes of their arguments."""
        n = size = 0
        for token in reversed(self.given):
            if token <= self._seen:
                break
            n, size = n + 1, size + len(self.given[token].spec)
        return n, size

    def drop(self, token: int) -> None:
        """Let it end a task, or give it back."""
        if token in self.given:
            self._orders.add(token)

    def prioritise(self, token: int, priority: float) -> None:
        """Let it sort a task in anew, if it waits there; one that has a place goes on."""
        given = self.given.get(token)
        if given is not None:
            self.given[token] = msgspec.structs.replace(given, priority=priority)
            if token in self._waiting.get(given.fits, ()):
                self._orders.add(token, priority=priority)

    def work(self, *, leave: bool = False) -> Work:
        """Return what it has to know, whatever has been sent before: messages may be lost."""
        tasks = []
        for token in reversed(self.given):
            if token <= self._seen:
                break
            tasks.append(self.given[token])
        tasks.reverse()
        return Work(self.heard, tasks, list(self._orders.kept), leave=leave, nodes=self.nodes)
