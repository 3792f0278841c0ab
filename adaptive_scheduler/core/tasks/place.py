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

    Parameters
    ----------
    nodes : iterable of NodeInventory
    """

    def __init__(self, nodes: Iterable[NodeInventory]) -> None:
        self.nodes = list(nodes)
        self._free = [_Node(node) for node in self.nodes]

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
            None: it does not fit at the moment.
        """
        fitting = [
            (len(free.cores), len(free.gpus), number)
            for number, free in enumerate(self._free)
            if number not in without and _fits(free, resources)
        ]
        if len(fitting) < resources.nodes:
            return None
        # the fullest nodes first, so that whole nodes stay free for tasks that need them; those
        # without a GPU before those with one
        fitting.sort(
            key=lambda node: (bool(node[1]) > bool(resources.gpus_per_rank), node[0], node[2])
        )
        return [self._place_on(number, resources) for _, _, number in fitting[: resources.nodes]]

    def _place_on(self, number: int, resources: TaskResources) -> NodePlace:
        free = self._free[number]
        cores = sorted(free.cores)[: resources.cores_per_node]
        gpus = _choose_gpus(free.gpus, resources)
        assert gpus is not None, "place() has seen that they fit"
        return NodePlace(number, cores, gpus, resources.memory or 0)

    def take(self, placement: Placement) -> None:
        """Occupy what `place` found. ValueError if a part is not free: nothing is taken then."""
        for place in placement:
            if not 0 <= place.node < len(self._free):
                raise ValueError(f"there is no node {place.node}")
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

    def nearest_to_free(self, resources: TaskResources) -> list[int] | None:
        """Return the nodes on which least has to end before a task fits; None: it never does."""
        could = [number for number, node in enumerate(self.nodes) if _fits(_Node(node), resources)]
        if len(could) < resources.nodes:
            return None
        return sorted(could, key=lambda number: _missing(self._free[number], resources))[
            : resources.nodes
        ]

    def could_ever_hold(self, resources: TaskResources) -> bool:
        """Whether a task fits while nothing else runs."""
        return Inventory(self.nodes).place(resources) is not None

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
        parts = [counted(len(self.nodes), "node")] if len(self.nodes) > 1 else []
        parts.append(counted(cores, "core"))
        if gpus:
            parts.append(counted(gpus, "GPU"))
        if memory < float("inf"):
            parts.append(f"{memory / 2**30:.3g} GiB")
        return ", ".join(parts)

    @property
    def free_cores(self) -> int:
        """Cores that no task occupies."""
        return sum(len(free.cores) for free in self._free)


def _size(node: NodeInventory) -> tuple[int, int, float]:
    return len(node.cores), len(node.gpus), float("inf") if node.memory is None else node.memory


def _missing(free: _Node, resources: TaskResources) -> tuple[int, float]:
    """What must become free on a node before a task fits, cores first."""
    cores = resources.cores_per_node - len(free.cores)
    return max(0, cores), max(0.0, (resources.memory or 0) - free.memory)


def _fits(free: _Node, resources: TaskResources) -> bool:
    return (
        len(free.cores) >= resources.cores_per_node
        and free.memory >= (resources.memory or 0)
        and (not resources.gpus_per_rank or _has_gpus(free.gpus.values(), resources))
    )


def _has_gpus(free: Iterable[int], resources: TaskResources) -> bool:
    shares, ranks = resources.gpu_shares, resources.ranks_per_node
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
