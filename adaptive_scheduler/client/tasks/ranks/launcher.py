"""Finds the launcher of a node: Slurm's `srun` in its jobs, else `mpiexec`, on several nodes through PBS."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from adaptive_scheduler.client.tasks.messages import Ranks
from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.errors import SchedulerError, TaskError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.schedulers.base import default_mpiexec
from adaptive_scheduler.schedulers.rank_launch import (
    HYDRA_PLACES,
    ONE_NODE,
    TMRSH,
    is_in_slurm,
    launch_environment,
    mpiexec_line,
    own_launcher,
    srun_line,
    srun_settings,
    without_formats,
)

#: Seconds that Slurm may take to say how it is set: the agent waits for it, once.
PATIENCE = 30.0
#: With which MPICH's mpiexec 5.0 ends when the connection to one of its proxies is cut.
_HYDRAS = 255


@dataclass(frozen=True)
class RankLauncher:
    """How ranks are started.

    Attributes
    ----------
    argv : list of str
        What it is to start follows.
    environment : dict of str to str
    has_input : bool
        Whether it passes its standard input on to all ranks. It then ends at a SIGTERM at once, and
        all ranks with it; else it passes that on.
    own_trouble : int
        The status by which it says that it has failed itself, as one of its processes has died; any other
        that it ends with is its ranks'. 0: its status tells nothing of that.
    """

    argv: list[str]
    environment: dict[str, str]
    has_input: bool
    own_trouble: int = 0

    @property
    def name(self) -> str:
        """What it is called."""
        return os.path.basename(self.argv[0])  # noqa: PTH119  a name, no path


def find_launcher(ranks: Ranks, environ: Mapping[str, str], folder: Path) -> RankLauncher:
    """Return what starts ranks from this node.

    Parameters
    ----------
    ranks : Ranks
    environ : mapping
        Of the task.
    folder : Path
        Of the run; all nodes see it.

    Raises
    ------
    TaskError
        There is none.
    """
    nodes = [node.name for node in ranks.nodes]
    environment = without_formats(launch_environment(environ))
    if is_in_slurm(environ):
        srun = _found("srun", environ)
        if srun is None:
            raise TaskError(
                f"srun is not on the PATH of {nodes[0]}; it starts the ranks of a task in a Slurm job. "
                "Add its folder to PATH, for instance in setup= of the scheduler."
            )
        return RankLauncher(
            srun_line(srun, nodes, ranks.per_node, _settings(environ)), environment, has_input=True
        )
    mpiexec = default_mpiexec(sys.executable)[0]
    path = _found(mpiexec, environ)
    if path is None:
        raise TaskError(
            f"mpiexec is not on the PATH of {nodes[0]}, nor beside {sys.executable}; it starts the ranks of "
            "a task. Load MPICH or Intel MPI in setup= of the scheduler, or `pip install mpich`."
        )
    tmrsh = _tmrsh(ranks, environ, folder)
    line = mpiexec_line(path, nodes, ranks.per_node, tmrsh)
    places = HYDRA_PLACES if tmrsh else {**HYDRA_PLACES, **ONE_NODE}
    return RankLauncher(line, {**environment, **places}, has_input=False, own_trouble=_HYDRAS)


def own_environment(ranks: Ranks, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a program that starts its ranks itself. TaskError as above."""
    settings = _settings(environ) if is_in_slurm(environ) else None
    own = own_launcher(len(ranks.nodes), settings, _tmrsh(ranks, environ, folder))
    return {**launch_environment(environ), **own}


def _found(program: str, environ: Mapping[str, str]) -> str | None:
    return shutil.which(program, path=environ.get("PATH", os.defpath))


def _tmrsh(ranks: Ranks, environ: Mapping[str, str], folder: Path) -> str:
    """Where PBS's way to other nodes is; "": there are no others, or Slurm has its own."""
    if len(ranks.nodes) == 1 or is_in_slurm(environ):
        return ""
    if _found("pbs_tmrsh", environ) is None:
        raise TaskError(
            f"pbs_tmrsh is not on the PATH of {ranks.nodes[0].name}; it starts the ranks of a task on other "
            "nodes of a PBS job. Add its folder to PATH in setup= of the scheduler."
        )
    path = folder / "tmrsh"
    if not path.exists():
        files.write_atomically(path, TMRSH.encode(), mode=0o700)
    return str(path)


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    try:
        return srun_settings(_cluster(environ.get("SLURM_CONF", "")), environ)
    except SchedulerError as error:  # it is asked again for the next task
        if "SLURM_MPI_TYPE" in environ:
            return {}
        # without --mpi, each rank might be a world of its own, and compute something else
        raise TaskError(
            f"Slurm does not say how ranks find each other: {str(error).rstrip('.')}. Retry the task when it "
            "answers, or name the way by SLURM_MPI_TYPE (see `srun --mpi=list`) in setup= of the scheduler."
        ) from error


@cache
def _cluster(_conf: str) -> str:
    """How the cluster is set."""
    shown = commands.run(
        ["scontrol", "show", "config"], PATIENCE, env=clean_environment(os.environ)
    )
    if shown.rc:
        raise SchedulerError(f"scontrol show config: {' '.join(shown.stderr.split())}")
    return shown.stdout
