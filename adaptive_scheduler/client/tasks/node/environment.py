"""What a task's process is told by its environment: GPUs, threads, which task it is."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Mapping
from pathlib import Path

from adaptive_scheduler.client.tasks.messages import Slot
from adaptive_scheduler.core import paths
from adaptive_scheduler.core.sweeps.gpu_slots import visible_devices
from adaptive_scheduler.core.tasks.command_spec import CommandStep, fill_later

#: Names the task in the environment of its programs, and of whatever they leave behind.
TASK_VARIABLE = "ADAPTIVE_SCHEDULER_TASK"
#: Names the worker in the environment of what its calls leave behind.
WORKER_VARIABLE = "ADAPTIVE_SCHEDULER_WORKER"
#: Names the node whose agent has started the ranks of a task, in the environment of these.
RANKS_VARIABLE = "ADAPTIVE_SCHEDULER_RANKS"
#: The device of AMD's driver, see "GPU isolation techniques" in the documentation of ROCm.
_AMD = Path("/dev/kfd")
#: AMD's runtime hides GPUs by the first of these, and counts those that are left anew for the others:
#: with the same number in two of them, a task on the second GPU would have none.
_ROCM = "ROCR_VISIBLE_DEVICES"
_ABOVE_ROCM = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS", "JULIA_NUM_THREADS",
)  # fmt: skip


def slot_environment(
    slot: Slot, environment: Mapping[str, str], *, is_amd: bool | None = None
) -> dict[str, str]:
    """Return an environment with the GPUs and threads of a slot.

    Parameters
    ----------
    slot : Slot
        Without GPUs it has none to use; with `gpus` None nothing is known of any, and nothing said.
    environment : mapping of str to str
        Of the job.
    is_amd : bool, optional
        Whether the GPUs are AMD's; default: look.
    """
    new = {**environment, **dict.fromkeys(_THREADS, str(slot.threads))}
    if slot.gpus is None:
        return new
    gpus = visible_devices(slot.gpus)
    above = dict.fromkeys(_ABOVE_ROCM, gpus)
    if _AMD.exists() if is_amd is None else is_amd:
        new = {name: value for name, value in new.items() if name not in above}
        return {**new, _ROCM: gpus}
    return {**new, **above, _ROCM: gpus, "ZE_AFFINITY_MASK": gpus}


def node_name(environment: Mapping[str, str]) -> str:
    """Return by what processes of this node are known."""
    return environment.get(paths.NODE_VARIABLE) or socket.gethostname()


def owner_of(environment: Mapping[str, str]) -> str:
    """Return whose the files of an agent's tasks are, whichever of the agents of its node it is."""
    return f"{environment.get(paths.JOB_VARIABLE, '')} {node_name(environment)}"


def marks_of(environment: Mapping[str, str], marks: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which processes of this job are known, with others: see `end_marked`."""
    job = environment.get(paths.JOB_VARIABLE)
    return {**marks, **({paths.JOB_VARIABLE: job} if job else {})}


def placeholders(slot: Slot, hosts: str, attempt: int) -> dict[str, str]:
    """Return what only the node knows of a command's placeholders."""
    return {"_gpus": visible_devices(slot.gpus or ()), "_hosts": hosts, "_attempt": str(attempt)}


def argv_of(step: CommandStep, values: Mapping[str, str]) -> list[str]:
    """Return the argument list of a step, with the values of its node."""
    if step.argv:
        return [fill_later(one, values, str) for one in step.argv]
    return [step.shell, "-c", fill_later(step.text, values, shlex.quote)]
