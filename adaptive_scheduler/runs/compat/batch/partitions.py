"""The partitions of this cluster, and what their nodes have: sinfo's answer as a dict."""

from __future__ import annotations

import re
from typing import Any

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.errors import CommandMissingError, InputError, SchedulerError
from adaptive_scheduler.io.system import commands

#: Separates fields: names of partitions may contain blanks.
FIELD = "\x1f"
#: sinfo(1), --format: partition (the default one has a star), CPUs of its nodes (``8`` or ``8+``).
FORMAT = FIELD.join(("%P", "%c"))


def slurm_partitions(
    *, timeout: float = 5, with_ncores: bool = True
) -> list[str] | dict[str, int | None]:
    """Return the partitions of this cluster, the default one first.

    Parameters
    ----------
    timeout : float
        Seconds that sinfo may take.
    with_ncores : bool
        With the cores of their nodes; of nodes of several sizes those of the smallest, which all have.

    Returns
    -------
    dict of str to int or None, or list of str
        Empty where there is no Slurm.

    Raises
    ------
    SchedulerError
        Slurm does not answer.
    """
    try:
        answer = commands.run(["sinfo", "--noheader", f"--format={FORMAT}"], timeout)
    except CommandMissingError:
        return {} if with_ncores else []
    found = parse_partitions(answer)
    return found if with_ncores else list(found)


def parse_partitions(answer: CommandResult) -> dict[str, int | None]:
    """Return partitions and cores of sinfo's answer; SchedulerError if it has none."""
    if answer.rc != 0:
        said = " ".join((answer.stderr.strip() or answer.stdout.strip()).split())
        raise SchedulerError(f"sinfo (exit status {answer.rc}): {said}. Try again later.")
    rows = [line.split(FIELD) for line in answer.stdout.splitlines() if FIELD in line]
    rows.sort(key=lambda row: not row[0].endswith("*"))
    found: dict[str, int | None] = {}
    for name, cores in rows:
        number = re.match(r"\d+", cores)
        least = [n for n in (found.get(name.removesuffix("*")), number and int(number[0])) if n]
        found[name.removesuffix("*")] = min(least) if least else None
    return found


def default_partition() -> str:
    """Return the name of the default partition; InputError if this is no Slurm cluster."""
    return next(iter(_known()))


def refuse_unknown(partition: Any) -> None:
    """Raise InputError if a partition is named that sinfo does not list; not if nobody can be asked."""
    try:
        known = slurm_partitions(timeout=30)
    except SchedulerError:
        return
    some = partition if isinstance(partition, tuple) else (partition,)
    for one in some if known else ():
        # several of them, at the user's choice, are one name for sbatch
        missing = (
            [name for name in one.split(",") if name not in known] if isinstance(one, str) else []
        )
        if missing:
            raise InputError(f"partition={one!r} is not there. sinfo lists {', '.join(known)}.")


def cores_of(partition: str) -> int:
    """Return the cores of a partition's nodes.

    Raises
    ------
    InputError
        There is none of this name, or sinfo does not know its cores.
    """
    known = _known()
    if partition not in known:
        raise InputError(f"partition={partition!r} is not there. sinfo lists {', '.join(known)}.")
    cores = known[partition]
    if cores is None:
        raise InputError(f"sinfo does not know the cores of {partition!r}: give cores_per_node=...")
    return cores


def _known() -> dict[str, int | None]:
    found = slurm_partitions(timeout=30)
    if not found:
        raise InputError(
            "This host has no Slurm (sinfo is not on PATH, or lists no partition), so partition=... and "
            "cores_per_node=... must be given."
        )
    assert isinstance(found, dict)
    return found
