"""Variables by which processes are known, and those of GPUs and threads.

Each rank of a task imports this: nothing that takes long.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

#: Names the task in the environment of its programs, and of whatever they leave behind.
TASK_VARIABLE = "ADAPTIVE_SCHEDULER_TASK"
#: Names the worker in the environment of what its calls leave behind.
WORKER_VARIABLE = "ADAPTIVE_SCHEDULER_WORKER"
#: Names the node whose agent has started the ranks of a task, in the environment of these.
RANKS_VARIABLE = "ADAPTIVE_SCHEDULER_RANKS"
#: The device of AMD's driver, see "GPU isolation techniques" in the documentation of ROCm.
_AMD = "/dev/kfd"
#: AMD's runtime hides GPUs by the first of these, and counts those that are left anew for the others:
#: with the same number in two of them, a task on the second GPU would have none.
_ROCM = "ROCR_VISIBLE_DEVICES"
_ABOVE_ROCM = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS", "JULIA_NUM_THREADS",
)  # fmt: skip


def with_devices(
    environment: Mapping[str, str], gpus: str | None, threads: int, *, is_amd: bool | None = None
) -> dict[str, str]:
    """Return an environment with GPUs and threads.

    Parameters
    ----------
    environment : mapping of str to str
    gpus : str or None
        As ``CUDA_VISIBLE_DEVICES`` takes them; None: nothing is known of any, and nothing said.
    threads : int
    is_amd : bool, optional
        Whether the GPUs are AMD's; default: look.
    """
    new = {**environment, **dict.fromkeys(_THREADS, str(threads))}
    if gpus is None:
        return new
    above = dict.fromkeys(_ABOVE_ROCM, gpus)
    if os.path.exists(_AMD) if is_amd is None else is_amd:  # noqa: PTH110  pathlib takes long
        new = {name: value for name, value in new.items() if name not in above}
        return {**new, _ROCM: gpus}
    return {**new, **above, _ROCM: gpus, "ZE_AFFINITY_MASK": gpus}
