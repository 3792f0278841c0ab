"""The slots of a sweep: what its file says of GPUs, as resources of tasks and jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from adaptive_scheduler.core.suggestions import keys_instead
from adaptive_scheduler.core.tasks.resources import TaskResources, check_resources
from adaptive_scheduler.errors import InputError

_FORMS = (
    '`resource: [0, 1]` (two slots of one GPU), `["0,1"]` (one of two GPUs), or `{gpus_per_node: 4, '
    "gpus_per_task: 1, cores_per_task: 8}`"
)


class NodeShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Resources of jobs, and of the tasks in them.

    Attributes
    ----------
    nodes : int
        Of each job.
    cores_per_node : int, optional
    gpus_per_node : int
    gpus_per_task, cores_per_task, memory_per_task
        What a task has on each of its nodes.
    nodes_per_task : int
    ranks_per_node : int, optional
        Processes of a task on each of its nodes: its command is started so often. None: once, on
        the first one.
    """

    nodes: int = 1
    cores_per_node: int | None = None
    gpus_per_node: int = 0
    gpus_per_task: float = 0
    cores_per_task: int = 1
    memory_per_task: str | None = None
    nodes_per_task: int = 1
    ranks_per_node: int | None = None

    @property
    def task(self) -> TaskResources:
        """What one command occupies."""
        ranks = self.ranks_per_node or 1
        return check_resources(
            nodes=self.nodes_per_task, ranks_per_node=ranks,
            threads_per_rank=self.cores_per_task // ranks,
            gpus_per_rank=self.gpus_per_task / ranks if ranks > 1 else self.gpus_per_task,
            memory=self.memory_per_task,
        )  # fmt: skip

    @property
    def cores(self) -> int:
        """Cores of a node: those of all tasks that have a GPU there, unless it is given."""
        tasks = int(self.gpus_per_node / self.gpus_per_task) if self.gpus_per_task else 1
        return self.cores_per_node or self.cores_per_task * max(1, tasks)


def read_resource(found: Any) -> list[str] | NodeShape | None:
    """Return the GPUs of each slot, or the shape of nodes; None: nothing is said.

    Raises
    ------
    InputError
        It is neither.
    """
    if found is None:
        return None
    if isinstance(found, dict):
        return _shape(found)
    listed = found if isinstance(found, list) else [found]
    if not listed:
        raise InputError(f"resource: an empty list has no slot. Write {_FORMS}.")
    return [_devices(one) for one in listed]


def _devices(one: Any) -> str:
    if isinstance(one, list) and one:
        return _devices(",".join(map(_devices, one)))
    if (
        isinstance(one, bool)
        or not isinstance(one, int | str)
        or (isinstance(one, int) and one < 0)
    ):
        raise InputError(f"resource: {one!r} is no GPU. Write {_FORMS}.")
    text = str(one).strip()
    parts = [part.strip() for part in text.split(",")]
    if text and (not all(parts) or len(set(parts)) < len(parts)):
        raise InputError(f"resource: {text!r} has an empty number, or one twice. Write {_FORMS}.")
    return text


def _shape(found: dict[Any, Any]) -> NodeShape:
    known = NodeShape.__struct_fields__
    for key in found:
        if key not in known:
            raise InputError(f"resource: there is no {key}.{keys_instead(str(key), known)}")
    try:
        shape = msgspec.convert(found, NodeShape)
    except msgspec.ValidationError as error:
        raise InputError(f"resource: {error}.") from error
    numbers = [shape.nodes, shape.nodes_per_task, shape.cores_per_task, shape.gpus_per_node + 1]
    given = [one for one in (shape.cores_per_node, shape.ranks_per_node) if one is not None]
    if min(numbers + given) < 1:
        raise InputError(f"resource: {found} must have numbers of at least 1.")
    _check_nodes(shape)
    if shape.gpus_per_node and not shape.task.gpus_per_rank:
        raise InputError(
            f"resource: gpus_per_node: {shape.gpus_per_node}: no command would get a GPU. Give gpus_per_task, too."
        )
    if shape.gpus_per_task > shape.gpus_per_node or shape.cores_per_task > shape.cores:
        raise InputError(
            f"resource: a task needs {shape.task}, but a node has {shape.cores} cores and "
            f"{shape.gpus_per_node} GPUs, so that none could ever begin."
        )
    return shape


def _check_nodes(shape: NodeShape) -> None:
    """Raise InputError if a task has more nodes than a job, or its ranks have no equal shares."""
    if shape.nodes_per_task > shape.nodes:
        raise InputError(
            f"resource: a task has {shape.nodes_per_task} nodes (nodes_per_task), but a job only "
            f"{shape.nodes} (nodes): give nodes: {shape.nodes_per_task}, or a multiple of it."
        )
    ranks = shape.ranks_per_node or 1
    if shape.cores_per_task % ranks:
        raise InputError(
            f"resource: {shape.cores_per_task} cores (cores_per_task) cannot be shared by {ranks} ranks "
            f"(ranks_per_node): give cores_per_task: {ranks}, or a multiple of it."
        )


def missing_gpus(devices: Sequence[str], present: Collection[str]) -> list[str]:
    """Return the numbers of GPUs that slots name and the machine does not have.

    Parameters
    ----------
    devices : sequence of str
        Of each slot.
    present : collection of str
        Empty: not known.
    """
    named = {one.strip() for slot in devices for one in slot.split(",")}
    numbers = {one for one in named if one.isdecimal()}
    return sorted(numbers - set(present)) if present else []


def share(cores: int, slots: int) -> int:
    """Cores for each slot of a machine."""
    return max(1, cores // slots)


def as_shape(devices: Sequence[str]) -> NodeShape:
    """Return the shape of a job with slots like these.

    Raises
    ------
    InputError
        They differ, so that no job can be asked for.
    """
    sizes = {len(slot.split(",")) if slot else 0 for slot in devices}
    times = set(Counter(one for slot in devices if slot for one in slot.split(",")).values())
    if len(sizes) > 1 or len(times) > 1 or (times != {1} and max(sizes) > 1):
        raise InputError(
            f"resource: {list(devices)} has slots of different kinds, for which no job can be asked. "
            f"Write {_FORMS}."
        )
    size, several = sizes.pop(), max(times, default=1)
    gpus = size if several == 1 else 1 / several
    cores = len(devices)
    return NodeShape(1, cores, len(devices) * size // several, gpus)
