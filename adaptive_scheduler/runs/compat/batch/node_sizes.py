"""Refuses jobs that no node of their partition can hold: Slurm never takes them, and their tasks would wait for ever."""

from __future__ import annotations

from collections.abc import Iterable

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import InputError, SchedulerError
from adaptive_scheduler.io.system import commands

#: sinfo(1), --format: CPUs and MiB of a node.
FORMAT = "%c %m"
#: Options after which the job's nodes may be others than those of `partition`, or be shared.
_ELSEWHERE = ("-p", "--partition", "-M", "--cluster", "-O", "--overcommit", "-s", "--oversubscribe")
#: Seconds that sinfo may take; a refusal is worth no more.
PATIENCE = 10.0


def refuse_too_large(shapes: Iterable[Resources]) -> None:
    """Raise InputError for a job that fits on no node of its partition, with both numbers.

    Where Slurm does not say how large its nodes are, nothing is refused.
    """
    known: dict[str, tuple[int, int]] = {}
    for shape in shapes:
        partition = shape.partition
        if not partition or any(one.startswith(_ELSEWHERE) for one in shape.extra_scheduler):
            continue
        if partition not in known:
            known[partition] = _largest(partition)
        if fault := too_large(shape, *known[partition]):
            raise InputError(f"{fault} Nothing was started.")


def too_large(shape: Resources, cores: int, memory: int) -> str:
    """Say why a job fits on no node whose largest have so many cores and MiB; "" if it may, or they are 0."""
    where = f"partition {shape.partition!r}: its largest node has"
    asked = shape.cores_per_node or (
        shape.cores_on_each if shape.nodes or shape.is_single_process else 1
    )
    if 0 < cores < asked:
        return (
            f"{where} {cores} cores, and a job asks for {asked} on one node. Give a smaller "
            "cores_per_node=, or another partition=."
        )
    if 0 < memory < (shape.memory or 0):
        return (
            f"{where} {memory} MiB of memory, and a job asks for {shape.memory}. Give a smaller "
            "memory=, or another partition=."
        )
    return ""


def _largest(partition: str) -> tuple[int, int]:
    command = ["sinfo", "--noheader", "--Node", f"--partition={partition}", f"--format={FORMAT}"]
    try:
        return parse_largest(commands.run(command, PATIENCE))
    except SchedulerError:  # it is not there, or cannot be started now
        return 0, 0


def parse_largest(answer: CommandResult) -> tuple[int, int]:
    """Return the most CPUs and MiB of sinfo's nodes; 0 where it does not say."""
    rows = [line.split() for line in answer.stdout.splitlines()] if answer.rc == 0 else []
    numbers = [
        [int(word.rstrip("+")) for word in row if word.rstrip("+").isdigit()] for row in rows
    ]
    pairs = [row for row in numbers if len(row) == len(FORMAT.split())]
    return max((row[0] for row in pairs), default=0), max((row[1] for row in pairs), default=0)
