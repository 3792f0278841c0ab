"""What a head holds, what it begins next, and what it tells the manager. No socket, no clock.

It places nothing by itself: a task begins where the manager says, or where one of the same
resources has just ended (see `core.tasks.head_mirror`, which is the manager's side of this).
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Collection
from typing import Any

import msgspec

from adaptive_scheduler.core.tasks.place import NodeInventory, Placement
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

#: Seconds of work that is lined up at the agent behind each task that runs: for short calls the
#: agent must not wait for the head after each one.
LINE = 0.01
LONGEST_LINE = 64
#: Ends, and bytes of their values, in one message.
MOST_ENDS, MOST_BYTES = 1000, 2**20
#: How much one duration counts for the mean.
_WEIGHT = 0.1


class Begin(msgspec.Struct, frozen=True):
    """Begin this task there, behind those that were begun there before."""

    given: Given
    place: Placement


class EndTask(msgspec.Struct, frozen=True):
    """End this task, which runs."""

    token: int


class Recall(msgspec.Struct, frozen=True):
    """Let this task come back, if it has not begun: the one in front of it is a long one."""

    token: int


Action = Begin | EndTask | Recall


class HeadReport:
    """What the manager is to be told, until it has confirmed it.

    Attributes
    ----------
    seen, told : int
        The last token and the last order that have come.
    must_tell : bool
        It asks for all that is held.
    frees : bool
        A place has become free since the last report was made.
    """

    def __init__(self) -> None:
        self.seen = self.told = 0
        self.must_tell = self.frees = False
        self.unheard: list[End] = []
        self._begun: list[tuple[int, int, int]] = []
        self._last_end = self._last_change = self._heard_of_nodes = 0
        self._changes: dict[int, NodeChange] = {}  # the last one of each node

    def add(self, token: int, kind: EndKind, follower: int = 0, **facts: Any) -> None:
        """A task has ended, or comes back."""
        self._last_end += 1
        self.unheard.append(End(self._last_end, token, kind, follower, **facts))

    def note_begun(self, token: int, node: int, pid: int) -> None:
        """A task has been running for a moment."""
        self._begun.append((token, node, pid))

    def change_node(self, node: int, inventory: NodeInventory | None) -> None:
        """A node has come, or is lost."""
        self._last_change += 1
        self._changes[node] = NodeChange(self._last_change, node, inventory)

    def forget(self, heard: int, nodes: int) -> None:
        """The manager has confirmed ends, and what has changed about nodes: a new one nothing of it."""
        self.unheard = [end for end in self.unheard if end.number > heard]
        self._heard_of_nodes = nodes

    def trade(self, holds: list[Held] | None, wait: float) -> Trade:
        """Return what there is to tell."""
        begun, self._begun = self._begun, []
        self.frees = False
        return Trade(
            self.seen, self.told, self._first(), begun, holds, wait, self._last_end,
            nodes=self._unheard_changes(),
        )  # fmt: skip

    def _unheard_changes(self) -> list[NodeChange]:
        changes = [one for one in self._changes.values() if one.number > self._heard_of_nodes]
        return sorted(changes, key=lambda one: one.number)

    def _first(self) -> list[End]:
        """Return what is not confirmed, as far as one message may be large; the rest comes next."""
        n = size = 0
        for end in self.unheard[:MOST_ENDS]:
            size += len(end.value) + len(end.text)
            if n and size > MOST_BYTES:
                break
            n += 1
        return self.unheard[:n]


class TaskLines:
    """What is lined up at the agent, behind tasks that run."""

    def __init__(self) -> None:
        self._lines: dict[int, deque[int]] = {}  # by the token that runs: what follows it
        self._line_of: dict[int, deque[int]] = {}  # by the token in a line: that line
        self._begun: dict[int, tuple[int, int]] = {}  # by the token in a line: see `note_begun`

    def __contains__(self, token: int) -> bool:
        return token in self._line_of

    def length(self, leader: int) -> int:
        """How many follow a task that runs."""
        return len(self._lines.get(leader, ()))

    def append(self, leader: int, token: int) -> None:
        """Line a task up behind one that runs."""
        line = self._lines.setdefault(leader, deque())
        line.append(token)
        self._line_of[token] = line

    def note_begun(self, token: int, node: int, pid: int) -> None:
        """One in a line runs already: the ends of those before it are still to be told."""
        if token in self:
            self._begun[token] = node, pid

    def take_begun(self, token: int) -> tuple[int, int] | None:
        """Return the node and the pid of one that has left its line, if it ran already."""
        return self._begun.pop(token, None)

    def behind(self, leader: int) -> list[int]:
        """Tokens of those that follow a task that runs."""
        return list(self._lines.get(leader, ()))

    def advance(self, leader: int) -> int:
        """A task that ran has ended: return the one that follows it and leads its line now; 0: none."""
        line = self._lines.pop(leader, None)
        if not line:
            return 0
        follower = line.popleft()
        del self._line_of[follower]
        self._lines[follower] = line
        return follower

    def remove(self, token: int) -> bool:
        """Let a task leave its line; returns whether it stood in one."""
        line = self._line_of.pop(token, None)
        self._begun.pop(token, None)
        if line is not None:
            line.remove(token)
        return line is not None

    def clear(self, leader: int) -> list[int]:
        """Let all leave that follow a task; returns them."""
        tokens = list(self._lines.pop(leader, ()))
        for token in tokens:
            self.remove(token)
        return tokens


class HeadSession:
    """One head's tasks.

    Attributes
    ----------
    running : dict of int to Placement
        Where its tasks run, by token.
    """

    def __init__(self) -> None:
        self.running: dict[int, Placement] = {}
        self._report = HeadReport()
        self._lines = TaskLines()
        self._tasks: dict[int, Given] = {}
        self._waiting: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
        self._mean: dict[str, float] = {}  # seconds, by function
        self._long: set[int] = set()  # tokens of those that have been running for a moment
        self._recalled: set[int] = set()  # tokens of those that may come back out of their line
        self._offers: dict[int, Placement] = {}  # places of those that stand in line, if they do
        self._absent: set[int] = set()  # nodes that have not come yet, or are lost

    @property
    def has_news(self) -> bool:
        """Whether there is an end that the manager has not confirmed."""
        return bool(self._report.unheard)

    @property
    def can_wait(self) -> bool:
        """Whether there are only ends to tell of, of tasks whose places have all been taken over."""
        return self.has_news and not self._report.frees

    @property
    def has_worked(self) -> bool:
        """Whether it was ever given a task."""
        return self._report.seen > 0

    # ------------------------------------------------------------------ from the manager

    def take(self, work: Work) -> list[Action]:
        """Take in an answer; returns what follows."""
        self._report.forget(work.heard, work.nodes)
        self._report.must_tell = work.tell
        actions: list[Action] = []
        dropped = {order.token for order in work.orders if order.is_drop}
        for given in work.tasks:
            if given.token > self._report.seen:
                self._report.seen = given.token
                self._tasks[given.token] = given
                if given.token not in dropped:  # withdrawn on its way: see the order
                    actions += self._place(given)
        told = self._report.told
        for order in sorted(work.orders, key=lambda one: not one.is_drop):  # no place for those
            if order.number > told:
                self._report.told = max(self._report.told, order.number)
                if order.place is not None and order.token in dropped:
                    continue
                actions += self._obey(order)
        for token in self.running:
            self._line_up(token, actions)
        return actions

    def _place(self, given: Given) -> list[Begin]:
        """Begin a task where the manager says, or let it wait."""
        if given.place is not None:
            return self._begin_or_return(given, given.place)
        self._wait(given)
        return []

    def _line_up(self, token: int, actions: list[Action]) -> None:
        """Let the agent have what is to follow a short task."""
        if len(self.running[token]) > 1:
            return  # its place may take a while to become clean, on its other nodes
        fits = self._tasks[token].fits
        mean = self._mean.get(self._tasks[token].function)
        if mean is None or token in self._long or not self._waiting[fits]:
            return  # behind one that may be long nothing waits: another place may be free before
        room = min(LONGEST_LINE, int(LINE / mean)) - self._lines.length(token)
        while room > 0 and (given := self._take_best(fits)) is not None:
            self._lines.append(token, given.token)
            actions.append(Begin(given, self.running[token]))
            room -= 1

    def _obey(self, order: Order) -> list[Action]:
        given = self._tasks.get(order.token)
        if given is None:
            return []
        if order.place is not None:
            if not self._is_away(order.token):
                return [*self._begin_or_return(given, order.place)]
            return self._pass_on(order, given)
        if order.priority is not None:
            self._tasks[order.token] = msgspec.structs.replace(given, priority=order.priority)
            if not self._is_away(order.token):
                self._wait(self._tasks[order.token])
            return []
        return self._let_go(order)

    def _let_go(self, order: Order) -> list[Action]:
        """Give a task back, or drop it, or end it."""
        if not self._is_away(order.token):
            kind = EndKind.BACK if order.is_recall else EndKind.CANCELLED
            self._end(order.token, kind, begun=False)
            return []
        if order.is_recall:
            return []
        self._recalled.discard(order.token)  # if it is on its way here, it is not to wait again
        return [EndTask(order.token)]

    def _pass_on(self, order: Order, given: Given) -> list[Action]:
        """Give the place of one that is to take over another place soon to one that waits.

        One that runs has taken it over already: the manager will hear of it, and free this one. If
        none waits, it is recalled from its line.
        """
        if order.token not in self._lines or order.place is None or self._is_lost(order.place):
            return []
        other = self._take_best(given.fits)
        if other is None:
            self._offers[order.token] = order.place
            self._recalled.add(order.token)
            return [Recall(order.token)]
        self._report.add(order.token, EndKind.PASSED, other.token, begun=False)
        return [self._begin(other, order.place)]

    def _is_away(self, token: int) -> bool:
        """Whether the agent has it."""
        return token in self.running or token in self._lines

    def _wait(self, given: Given) -> None:
        heapq.heappush(self._waiting[given.fits], (-given.priority, given.token))

    def _begin(self, given: Given, place: Placement) -> Begin:
        self.running[given.token] = place
        return Begin(given, place)

    def _begin_or_return(self, given: Given, place: Placement) -> list[Begin]:
        """Begin a task; if a node of its place was lost meanwhile it comes back."""
        if not self._is_lost(place):
            return [self._begin(given, place)]
        self._end(given.token, EndKind.BACK, begun=False)
        return []

    def _is_lost(self, place: Placement) -> bool:
        return any(part.node in self._absent for part in place)

    # ------------------------------------------------------------------ from the agents

    def note_begun(self, token: int, node: int, pid: int) -> list[Recall]:
        """A task has been running for a moment: what is lined up behind it may run elsewhere before."""
        if token not in self.running:
            self._lines.note_begun(token, node, pid)
            return []
        self._report.note_begun(token, node, pid)
        self._long.add(token)
        behind = self._lines.behind(token)
        self._recalled.update(behind)
        return [Recall(one) for one in behind]

    def _leave_line(self, token: int, kind: EndKind, facts: dict[str, Any]) -> list[Action]:
        """It comes back without having begun, or its leader's end is late."""
        if not self._lines.remove(token):
            return []
        place, was_recalled = self._offers.pop(token, None), token in self._recalled
        self._recalled.discard(token)
        if kind is not EndKind.BACK or not was_recalled:
            self._end(token, kind, **facts)
        elif place is not None:
            return [*self._begin_or_return(self._tasks[token], place)]
        else:
            self._wait(self._tasks[token])
        return []

    def end(self, token: int, kind: EndKind, **facts: Any) -> list[Action]:
        """A task has ended: what is lined up behind it, or else the best that waits, takes its place."""
        place = self.running.pop(token, None)
        if place is None:
            return self._leave_line(token, kind, facts)
        given = self._tasks.pop(token)
        self._long.discard(token)
        self._note_seconds(given.function, facts.get("seconds", 0.0))
        actions: list[Action] = []
        follower = self._lines.advance(token)
        if follower:
            self.running[follower] = place
            self._offers.pop(follower, None)  # the manager will free it
            self._recalled.discard(follower)
        elif not self._is_lost(place) and (best := self._take_best(given.fits)) is not None:
            follower = best.token
            actions.append(self._begin(best, place))
        self._end(token, kind, follower, **facts)
        if follower:
            if begun := self._lines.take_begun(follower):
                actions += self.note_begun(follower, *begun)
            self._line_up(follower, actions)
        else:
            self._report.frees = True
        return actions

    def lose(
        self, text: str, *, is_ending: bool, unsent: Collection[int] = frozenset(), node: int = 0,
        is_node: bool = False,
    ) -> dict[int, EndKind]:  # fmt: skip
        """All that an agent ran has died with it, and what was lined up comes back.

        Parameters
        ----------
        text : str
            Why.
        is_ending : bool
            The job ends: then it is nobody's fault. Else those are blamed that died before, or all
            if there is none.
        unsent : collection of int
            Those that no agent was given: they come back, too.
        node : int
            Of the agent.
        is_node : bool
            The whole node is lost: then all have died that had a part there, and only those are blamed
            that died before. But one that ran there alone is LOST: perhaps it kills its node.

        Returns
        -------
        dict of int to EndKind
            Tasks of several nodes among those that have died, and how: `end` them when nothing is left
            of them on their other nodes.
        """
        self._return_unbegun(node, unsent)
        dead = {token for token in self.running if self._has_part_on(node, token, is_node=is_node)}
        suspects = {token for token in dead if self._tasks[token].crashes}
        blamed = set() if is_ending else suspects or (set() if is_node else dead)
        is_alone = is_node and not is_ending and len(dead) == 1
        other = EndKind.LOST if is_alone else EndKind.CUT
        kinds = {
            one: EndKind.DIED if one in blamed else other for one in self.running if one in dead
        }
        return self._end_dead(kinds, text)

    def _return_unbegun(self, node: int, unsent: Collection[int]) -> None:
        """Give back what an agent has not begun: what is lined up, and what it was never given."""
        for token in [one for one, place in self.running.items() if place[0].node == node]:
            for follower in self._lines.clear(token):
                self._end(follower, EndKind.BACK, begun=False)
                self._recalled.discard(follower)
                self._offers.pop(follower, None)
            if token in unsent:
                del self.running[token]
                self._end(token, EndKind.BACK, begun=False)

    def _has_part_on(self, node: int, token: int, *, is_node: bool) -> bool:
        """Whether a task was begun by the agent of a node; or, `is_node`, has a part there."""
        first, *others = self.running[token]
        return first.node == node or (is_node and any(part.node == node for part in others))

    def part_on(self, node: int, token: int) -> int:
        """Which part of a task that runs is on a node, counted from its first node."""
        return [part.node for part in self.running[token]].index(node)

    def _end_dead(self, kinds: dict[int, EndKind], text: str) -> dict[int, EndKind]:
        later = {}
        for token, kind in kinds.items():
            self._long.discard(token)
            if len(self.running[token]) > 1:
                later[token] = kind
            else:
                del self.running[token]
                self._end(token, kind, text=text)
        return later

    def change_node(self, node: int, inventory: NodeInventory | None) -> None:
        """A node has come, or is lost: `lose` its tasks before."""
        if inventory is None:
            self._absent.add(node)
        else:
            self._absent.discard(node)
        self._report.change_node(node, inventory)

    def expect(self, nodes: Collection[int]) -> None:
        """These nodes have not come yet."""
        self._absent.update(nodes)

    def _note_seconds(self, function: str, seconds: float) -> None:
        mean = self._mean.get(function)
        seconds = max(seconds, 1e-6)
        self._mean[function] = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def give_back_waiting(self) -> None:
        """Give back all that has not begun: the job ends."""
        for token in [token for token in self._tasks if not self._is_away(token)]:
            self._end(token, EndKind.BACK, begun=False)

    def _take_best(self, fits: int) -> Given | None:
        waiting = self._waiting[fits]
        while waiting:
            negative, token = heapq.heappop(waiting)
            given = self._tasks.get(token)
            if given is not None and not self._is_away(token) and given.priority == -negative:
                return given
        return None

    def _end(self, token: int, kind: EndKind, follower: int = 0, **facts: Any) -> None:
        self._tasks.pop(token, None)
        self._report.add(token, kind, follower, **facts)

    # ------------------------------------------------------------------ to the manager

    def trade(self, wait: float) -> Trade:
        """Return what there is to tell."""
        holds = None
        if self._report.must_tell:
            self._offers.clear()  # a new manager takes these places for free
            holds = [Held(token, self.running.get(token)) for token in self._tasks]
        return self._report.trade(holds, wait)
