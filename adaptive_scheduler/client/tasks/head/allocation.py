"""What a job, or this machine, has for tasks: numbers of cores and GPUs, memory."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from adaptive_scheduler.core.tasks.place import NodeInventory

#: Variables that name the GPUs of a job, the most binding one first. CUDA's own comes first: it is
#: what programs obey. SLURM_JOB_GPUS: "The global GPU IDs of the GPUs allocated to this job"
#: (sbatch(1), OUTPUT ENVIRONMENT VARIABLES); SLURM_STEP_GPUS: the same of a step (srun(1)).
GPU_VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS",
    "GPU_DEVICE_ORDINAL",
)  # fmt: skip
#: Other variables whose values are those of one node.
OF_NODE = (
    "SLURMD_NODENAME", "SLURM_CPUS_ON_NODE", "NCPUS", "PBS_NODENUM", "PBS_TASKNUM", "PBS_MOMPORT",
    "TMPDIR",
)  # fmt: skip
#: What batch systems write there if a job has no GPU.
_NO_GPUS = ("", "-1", "NoDevFiles")
_MIB = 2**20


def this_machine(slots: int | None = None, gpus: list[str] | None = None) -> NodeInventory:
    """What this machine has for this process.

    Parameters
    ----------
    slots : int, optional
        Cores; more than there are cannot be bound, and are only counted.
    gpus : list of str, optional
    """
    cores = sorted(os.sched_getaffinity(0))
    if slots is not None:
        cores = cores[:slots] if slots <= len(cores) else counted_cores(slots)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return NodeInventory(socket.gethostname(), cores, gpus or [], memory)


def of_allocation(
    environ: Mapping[str, str], slots: int | None = None, gpus: list[str] | None = None
) -> NodeInventory:
    """What this process has for tasks: of its allocation if it is in one, else of this machine.

    Parameters
    ----------
    environ : mapping
        Environment variables.
    slots : int, optional
        Cores.
    gpus : list of str, optional
        Default: those of the allocation; on a machine without a batch system none, as nobody has
        said to whom they belong.
    """
    if not any(environ.get(name) for name in ("SLURM_JOB_ID", "PBS_JOBID")):
        return this_machine(slots, gpus)
    node = of_job(environ, slots or cores_of(environ, len(os.sched_getaffinity(0))))
    return msgspec.structs.replace(node, gpus=gpus or node.gpus)


def allocation_left(environ: Mapping[str, str], now: float) -> float | None:
    """Seconds until the allocation of this process ends; None: it is in none, or nobody says.

    SLURM_JOB_END_TIME: "The UNIX timestamp for a job's projected end time" (salloc(1), sbatch(1)).

    Parameters
    ----------
    environ : mapping
    now : float
        Seconds since 1970.
    """
    text = environ.get("SLURM_JOB_END_TIME", "")
    return max(0.0, int(text) - now) if text.isdecimal() else None


def of_job(environ: Mapping[str, str], cores: int) -> NodeInventory:
    """What the job of this process has on its node.

    Parameters
    ----------
    environ : mapping
        Environment variables, as the batch system has set them.
    cores : int
        That the job asked for.
    """
    mine = sorted(os.sched_getaffinity(0))
    name = environ.get("SLURMD_NODENAME") or socket.gethostname()
    n = cores_of(environ, cores)
    # a process that may use more than its job has is not bound by the batch system: which of these
    # cores are the job's nobody knows, and binding tasks to the first ones would let two jobs share them
    # the local batch system only counts; and a node that claims more cores than its machine has is a fake
    is_fake = "LOCALBATCH_JOB_ID" in environ or n > (os.cpu_count() or 1)
    is_bound = len(mine) <= n and not is_fake
    numbers = mine if is_bound else counted_cores(n)
    return NodeInventory(name, numbers, gpus_of(environ), memory_of(environ, len(numbers)))


def counted_cores(n: int) -> list[int]:
    """Return numbers that no core has, so that nothing is bound to one."""
    first = os.cpu_count() or 1
    return list(range(first, first + n))


def are_bound(node: NodeInventory) -> bool:
    """Whether its cores are real ones."""
    return not node.cores or node.cores[0] < (os.cpu_count() or 1)


def cores_of(environ: Mapping[str, str], asked: int) -> int:
    """How many cores the job has on this node.

    SLURM_CPUS_ON_NODE: "Number of CPUs allocated to the batch step" (sbatch(1)); NCPUS: PBS's number
    of the job's chunk on this node (PBS Professional reference guide, environment variables). More than
    were asked for are whole nodes' or whole cores' worth: the job is given them, but did not ask.
    """
    for name in ("SLURM_CPUS_ON_NODE", "NCPUS"):
        text = environ.get(name, "")
        if text.isdigit() and int(text):
            return min(asked, int(text))
    return asked


def gpus_of(environ: Mapping[str, str]) -> list[str]:
    """Return the GPUs of the job on this node."""
    for name in GPU_VARIABLES:
        if name in environ:
            text = environ[name].strip()
            return [] if text in _NO_GPUS else _listed(text)
    with suppress(OSError):
        # PBS Professional (cgroups hook) and Torque: a line for each GPU, HOST-gpuNUMBER
        lines = Path(environ.get("PBS_GPUFILE", "")).read_text().split()
        host = socket.gethostname().split(".")[0]
        mine = [line for line in lines if line.split("-gpu")[0].split(".")[0] == host]
        return [line.rpartition("-gpu")[2] for line in mine if "-gpu" in line]
    return []


def _listed(text: str) -> list[str]:
    """Read ``0,1``, ``0-3`` or ``GPU-uuid,GPU-uuid``."""
    found: list[str] = []
    for part in text.split(","):
        span = re.fullmatch(r"(\d+)-(\d+)", part.strip())
        if span:
            found += [str(n) for n in range(int(span[1]), int(span[2]) + 1)]
        elif part.strip():
            found.append(part.strip())
    return list(dict.fromkeys(found))


def memory_of(environ: Mapping[str, str], cores: int) -> int | None:
    """Bytes of memory that the job has on this node; None: not known.

    SLURM_MEM_PER_NODE and SLURM_MEM_PER_CPU are in MiB (sbatch(1), ``--mem`` and ``--mem-per-cpu``);
    0 is all of the node's.
    """
    per_node, per_core = environ.get("SLURM_MEM_PER_NODE", ""), environ.get("SLURM_MEM_PER_CPU", "")
    if per_node.isdigit() and int(per_node):
        return int(per_node) * _MIB
    if per_core.isdigit() and int(per_core):
        return int(per_core) * cores * _MIB
    return None
