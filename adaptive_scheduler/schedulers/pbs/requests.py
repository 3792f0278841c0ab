"""Formats what is requested from PBS: job names, chunks, ranges of subjobs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from adaptive_scheduler.core.jobs.batch_jobs import Host, JobId
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import InputError

LONGEST_NAME = 230
_SUBJOB = re.compile(r"(?P<number>\d+)\[(?P<index>\d+)\](?P<server>\..+)")


def name(name: str) -> str:
    """Return a name that ``-N`` accepts: letters, digits, ``_ . + -``, at most 230 of them."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:LONGEST_NAME].lstrip("-") or "job"


def clock(walltime: int) -> str:
    """Return a walltime as ``HH:MM:SS``; PBS does not accept days."""
    return f"{walltime // 3600:02d}:{walltime // 60 % 60:02d}:{walltime % 60:02d}"


def select(resources: Resources, hosts: Sequence[Host] = ()) -> str:
    """Return the chunks of a job: ``2:ncpus=4:mpiprocs=4:ompthreads=1+1:ncpus=3:...``."""
    memory = resources.memory
    is_spread = is_free(resources) and not _fits_a_host(resources, hosts)
    if is_spread and memory is not None:
        memory = math.ceil(memory / resources.cores)
    extra = f":ompthreads={resources.num_threads}"  # otherwise PBS sets OMP_NUM_THREADS to ncpus
    extra += f":mem={memory}mb" if memory is not None else ""
    extra += f":ngpus={resources.gpus}" if resources.gpus is not None else ""
    chunks = []
    for count, cores in [(resources.cores, 1)] if is_spread else _chunks(resources):
        ranks = 1 if resources.is_single_process else cores
        chunks.append(f"{count}:ncpus={cores}:mpiprocs={ranks}{extra}")
    return "+".join(chunks)


def _chunks(resources: Resources) -> list[tuple[int, int]]:
    """Return pairs (number of chunks, cores of each); each chunk is on a host of its own."""
    cores, nodes = resources.cores, resources.nodes
    if resources.is_single_process and nodes:  # of a pool's job: as much on each
        return [(nodes, resources.cores_on_each)]
    if resources.is_single_process or not (nodes or resources.cores_per_node):
        return [(1, cores)]
    if nodes is None:
        full, rest = divmod(cores, resources.cores_per_node or cores)
        return [(n, c) for n, c in ((full, resources.cores_per_node or cores), (1, rest)) if n * c]
    if nodes > cores:
        raise InputError(f"nodes={nodes} are more than cores={cores}: each node needs a core.")
    each, more = divmod(cores, nodes)
    return [(n, c) for n, c in ((more, each + 1), (nodes - more, each)) if n]


def is_free(resources: Resources) -> bool:
    """Whether the user has left it open how the cores are spread."""
    tied = resources.nodes or resources.cores_per_node or resources.gpus
    return not (tied or resources.is_single_process)


def _fits_a_host(resources: Resources, hosts: Sequence[Host]) -> bool:
    """Whether the whole job fits on one host of the queue, when that host is empty.

    A host that belongs to a queue runs jobs of that queue only.
    """
    queue = (resources.partition or "").partition("@")[0]
    own = [host for host in hosts if queue and host.queue == queue]
    return any(
        host.cores >= resources.cores
        and (host.memory is None or host.memory >= (resources.memory or 0))
        for host in own or [host for host in hosts if not host.queue]
    )


def place(resources: Resources, hosts: Sequence[Host] = ()) -> str:
    """Return the value of ``-l place=``: chunks on different hosts, unless that was left open."""
    arrangement = "scatter"
    if is_free(resources):
        arrangement = "pack" if _fits_a_host(resources, hosts) else "free"
    return f"{arrangement}:exclhost" if resources.exclusive else arrangement


def ranges(jobs: Sequence[JobId]) -> list[str]:
    """Shorten a list of ids: ``7[1].vm 7[2].vm 7[5].vm`` to ``7[1-2].vm 7[5].vm``."""
    ids: list[str] = []
    arrays: dict[tuple[str, str], set[int]] = {}
    for job in dict.fromkeys(jobs):
        match = _SUBJOB.fullmatch(job)
        if match is None:
            ids.append(job)
        else:
            arrays.setdefault((match["number"], match["server"]), set()).add(int(match["index"]))
    for (number, server), found in arrays.items():
        indices = sorted(found)
        gaps = [place for place, (a, b) in enumerate(pairwise(indices), 1) if b != a + 1]
        for first, last in pairwise([0, *gaps, len(indices)]):
            a, b = indices[first], indices[last - 1]
            ids.append(f"{number}[{a}]{server}" if a == b else f"{number}[{a}-{b}]{server}")
    return ids
