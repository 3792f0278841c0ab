"""Where a task can run: the free cores, GPUs and memory of a job's nodes.

The manager keeps one `Inventory` for each job of a pool and is the only one who places: what it
gives to a task is taken until that task has ended, and only the end of a task frees anything.
That is why two tasks never share a core, whatever messages are late or repeated: a head that
would decide by itself what is free, while tasks wait ahead in it, could be given one place twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from adaptive_scheduler.core.tasks.resources import GPU_SHARES, TaskResources
from adaptive_scheduler.core.texts import counted

#: Of what a task does not need, there is enough for so many.
ANY = 10**12


class NodeInventory(msgspec.Struct, frozen=True, array_like=True):
    """What a job has on one node.

    Attributes
    ----------
    name : str
        As the batch system calls it.
    cores : list of int
        Numbers of the cores that belong to the job.
    gpus : list of str
        Numbers or names of its GPUs, as ``CUDA_VISIBLE_DEVICES`` takes them. One that is there
        several times counts once.
    memory : int, optional
        Bytes; None: not limited.
    """

    name: str
    cores: list[int]
    gpus: list[str] = msgspec.field(default_factory=list)
    memory: int | None = None


class NodePlace(msgspec.Struct, frozen=True, array_like=True):
    """What one task occupies on one node.

    Attributes
    ----------
    node : int
        Which node of the job, from 0.
    cores : list of int
        Numbers of its cores, rank by rank.
    gpus : list of (str, int)
        GPUs and how many of their `GPU_SHARES`, rank by rank.
    memory : int
        Bytes.
    """

    node: int
    cores: list[int]
    gpus: list[tuple[str, int]] = msgspec.field(default_factory=list)
    memory: int = 0


#: What one task occupies: a `NodePlace` for each of its nodes.
Placement = list[NodePlace]


class _Node:
    """The free part of one node."""

    __slots__ = ("cores", "gpus", "memory")

    def __init__(self, node: NodeInventory) -> None:
        self.cores = set(node.cores)
        self.gpus = dict.fromkeys(node.gpus, GPU_SHARES)
        self.memory = float("inf") if node.memory is None else node.memory


class Inventory:
    """The free cores, GPUs and memory of one job.

    A node can be lost: nothing is placed on it until it is there again, and what is taken there stays
    taken until the end of its task is told.

    Parameters
    ----------
    nodes : iterable of NodeInventory
        All nodes of the job; one that has not come yet has no cores.

    Attributes
    ----------
    nodes : list of NodeInventory
        As far as they have come.
    lost : set of int
        Numbers of nodes that are lost.
    cores, free_cores : int
        Of nodes that are not lost; those of them that no task occupies.
    """

    def __init__(self, nodes: Iterable[NodeInventory]) -> None:
        self.nodes = list(nodes)
        self.lost: set[int] = set()
        self._free = [_Node(node) for node in self.nodes]
        self._count()

    def _count(self) -> None:
        """Note which nodes there are, and how many cores they have."""
        self._there = [(n, free) for n, free in enumerate(self._free) if n not in self.lost]
        self.cores = sum(len(self.nodes[n].cores) for n, _ in self._there)
        self.free_cores = sum(len(free.cores) for _, free in self._there)

    # ------------------------------------------------------------------ which nodes there are

    def lose(self, number: int) -> None:
        """A node is lost. ValueError if there is no such node."""
        self._check_number(number)
        self.lost.add(number)
        self._count()

    def add(self, number: int, node: NodeInventory) -> None:
        """A node has come, or is there again.

        Raises
        ------
        ValueError
            There is no such node, or it has something else than it had: nobody knows what is taken.
        """
        self._check_number(number)
        known = self.nodes[number]
        if known.cores and known != node:
            raise ValueError(f"node {known.name} has come back with something else: {node}")
        if not known.cores:
            self.nodes[number], self._free[number] = node, _Node(node)
        self.lost.discard(number)
        self._count()

    def _check_number(self, number: int) -> None:
        if not 0 <= number < len(self.nodes):
            raise ValueError(f"there is no node {number}")

    @property
    def n_away(self) -> int:
        """How many nodes have not come, or are lost."""
        return len(self.nodes) - sum(bool(self.nodes[number].cores) for number, _ in self._there)

    @property
    def is_complete(self) -> bool:
        """Whether all nodes have come, so that it is known what the job has."""
        return all(node.cores for node in self.nodes)

    # ------------------------------------------------------------------ what is free

    def place(self, resources: TaskResources, without: Collection[int] = ()) -> Placement | None:
        """Find room for a task; changes nothing.

        Parameters
        ----------
        resources : TaskResources
        without : collection of int
            Nodes that are reserved for another task.

        Returns
        -------
        list of NodePlace or None
            By the numbers of the nodes, so that ranks are counted in the same order everywhere. None: it
            does not fit at the moment.
        """
        fitting = self._fitting(resources, without)
        if len(fitting) < resources.nodes:
            return None
        # the fullest nodes first, so that whole nodes stay free for tasks that need them; those
        # without a GPU before those with one
        best = [min(fitting)] if resources.nodes == 1 else sorted(fitting)[: resources.nodes]
        return [self._place_on(number, resources) for number in sorted(one[2] for one in best)]

    def _fitting(
        self, resources: TaskResources, without: Collection[int]
    ) -> list[tuple[bool, int, int]]:
        """Return the nodes with room for a task: has a GPU in vain, free cores, number."""
        cores, memory = resources.cores_per_node, resources.memory or 0
        shares, ranks = resources.gpu_shares, resources.ranks_per_node
        fitting = []
        for number, free in self._there:
            n = len(free.cores)
            if n < cores or free.memory < memory or number in without:
                continue
            if shares and not _has_gpus(free.gpus.values(), shares, ranks):
                continue
            fitting.append((not shares and bool(free.gpus), n, number))
        return fitting

    def _place_on(self, number: int, resources: TaskResources) -> NodePlace:
        free = self._free[number]
        cores = sorted(free.cores)[: resources.cores_per_node]
        gpus = _choose_gpus(free.gpus, resources)
        assert gpus is not None, "place() has seen that they fit"
        return NodePlace(number, cores, gpus, resources.memory or 0)

    def take(self, placement: Placement) -> None:
        """Occupy what `place` found. ValueError if a part is not free: nothing is taken then."""
        for place in placement:
            self._check_number(place.node)
            free = self._free[place.node]
            needed = _sum_shares(place.gpus)
            if (
                not free.cores.issuperset(place.cores)
                or free.memory < place.memory
                or any(free.gpus.get(gpu, 0) < shares for gpu, shares in needed.items())
            ):
                raise ValueError(f"node {self.nodes[place.node].name} has no room for {place}")
        for place in placement:
            free = self._free[place.node]
            free.cores.difference_update(place.cores)
            free.memory -= place.memory
            for gpu, shares in place.gpus:
                free.gpus[gpu] -= shares
            if place.node not in self.lost:
                self.free_cores -= len(place.cores)

    def free(self, placement: Placement) -> None:
        """Give back what `take` occupied. ValueError if a part of it is free already."""
        for place in placement:
            if not self._free[place.node].cores.isdisjoint(place.cores):
                raise ValueError(f"{place} is free already")
        for place in placement:
            free = self._free[place.node]
            free.cores.update(place.cores)
            free.memory += place.memory
            for gpu, shares in place.gpus:
                free.gpus[gpu] += shares
            if place.node not in self.lost:
                self.free_cores += len(place.cores)

    def nearest_to_free(
        self, resources: TaskResources, without: Collection[int] = ()
    ) -> list[int] | None:
        """Return the nodes on which least has to end before a task fits; None: it never does.

        Parameters
        ----------
        resources : TaskResources
        without : collection of int
            Nodes that are reserved for another task.
        """
        could = [
            (_missing(free, resources), number)
            for number, free in self._there
            if number not in without and _holds(self.nodes[number], resources)
        ]
        if len(could) < resources.nodes:
            return None
        return [number for _, number in sorted(could)[: resources.nodes]]

    def missing(self, resources: TaskResources, nodes: Iterable[int]) -> tuple[float, ...]:
        """Return how many cores, GPUs and bytes must become free on these nodes before a task fits."""
        parts = [_missing(self._free[number], resources) for number in nodes]
        return tuple(map(sum, zip(*parts, strict=True)))

    def could_hold(self, resources: TaskResources) -> bool:
        """Whether a task fits on the nodes that are there, while nothing else runs."""
        return _enough((self.nodes[number] for number, _ in self._there), resources)

    def could_ever_hold(self, resources: TaskResources) -> bool:
        """Whether a task fits while nothing else runs, and no node is lost."""
        return _enough(self.nodes, resources)

    def is_as_large_as(self, other: Inventory) -> bool:
        """Whether each node of another one has no more than a node of this one."""
        mine, its = sorted(map(_size, self.nodes)), sorted(map(_size, other.nodes))
        pairs = zip(reversed(mine), reversed(its), strict=False)
        return len(mine) >= len(its) and all(
            one >= two
            for larger, smaller in pairs
            for one, two in zip(larger, smaller, strict=True)
        )

    def __str__(self) -> str:
        cores, gpus, memory = max(map(_size, self.nodes), default=(0, 0, 0.0))
        return shape_text(len(self.nodes), cores, gpus, memory)


def shape_text(nodes: int, cores: int, gpus: int, memory: float) -> str:
    """Say what a job has: on each of its nodes, if there are several."""
    parts = [counted(cores, "core")]
    if gpus:
        parts.append(counted(gpus, "GPU"))
    if memory < float("inf"):
        parts.append(f"{memory / 2**30:.3g} GiB")
    each = ", ".join(parts)
    return f"{counted(nodes, 'node')} with {each} each" if nodes > 1 else each


def _size(node: NodeInventory) -> tuple[int, int, float]:
    return len(node.cores), len(node.gpus), float("inf") if node.memory is None else node.memory


def _missing(free: _Node, resources: TaskResources) -> tuple[float, float, float]:
    """How many cores, GPUs and bytes must become free on a node before a task fits."""
    cores = resources.cores_per_node - len(free.cores)
    memory = (resources.memory or 0) - free.memory
    gpus = 0.0
    if resources.gpus_per_rank:
        shares = resources.gpu_shares * resources.ranks_per_node - sum(free.gpus.values())
        gpus = shares / GPU_SHARES
    return max(0, cores), max(0.0, gpus), max(0.0, memory)


def _enough(nodes: Iterable[NodeInventory], resources: TaskResources) -> bool:
    """Whether a task fits on these nodes, while nothing else runs there."""
    missing = resources.nodes
    for node in nodes:
        missing -= _holds(node, resources)
        if missing <= 0:
            return True
    return False


def _holds(node: NodeInventory, resources: TaskResources) -> bool:
    """Whether a node has enough for a task, while nothing else runs there."""
    shares, gpus = resources.gpu_shares, [GPU_SHARES] * len(set(node.gpus))
    return (
        len(node.cores) >= resources.cores_per_node
        and (node.memory is None or node.memory >= (resources.memory or 0))
        and (not shares or _has_gpus(gpus, shares, resources.ranks_per_node))
    )


def parts_on(node: NodeInventory, resources: TaskResources) -> tuple[int, int, int]:
    """Return for how many tasks the cores, GPUs and memory of an empty node are enough."""
    cores = len(node.cores) // resources.cores_per_node
    gpus = memory = ANY
    if resources.memory and node.memory is not None:
        memory = node.memory // resources.memory
    if shares := resources.gpu_shares:
        n, is_shared = len(set(node.gpus)), shares < GPU_SHARES
        for_ranks = n * (GPU_SHARES // shares) if is_shared else n // (shares // GPU_SHARES)
        gpus = for_ranks // resources.ranks_per_node
    return cores, gpus, memory


def capacity(nodes: Iterable[NodeInventory], resources: TaskResources) -> int:
    """Return how many such tasks fit at a time on these nodes, while nothing else runs."""
    parts = [min(parts_on(node, resources)) for node in nodes]
    tasks = sum(parts) // resources.nodes
    while sum(min(one, tasks) for one in parts) < tasks * resources.nodes:
        tasks -= 1  # the parts of one task are on different nodes
    return tasks


def _has_gpus(free: Collection[int], shares: int, ranks: int) -> bool:
    """Whether GPUs with so many free shares are enough for ranks that need so many each."""
    if shares < GPU_SHARES:
        return sum([left // shares for left in free]) >= ranks
    return list(free).count(GPU_SHARES) * GPU_SHARES >= ranks * shares


def _choose_gpus(free: dict[str, int], resources: TaskResources) -> list[tuple[str, int]] | None:
    """Choose GPUs for all ranks on one node: of a divided one the fullest that still fits."""
    shares, ranks = resources.gpu_shares, resources.ranks_per_node
    if not shares:
        return []
    if shares >= GPU_SHARES:
        needed = ranks * (shares // GPU_SHARES)
        whole = [gpu for gpu, left in free.items() if left == GPU_SHARES]
        return [(gpu, GPU_SHARES) for gpu in whole[:needed]] if len(whole) >= needed else None
    chosen: list[tuple[str, int]] = []
    for left, gpu in sorted((left, gpu) for gpu, left in free.items()):
        chosen += [(gpu, shares)] * min(left // shares, ranks - len(chosen))
    return chosen if len(chosen) == ranks else None


def _sum_shares(gpus: Sequence[tuple[str, int]]) -> dict[str, int]:
    needed: dict[str, int] = {}
    for gpu, shares in gpus:
        needed[gpu] = needed.get(gpu, 0) + shares
    return needed
