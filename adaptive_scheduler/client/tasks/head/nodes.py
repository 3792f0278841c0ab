"""Begins and ends tasks on the nodes of a job, whether a node is the head's own or another one."""

from __future__ import annotations

import selectors
from dataclasses import dataclass, field

import msgspec

from adaptive_scheduler.client.tasks.head.agent_link import AgentLink
from adaptive_scheduler.client.tasks.head.rank_tasks import RankTasks
from adaptive_scheduler.client.tasks.messages import (
    Begun,
    Call,
    EndRanks,
    Slot,
    Start,
    StopTask,
    TaskEnd,
)
from adaptive_scheduler.client.tasks.other_nodes.launchers import Commands, commands_of_job
from adaptive_scheduler.client.tasks.other_nodes.other_node import OtherNode
from adaptive_scheduler.client.tasks.other_nodes.others import NodesListener, OtherNodes
from adaptive_scheduler.client.tasks.ranks.plan import ranks_of
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.command_spec import CommandSpec
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace, Placement
from adaptive_scheduler.core.wire.tasks import EndKind, Given

#: The head's own node is the first one.
OWN = 0


@dataclass(frozen=True)
class JobNodes:
    """The nodes of a head's job.

    Attributes
    ----------
    own : NodeInventory
        What the job has on the head's own.
    others : list of str
        Names of the other ones.
    cores : int
        That were asked for on each.
    commands : callable
        Makes the launchers of the other ones.
    """

    own: NodeInventory
    others: list[str] = field(default_factory=list)
    cores: int = 1
    commands: Commands = commands_of_job

    @property
    def names(self) -> list[str]:
        """Of all, the head's own first."""
        return [self.own.name, *self.others]

    def at_first(self) -> list[NodeInventory]:
        """What there is before another node has come."""
        return [self.own, *(NodeInventory(name, []) for name in self.others)]


class _OwnNode:
    """Tells the listener which node its agent is on."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def task_begun(self, begun: Begun) -> None:
        self._nodes.task_begun(OWN, begun)

    def task_ended(self, ended: TaskEnd) -> None:
        self._nodes.task_ended(ended)

    def ranks_ended(self, token: int) -> None:
        self._nodes.ranks_ended(OWN, token)

    def agent_came(self) -> None:
        self._nodes.agent_came(OWN)

    def agent_lost(self, unsent: frozenset[int]) -> None:
        self._nodes.agent_lost(OWN, unsent)


class Nodes:
    """All nodes of a job.

    Parameters
    ----------
    folder : RunFolder
    selector : selectors.BaseSelector
        Of the head's loop.
    listener : NodesListener
        Is told of each task once how it ended: of one of several nodes when nothing is left of it.
    job : JobNodes

    Attributes
    ----------
    inventory : list of NodeInventory
        What is known of them: a node that has not come yet has no cores, and one that is lost those
        that it had.
    can_begin : bool
        Whether there has been an agent on any of them.
    """

    def __init__(
        self, folder: RunFolder, selector: selectors.BaseSelector, listener: NodesListener, job: JobNodes
    ) -> None:  # fmt: skip
        self.inventory = job.at_first()
        self.can_begin = False
        self._listener = listener
        self._where: dict[int, int] = {}  # by token: the node whose agent has it
        self._ranks = RankTasks()
        self._own = AgentLink(folder, selector, _OwnNode(self))
        self._others: OtherNodes | None = None
        if job.others:
            self._others = OtherNodes(
                folder, selector, self, job.names, job.cores, job.commands
            )  # fmt: skip

    # ------------------------------------------------------------------- to the nodes

    def begin(self, given: Given, place: Placement) -> None:
        """Begin a task, as soon as there is an agent.

        Raises
        ------
        msgspec.MsgspecError
            It is no command of this version.
        """
        first = place[0]
        work = _work(given)
        slot = Slot(tuple(first.cores), self._gpus(first), given.threads)
        ranks = ranks_of(place, given.threads, self.inventory)
        if len(place) > 1:
            self._ranks.begin(given.token, [part.node for part in place])
        self._where[given.token] = first.node
        self._node(first.node).start(
            Start(given.token, work, slot, given.timeout, given.attempt, ranks)
        )

    def _gpus(self, part: NodePlace) -> tuple[str, ...] | None:
        if not self.inventory[part.node].gpus:
            return None  # nobody has said whether this node has any
        return tuple(dict.fromkeys(gpu for gpu, _ in part.gpus))

    def _node(self, number: int) -> AgentLink | OtherNode:
        if number == OWN:
            return self._own
        assert self._others is not None, "the manager places only on nodes that it was told of"
        return self._others[number]

    def stop(self, token: int) -> None:
        """End a task."""
        if token in self._where:
            self._node(self._where[token]).stop(StopTask(token))

    def recall(self, token: int) -> None:
        """Let a task come back, if it has not begun."""
        if token in self._where:
            self._node(self._where[token]).recall(token)

    def end_dead(self, ended: TaskEnd) -> None:
        """A task of several nodes has died with one of them: end what is left of it, then tell so."""
        self.stop(ended.token)
        self._ranks.end(ended, by_head=True)
        self._settle()

    def quit(self, grace: float) -> None:
        """End all tasks, and the agents: by SIGTERM, and after `grace` seconds by SIGKILL.

        Other nodes on which tasks have ranks stay until `close`: they are not lost while these save, and
        are asked for what is left of them.
        """
        if self._others is not None:
            staying = self._ranks.nodes
            for token, node in self._where.items():
                if node != OWN and node in staying:
                    self._others[node].stop(StopTask(token, EndKind.CUT, grace))
            self._others.quit(grace, staying)
        self._own.quit(grace)

    @property
    def has_heard(self) -> bool:
        """Whether `tick` has something to do at once: to be asked before waiting."""
        return self._others is not None and self._others.has_heard

    def tick(self, now: float) -> None:
        """Send what is to be sent; start what is to be started anew."""
        self._own.tick(now)
        if self._others is not None:
            self._others.tick(now)

    def close(self, grace: float = 0.0) -> None:
        """End what is left on all nodes."""
        if self._others is not None:
            self._others.quit(grace)
        self._own.close(grace)
        if self._others is not None:
            self._others.close(grace)

    # ------------------------------------------------------------------- from the nodes

    def task_begun(self, node: int, begun: Begun) -> None:
        """A task has been running for a moment."""
        self._listener.task_begun(node, begun)

    def task_ended(self, ended: TaskEnd) -> None:
        """An agent tells how a task has ended."""
        self._where.pop(ended.token, None)
        if ended.token in self._ranks:
            self._ranks.end(ended)
            self._settle()
        else:
            self._listener.task_ended(ended)

    def ranks_ended(self, node: int, token: int) -> None:
        """Nothing is left of a task on a node."""
        self._ranks.answered(node, token)
        self._settle()

    def agent_came(self, node: int) -> None:
        """A node can begin something."""
        self.can_begin = True
        self._listener.agent_came(node)

    def agent_lost(self, node: int, unsent: frozenset[int]) -> None:
        """What the agent of a node ran has died with it."""
        self._forget(node)
        self._ranks.forget(unsent)
        self._listener.agent_lost(node, unsent)

    def node_came(self, node: int, inventory: NodeInventory) -> None:
        """A node is there."""
        self.inventory[node] = inventory
        self._listener.node_came(node, inventory)

    def node_lost(self, node: int, text: str) -> None:
        """A node is lost, with all that ran there."""
        self._forget(node)
        self._listener.node_lost(node, f"node {self.inventory[node].name} was lost: {text}")
        self._ranks.lose(node)
        self._settle()

    def _forget(self, node: int) -> None:
        self._where = {token: one for token, one in self._where.items() if one != node}

    def _settle(self) -> None:
        """Ask for what is left of tasks, and tell of those of which nothing is."""
        for node, token in self._ranks.asks():
            if node == OWN:
                self._own.end_ranks(token)
            elif self._others is not None and self._others[node].is_there:
                self._others[node].say(EndRanks(token))
            else:
                self._ranks.answered(node, token)
        for ended in self._ranks.ready():
            self._where.pop(ended.token, None)
            self._listener.task_ended(ended)


def _work(given: Given) -> Call | CommandSpec:
    if given.function:
        return Call(given.function, given.spec)
    return msgspec.msgpack.decode(given.spec, type=CommandSpec)
