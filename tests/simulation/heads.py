"""A head of a pool's job: the real session, with agents, tasks, nodes and a host that fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from adaptive_scheduler.client.tasks.head.head_session import (
    Action,
    Begin,
    EndTask,
    HeadSession,
    Recall,
)
from adaptive_scheduler.client.tasks.head.rank_tasks import RankTasks
from adaptive_scheduler.client.tasks.messages import TaskEnd
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.resources import GPU_SHARES
from adaptive_scheduler.core.wire.messages import (
    Goodbye,
    Hello,
    Ok,
    Owner,
    Refused,
    Welcome,
    decode_reply,
    encode_request,
)
from adaptive_scheduler.core.wire.tasks import EndKind, Given, Trade, Work
from tests.simulation.oracle import demand
from tests.simulation.slurm import Job

if TYPE_CHECKING:
    from tests.simulation.task_history import TaskHistory

#: Seconds before the end of a walltime at which a head leaves, that what runs may take to end then,
#: and that its last words may take.
MARGIN, GRACE, FAREWELL = 8.0, 4.0, 3.0
#: Seconds for which ends are gathered while every slot has work.
GATHER = 0.01
#: Seconds after which a node is late, that a lost one stays away at most, and that what is left of a
#: task on another node may take to end.
LATE, AWAY, CLEAN = 3.0, 25.0, 0.5


class Ledger:
    """Who is where on which node, whatever a manager believes."""

    def __init__(self) -> None:
        self._cores: dict[tuple[str, int], int] = {}
        self._gpus: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._memory: defaultdict[str, int] = defaultdict(int)

    def take(self, node: NodeInventory, token: int, place: NodePlace) -> None:
        """A task begins."""
        for core in place.cores:
            demand(core in node.cores, f"node {node.name} has no core {core}")
            other = self._cores.setdefault((node.name, core), token)
            demand(other == token, f"core {core} of {node.name} is used by {other} and {token}")
        for gpu, shares in place.gpus:
            self._gpus[node.name, gpu] += shares
            is_there = gpu in node.gpus and self._gpus[node.name, gpu] <= GPU_SHARES
            demand(is_there, f"GPU {gpu} of {node.name} is used twice")
        self._memory[node.name] += place.memory
        is_room = node.memory is None or self._memory[node.name] <= node.memory
        demand(is_room, f"more memory of {node.name} is used than there is")

    def free(self, node: NodeInventory, place: NodePlace) -> None:
        """It has ended."""
        for core in place.cores:
            del self._cores[node.name, core]
        for gpu, shares in place.gpus:
            self._gpus[node.name, gpu] -= shares
        self._memory[node.name] -= place.memory


class LifeNodes:
    """The nodes of one head, and what of its tasks is left on which.

    Attributes
    ----------
    all : list of NodeInventory
        What its job has; the first one is its own.
    known, there : set of int
        Those that have come, and of these those that are not lost.
    """

    def __init__(self, history: TaskHistory, inventories: list[NodeInventory]) -> None:
        self.all = inventories
        self.known, self.there = {0}, {0}
        self._history = history
        self._parts: dict[int, dict[int, NodePlace]] = {}  # by token: by node

    def inventory(self) -> list[NodeInventory]:
        """What is known of them."""
        return [
            node if number in self.known else NodeInventory(node.name, [])
            for number, node in enumerate(self.all)
        ]

    def begin(self, token: int, parts: Iterable[NodePlace]) -> None:
        """A task begins."""
        self._parts[token] = {part.node: part for part in parts}
        for number, part in self._parts[token].items():
            demand(number in self.there, f"token {token} begins on a node that is lost")
            self._history.ledger.take(self.all[number], token, part)

    def clean(self, token: int, number: int) -> None:
        """Nothing is left of a task on a node."""
        part = self._parts.get(token, {}).pop(number, None)
        if part is not None:
            self._history.ledger.free(self.all[number], part)

    def clean_all(self, token: int) -> None:
        """Nothing is left of a task."""
        for number in list(self._parts.get(token, ())):
            self.clean(token, number)

    def is_clean(self, token: int) -> bool:
        """Whether nothing is left of a task on any node that is there."""
        return not self._parts.get(token)

    def die(self, number: int) -> None:
        """Nothing is left on a node."""
        for token in list(self._parts):
            self.clean(token, number)

    def leave(self, number: int) -> None:
        """What is left on a node stays until an agent of the same job comes there again."""
        for parts in self._parts.values():
            if (part := parts.pop(number, None)) is not None:
                self._history.left[self.all[number].name].append(part)

    def come(self, number: int) -> None:
        """A node is there: what was left on it is ended before its agent is ready."""
        self.known.add(number)
        self.there.add(number)
        for part in self._history.left.pop(self.all[number].name, []):
            self._history.ledger.free(self.all[number], part)


class HeadLife:
    """One life of a head, in place of a learner's client (`lives.Life`).

    Attributes
    ----------
    nodes : LifeNodes
    left : str
        Why it ended in good order; "" while it has not.
    fails : bool
        Whether its job ends as one that failed.
    begun : dict of int to Given
        Tasks that run.
    dropped : set of int
        Tokens that were withdrawn before they began.
    """

    def __init__(self, history: TaskHistory, job: Job, attempt: int) -> None:
        self.history = history
        self.job = job
        self.paused_until = self.cut_until = 0.0
        self.dead = False
        self.left = ""
        self.fails = history.draws_broken(job.id)
        history.lives_made += 1
        self.owner = Owner(job.id, job.restart, attempt, f"life-{history.lives_made}")
        self.nodes = LifeNodes(history, history.nodes_of(job))
        self.session = HeadSession()
        self.session.expect(range(1, len(self.nodes.all)))
        self._ranks = RankTasks()
        self.begun: dict[int, Given] = {}
        self.dropped: set[int] = set()
        self._begun_at: dict[int, float] = {}
        self._given: dict[int, Given] = {}
        self._number = 0
        self._body: Any = None
        self._is_greeted = False
        self._ending = ""
        self._ends_at = float("inf")
        self.nodes.come(0)
        self._after(history.rng.uniform(0.1, 2.0), self._greet)
        self._await_nodes()
        walltime = history.pool_of(job).resources.walltime
        if walltime is not None:
            self._ends_at = job.started + walltime - MARGIN
            self._after(self._ends_at - history.now, lambda: self.leave("its walltime ends"))

    # ------------------------------------------------------------------ its host

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something then, if it lives; later if it is stopped."""

        def act() -> None:
            if self.dead:
                return
            if self.history.now < self.paused_until:
                self.history.at(self.paused_until, act)
            else:
                action()

        self.history.after(max(0.0, seconds), act)

    def pause(self, seconds: float) -> None:
        """SIGSTOP."""
        self.paused_until = max(self.paused_until, self.history.now + seconds)

    def go_on(self) -> None:
        """Nothing holds it up any more."""
        self.cut_until = 0.0
        self.paused_until = min(self.paused_until, self.history.now)

    def die(self) -> None:
        """It is gone, with its agent and all that ran on its own node; elsewhere something may be left."""
        if self.dead:
            return
        self.dead = True
        self._give_up(EndKind.DIED)

    def _give_up(self, kind: EndKind) -> None:
        for number in range(1, len(self.nodes.all)):
            self.nodes.leave(number)
        for token in list(self.begun):
            self._note_ran(token, kind)
        for token in list(self._begun_at):
            self.nodes.clean_all(token)

    def terminate(self) -> None:
        """SIGTERM."""
        self._after(0.0, lambda: self.leave("signal SIGTERM"))

    # ------------------------------------------------------------------ the manager

    def _greet(self) -> None:
        if self._ending:
            return
        if self.fails:  # its node is not good for anything
            self._ask(Goodbye("it cannot work here", broken=True, submit=self.job.submit))
            self._after(FAREWELL, self._leave)
            return
        self._is_greeted = False
        inventory = self.nodes.inventory()
        cores = sum(len(node.cores) for node in inventory)
        self._ask(Hello("host", 1, cores, self.job.submit, inventory))

    def trade(self) -> None:
        """Report, and ask for more, in place of what is under way."""
        if self._is_greeted and not isinstance(self._body, Goodbye):
            beat = self.history.config.timing.beat
            trade = self.session.trade(0.0 if self._ending else beat)
            left = 0.0 if self._ending else max(0.0, self._ends_at - self.history.now)
            left_or_none = None if left == float("inf") else left
            self._ask(msgspec.structs.replace(trade, seconds_left=left_or_none))

    def _ask(self, body: Any) -> None:
        self._body = body
        self._send()

    def _send(self) -> None:
        self._number += 1
        number = self._number
        self.history.to_manager(self, encode_request(self.owner, number, self._body))
        self._after(getattr(self._body, "wait", 1.0) + 1.0, lambda: self._send_again(number))

    def _send_again(self, number: int) -> None:
        if self._number == number and self._body is not None:
            if isinstance(self._body, Trade):
                self.trade()  # what is new since
            else:
                self._send()

    def hear(self, message: bytes) -> None:
        """An answer arrives; one that is stopped hears it when it goes on."""
        if self.history.now >= self.cut_until:
            self._after(0.0, lambda: self._hear(message))

    def _hear(self, message: bytes) -> None:
        number, reply = decode_reply(message)
        if number != self._number or self._body is None:
            return
        self.history.count("answer heard")
        body, self._body = self._body, None
        if isinstance(reply, Refused):
            self._refused(reply)
        elif isinstance(reply, Welcome):
            self._is_greeted = True
            self.trade()
        elif isinstance(reply, Work):
            self._take(reply)
        else:
            demand(isinstance(body, Goodbye) and isinstance(reply, Ok), f"a head is told {reply}")
            self._leave()

    def _refused(self, reply: Refused) -> None:
        if reply.code == "unknown_head":
            self._greet()
            return
        demand(reply.code != "bad_request", f"head {self.owner.uuid} is told: {reply.reason}")
        self.history.refused(self, reply)
        self._leave(reply.code)

    def _leave(self, why: str = "") -> None:
        self.left = why or self._ending or "it cannot work here"
        self.die()
        self.history.client_left(self)

    # ------------------------------------------------------------------ its tasks

    def _take(self, work: Work) -> None:
        for given in work.tasks:
            self._given[given.token] = given
        lined_up = set(self.session._lines._line_of)  # the agent has them already
        self.dropped |= {
            order.token for order in work.orders
            if order.number > self.session._report.told and order.token not in lined_up
            and (order.is_drop or order.is_recall)
        }  # fmt: skip
        # what is ended ends a moment later: the agent has been told to begin all others by then
        for action in sorted(self.session.take(work), key=lambda one: isinstance(one, EndTask)):
            self._carry_out(action)
        if self._ending:
            self.session.give_back_waiting()
        elif work.leave:
            self.leave("the manager has no work for it")
        self.trade()
        self._leave_if_done()

    def _carry_out(self, action: Action) -> None:
        token = action.given.token if isinstance(action, Begin) else action.token
        if isinstance(action, Recall):
            if token not in self.begun:
                self.history.count("task recalled from a line")
                self._finish(token, EndKind.BACK, begun=False)
        elif isinstance(action, EndTask):
            if token in self.begun or token not in self._ranks:
                has_begun = token in self.begun
                self._finish(token, EndKind.CANCELLED if has_begun else EndKind.BACK, has_begun)
        elif token in self.session.running and token not in self.begun:
            self._begin(token)

    def _carry_out_all(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._carry_out(action)

    def _begin(self, token: int) -> None:
        given, history = self._given[token], self.history
        demand(token not in self._begun_at, f"token {token} begins for the second time")
        demand(token not in self.dropped, f"token {token} begins, which was withdrawn before")
        history.oracle.begins(self, given)
        history.count("task begun")
        self.begun[token] = given
        self._begun_at[token] = history.now
        place = self.session.running[token]
        self.nodes.begin(token, place)
        if len(place) > 1:
            history.count("task of several nodes begun")
            self._ranks.begin(token, [part.node for part in place])
        seconds, kind = history.draw_task(given)
        if seconds > 0.05:
            self._carry_out_all(self.session.note_begun(token, place[0].node, 1))
        self._after(seconds, lambda: self._ends(token, kind))

    def _ends(self, token: int, kind: EndKind | None) -> None:
        if token not in self.begun:
            return
        if kind is None:
            self.lose_agent("a task kills its agent", self.session.running[token][0].node)
            return
        if kind is EndKind.DIED:
            self.history.fault("worker killed")
        followers = self._finish(token, kind)
        self._after(GATHER if followers else 0.0, self.trade)
        self._leave_if_done()

    def _note_ran(self, token: int, kind: EndKind) -> None:
        """It runs no more, though something may be left of it."""
        self.history.oracle.ran(self.begun.pop(token), kind)

    def _finish(self, token: int, kind: EndKind, begun: bool = True) -> bool:
        """A task has ended; returns whether another one took over its place at once."""
        place = self.session.running.get(token, [])
        if begun:
            self._note_ran(token, kind)
        if begun and len(place) > 1:
            self.nodes.clean(token, place[0].node)
            self._ranks.end(TaskEnd(token, kind))
            self._settle()
            return False
        return self._report(token, kind, begun)

    def _report(self, token: int, kind: EndKind, begun: bool = True) -> bool:
        """Tell the end of a task of which nothing is left; whether another one took over the place."""
        seconds = self.history.now - self._begun_at.get(token, self.history.now)
        value = self.history.value_of(self._given[token]) if kind is EndKind.VALUE else b""
        self.nodes.clean_all(token)
        before = set(self.session.running)
        actions = self.session.end(token, kind, begun=begun, value=value, seconds=seconds)
        followers = self.session.running.keys() - before
        for follower in followers:
            self._begin(follower)
        for action in actions:
            self._carry_out(action)
        return bool(followers)

    def _settle(self) -> None:
        """Ask other nodes for what is left of tasks there, and tell the ends that can be told."""
        for number, token in self._ranks.asks():
            if number in self.nodes.there:
                seconds = self.history.rng.uniform(0, CLEAN)
                self._after(seconds, lambda number=number, token=token: self._clean(number, token))
            else:
                self._ranks.answered(number, token)
        for ended in self._ranks.ready():
            is_clean = self.nodes.is_clean(ended.token)
            demand(
                is_clean, f"the end of token {ended.token} is told while something is left of it"
            )
            self._report(ended.token, ended.kind)
            self._after(0.0, self.trade)
        self._leave_if_done()

    def _clean(self, number: int, token: int) -> None:
        if number in self.nodes.there:
            self.nodes.clean(token, number)
            self._ranks.answered(number, token)
            self._settle()

    # ------------------------------------------------------------------ its nodes

    def _await_nodes(self) -> None:
        """Its other nodes come one by one; some late, some never."""
        history = self.history
        for number in range(1, len(self.nodes.all)):
            delay = history.rng.choice((0.0, 0.0, 1.0, 20.0)) * history.rng.random()
            if not history.calm and history.rng.random() < 0.1:
                history.fault("node of a job never comes")
                continue
            if delay > LATE:
                history.fault("node of a job comes late")
            self._after(delay, lambda number=number: self._node_comes(number))

    def _node_comes(self, number: int) -> None:
        if self._ending or number in self.nodes.there:
            return
        if number in self.nodes.known:
            self.history.fault("lost node there again")
        self.nodes.come(number)
        self.session.change_node(number, self.nodes.all[number])
        self.trade()

    def lose_node(self) -> None:
        """A node dies, or cannot be reached for so long that it is given up."""
        history = self.history
        if len(self.nodes.there) < 2 or self._ending:
            return
        number = history.rng.choice(sorted(self.nodes.there - {0}))
        is_cut = history.rng.random() < 0.5
        history.fault("node of a job cut off" if is_cut else "node of a job dies", self.job.id)
        self.nodes.there.discard(number)
        if is_cut:
            self.nodes.leave(number)
        else:
            self.nodes.die(number)
        self._lose("a node was lost", number, is_node=True)
        self.session.change_node(number, None)
        self._ranks.lose(number)
        self._settle()
        self._after(history.rng.uniform(1.0, AWAY), lambda: self._node_comes(number))
        self._after(0.0, self.trade)

    def _tasks_on(self, number: int, *, is_node: bool) -> list[int]:
        """Tokens of tasks that run there, or that its agent has begun."""
        return [
            token
            for token in self.begun
            if number
            in [part.node for part in self.session.running[token]][: None if is_node else 1]
        ]

    def _lose(self, text: str, number: int, *, is_node: bool = False) -> None:
        """What ran there is dead."""
        for token in self._tasks_on(number, is_node=is_node):
            self._note_ran(token, EndKind.DIED)
        before = dict(self.session.running)
        later = self.session.lose(text, is_ending=bool(self._ending), node=number, is_node=is_node)
        for token in before.keys() - self.session.running.keys():
            self.nodes.clean_all(token)
        for token, kind in later.items():
            self._ranks.end(TaskEnd(token, kind), by_head=True)
        self._settle()

    def any_node(self) -> int:
        """One of those that are there."""
        return self.history.rng.choice(sorted(self.nodes.there))

    def lose_agent(self, why: str, number: int) -> None:
        """What it has begun dies; a new agent is there at once."""
        self.history.fault(f"agent killed: {why}" if why.startswith("a task") else "agent killed")
        self._lose("the agent of its node died", number)
        self._after(0.0, self.trade)

    # ------------------------------------------------------------------ its end

    def leave(self, reason: str) -> None:
        """Begin nothing more, give back what waits, end what runs, and go."""
        if self._ending:
            return
        self._ending = reason
        self.session.give_back_waiting()
        for token in list(self.session._lines._line_of):
            self._finish(token, EndKind.BACK, begun=False)
        for token in list(self.begun):
            seconds = self.history.rng.uniform(0, GRACE)
            self._after(seconds, lambda token=token: self._ends(token, EndKind.CUT))
        self._after(GRACE, self.say_goodbye)
        self.trade()
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self._ending and not self.session.running and not self.session.has_news:
            self.say_goodbye()

    def say_goodbye(self) -> None:
        """Whatever is not confirmed by now."""
        if not isinstance(self._body, Goodbye) and not self.dead:
            self._give_up(EndKind.CUT)
            self._ask(Goodbye(self._ending, submit=self.job.submit))
            self._after(FAREWELL, self._leave)
