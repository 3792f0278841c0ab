"""Pools: jobs of one shape that run tasks."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

import msgspec

from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory, shape_text
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import length_text
from adaptive_scheduler.errors import InputError

#: Seconds that a head without tasks stays.
IDLE = 60.0
#: As clients of one process, heads are started without an MPI launcher.
EXECUTOR = "process-pool"
#: How the reason of a task begins that nothing can ever run.
NO_ROOM = "no pool can ever hold it"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MIB = 2**20


class Pool(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Jobs of one shape that run tasks, and how many of them there may be.

    Attributes
    ----------
    name : str
    resources : Resources
        Of each job.
    max_jobs, min_jobs : int
        Jobs at most; jobs that stay although there is nothing to do.
    accepts : list of str
        Tags of the tasks that it takes; empty: all.
    batch_size : int, optional
        Tasks that one of its jobs may hold at a time, whether they run or wait there; None: as many
        as it can run, and of short ones a few more.
    threshold : int
        A job is given tasks only when it may hold so many more (with `batch_size`).
    idle : float
        Seconds that a job without tasks stays.
    is_removed : bool
        It is given nothing more, and its jobs end when what runs in them has ended.
    """

    name: str
    resources: Resources
    max_jobs: int = 1
    min_jobs: int = 0
    accepts: list[str] = []
    batch_size: int | None = None
    threshold: int = 1
    idle: float = IDLE
    is_removed: bool = False

    @property
    def nodes(self) -> int:
        """Of each of its jobs."""
        return self.resources.nodes or 1

    @property
    def inventory(self) -> Inventory:
        """What one of its jobs has; it is not to be changed."""
        return _promised(self.resources)

    def could_hold(self, task: TaskResources, tag: str) -> bool:
        """Whether one of its jobs can run such a task, while nothing else runs in it."""
        if self.is_removed or (self.accepts and tag not in self.accepts):
            return False
        walltime = self.resources.walltime
        if walltime is not None and (task.walltime or 0.0) > walltime:
            return False
        return self.inventory.could_ever_hold(task)

    def __str__(self) -> str:
        has = self.resources
        memory = float("inf") if has.memory is None else has.memory * float(_MIB)
        parts = [shape_text(self.nodes, has.cores // self.nodes, has.gpus or 0, memory)]
        if has.walltime is not None:
            parts.append(f"walltime {length_text(has.walltime)}")
        if self.accepts:
            parts.append(f"tags {', '.join(self.accepts)} only")
        return f"{self.name} ({', '.join(parts)})"


@functools.lru_cache(maxsize=256)
def _promised(resources: Resources) -> Inventory:
    """Return what a job of these resources has; of many nodes it is long, and asked for often."""
    nodes = resources.nodes or 1
    cores = list(range(resources.cores // nodes))
    gpus = [str(n) for n in range(resources.gpus or 0)]
    memory = None if resources.memory is None else resources.memory * _MIB
    return Inventory([NodeInventory(f"node {n}", cores, gpus, memory) for n in range(nodes)])


def _with_nodes(pool: Pool) -> Resources:
    """Return the resources of a pool's jobs: one process on each node, with as many cores on each."""
    has = pool.resources
    nodes = has.nodes or max(1, has.cores // (has.cores_per_node or has.cores))
    per_node, rest = divmod(has.cores, nodes)
    if rest or not per_node or (has.cores_per_node or per_node) != per_node:
        raise InputError(
            f"pool {pool.name}: cores={has.cores} are not as many on each of {counted(nodes, 'node')}. "
            "Give nodes and cores_per_node, and leave cores out."
        )
    return msgspec.structs.replace(
        has, nodes=nodes, cores_per_node=per_node if nodes > 1 else has.cores_per_node,
        executor_type=EXECUTOR,
    )  # fmt: skip


def check_name(name: object) -> None:
    """Raise InputError for what is no name of a pool."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"name={name!r} of a pool: give 1 to 64 letters, digits, '.', '_' or '-'.")


def check_pool(pool: Pool) -> Pool:
    """Return a checked pool, whose jobs have one process on each node.

    Raises
    ------
    InputError
        Names the argument, what is wrong and what to give.
    """
    check_name(pool.name)
    if pool.max_jobs < 1 or not 0 <= pool.min_jobs <= pool.max_jobs:
        raise InputError(
            f"pool {pool.name}: min_jobs={pool.min_jobs}, max_jobs={pool.max_jobs}: give "
            "0 <= min_jobs <= max_jobs, and max_jobs of at least 1."
        )
    most = pool.batch_size or pool.threshold
    if not (1 <= pool.threshold <= most and (pool.batch_size is None or pool.batch_size >= 1)):
        raise InputError(
            f"pool {pool.name}: batch_size={pool.batch_size}, threshold={pool.threshold}: give "
            "1 <= threshold <= batch_size, or batch_size=None."
        )
    if not pool.idle >= 0:  # so of NaN, too
        raise InputError(f"pool {pool.name}: idle={pool.idle} must be seconds, 0 or more.")
    return msgspec.structs.replace(pool, resources=_with_nodes(pool))


class PoolTable:
    """The pools of a run, by the shape of their jobs: no two have one shape.

    Parameters
    ----------
    pools : mapping of int to Pool

    Attributes
    ----------
    by_shape : dict of int to Pool
        Removed ones too: jobs of them may be left.
    found : dict of int to list of Inventory
        What jobs of each pool have turned out to have, the different ones.
    takes_more : bool
        Pools can be added: this manager submits jobs.
    changed : dict of int to Pool
        Pools to be written to the database; whoever writes them clears this.
    """

    def __init__(self, pools: Mapping[int, Pool] | None = None) -> None:
        self.by_shape = dict(pools or {})
        self.found: dict[int, list[Inventory]] = {}
        self.takes_more = False
        self.changed: dict[int, Pool] = {}

    def write_shapes(self, shapes: list[Resources]) -> None:
        """Put the shapes of the jobs where submits look for them."""
        for shape, pool in sorted(self.by_shape.items()):
            shapes[shape : shape + 1] = [pool.resources]

    def put(self, pool: Pool, shapes: list[Resources]) -> None:
        """Add a pool, or change the settings of the one of its name and shape."""
        known = self.named(pool.name)
        shape = len(shapes) if known is None else known
        self.by_shape[shape] = self.changed[shape] = pool
        self.write_shapes(shapes)

    def remove(self, name: str) -> bool:
        """Let a pool end; whether there was one."""
        shape = self.named(name)
        if shape is not None:
            removed = msgspec.structs.replace(self.by_shape[shape], is_removed=True, min_jobs=0)
            self.by_shape[shape] = self.changed[shape] = removed
        return shape is not None

    def named(self, name: str) -> int | None:
        """Return the shape of the pool of a name that is not removed."""
        for shape, pool in self.by_shape.items():
            if pool.name == name and not pool.is_removed:
                return shape
        return None

    @property
    def active(self) -> dict[int, Pool]:
        """Those that are not removed."""
        return {shape: pool for shape, pool in self.by_shape.items() if not pool.is_removed}

    def note_found(self, shape: int, inventory: Inventory) -> None:
        """A job of a pool has told what it has, on all its nodes."""
        if not inventory.is_complete:
            return  # some have not come yet
        inventory = Inventory(inventory.nodes)  # that of a head changes
        found = self.found.setdefault(shape, [])
        if shape in self.by_shape and not any(one.is_as_large_as(inventory) for one in found):
            found[:] = [one for one in found if not inventory.is_as_large_as(one)]
            found.append(inventory)

    def could_hold(self, task: TaskResources, tag: str) -> bool:
        """Whether a job of some pool can run such a task, as far as is known of its jobs."""
        return any(self.could_hold_in(shape, task, tag) for shape in self.active)

    def could_hold_in(self, shape: int, task: TaskResources, tag: str) -> bool:
        """Whether a job of one pool can: as promised, and as its jobs have turned out to be."""
        found = self.found.get(shape)
        return self.by_shape[shape].could_hold(task, tag) and (
            not found or any(one.could_ever_hold(task) for one in found)
        )

    def describe(self) -> list[str]:
        """Return what the jobs of each pool have: as promised, and as found."""
        return [f"{pool}{self._found_text(shape, pool)}" for shape, pool in self.active.items()]

    def _found_text(self, shape: int, pool: Pool) -> str:
        found = self.found.get(shape)
        if not found or any(one.is_as_large_as(pool.inventory) for one in found):
            return ""
        return f", whose jobs have turned out to have {' or '.join(map(str, found))}"


def no_room(needs: TaskResources, tag: str, has: Iterable[str]) -> str:
    """Say, with the numbers, that nothing can ever run such a task."""
    needed = f"it needs {needs}" + (f" and has the tag {tag!r}" if tag else "")
    there = "; ".join(has) or "none"
    return f"{NO_ROOM}: {needed}; the pools: {there}. Ask for less, or add a pool."
