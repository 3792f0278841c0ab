"""What a task's process is told by its environment: GPUs, threads, which task it is."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Mapping

from adaptive_scheduler.client.tasks.messages import Slot
from adaptive_scheduler.client.tasks.node.variables import with_devices
from adaptive_scheduler.core import paths
from adaptive_scheduler.core.sweeps.gpu_slots import visible_devices
from adaptive_scheduler.core.tasks.command_spec import CommandStep, fill_later


def slot_environment(slot: Slot, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with the GPUs and threads of a slot.

    Parameters
    ----------
    slot : Slot
        Without GPUs it has none to use; with `gpus` None nothing is known of any, and nothing said.
    environment : mapping of str to str
        Of the job.
    """
    return with_devices(environment, gpus_of(slot), slot.threads)


def gpus_of(slot: Slot) -> str | None:
    """Return what programs are told of their GPUs; None: nothing is known of any."""
    return None if slot.gpus is None else visible_devices(slot.gpus)


def node_name(environment: Mapping[str, str]) -> str:
    """Return by what processes of this node are known."""
    return environment.get(paths.NODE_VARIABLE) or socket.gethostname()


def owner_of(environment: Mapping[str, str]) -> str:
    """Return whose the files of an agent's tasks are, whichever of the agents of its node it is."""
    return f"{environment.get(paths.JOB_VARIABLE, '')} {node_name(environment)}"


def marks_of(environment: Mapping[str, str], marks: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which processes of this job are known, with others: see `end_marked`.

    Two clusters may both have a job of its number on this machine.
    """
    of_job = (paths.RUN_VARIABLE, paths.JOB_VARIABLE)
    return {**marks, **{name: environment[name] for name in of_job if environment.get(name)}}


def placeholders(slot: Slot, hosts: str, attempt: int) -> dict[str, str]:
    """Return what only the node knows of a command's placeholders."""
    return {"_gpus": visible_devices(slot.gpus or ()), "_hosts": hosts, "_attempt": str(attempt)}


def argv_of(step: CommandStep, values: Mapping[str, str]) -> list[str]:
    """Return the argument list of a step, with the values of its node."""
    if step.argv:
        return [fill_later(one, values, str) for one in step.argv]
    return [step.shell, "-c", fill_later(step.text, values, shlex.quote)]
