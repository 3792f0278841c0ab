"""Which nodes the job of this process has, and the commands that start a program on them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.core.paths import JOB_VARIABLE, NODE_VARIABLE
from adaptive_scheduler.schedulers.slurm.states import expand_nodes

#: What says whose process a launcher is, for whoever looks.
_OF_LAUNCHER = ("SLURM_JOB_ID", JOB_VARIABLE, NODE_VARIABLE)
#: Variables without which Python may not start; PBS passes none on.
_FOR_PYTHON = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")


@dataclass(frozen=True)
class NodeLauncher:
    """A command that starts a program on nodes, and ends when it has ended on all.

    Attributes
    ----------
    nodes : tuple of str
    argv : tuple of str
    environ : dict of str to str
        Of the command.
    """

    nodes: tuple[str, ...]
    argv: tuple[str, ...]
    environ: dict[str, str]


def nodes_of_job(environ: Mapping[str, str]) -> list[str]:
    """Names of the nodes of the job of this process, that of this process first; [] outside of a job.

    SLURM_JOB_NODELIST: "List of nodes allocated to the job" (sbatch(1)); the batch script runs on
    the first. PBS_NODEFILE has a line for each process that was asked for, the first host's first.
    """
    names = list(expand_nodes(environ.get("SLURM_JOB_NODELIST", "")))
    if "SLURM_JOB_ID" not in environ:
        names = []
        with suppress(OSError):
            names = Path(environ.get("PBS_NODEFILE", "")).read_text().split()
    own = environ.get("SLURMD_NODENAME", "")
    return list(dict.fromkeys([own, *names] if own in names else names))


def launchers(
    environ: Mapping[str, str], nodes: Sequence[str], program: Sequence[str]
) -> list[NodeLauncher]:
    """Return the commands that start a program on other nodes of the job of this process.

    Parameters
    ----------
    environ : mapping of str to str
    nodes : sequence of str
    program : sequence of str
        On PBS it is told the node's name as its last argument; on SLURM SLURMD_NODENAME has it.
    """
    if "SLURM_JOB_ID" in environ:
        return [_by_srun(environ, nodes, program)]
    return [_by_tmrsh(environ, node, program) for node in nodes]


def _by_srun(
    environ: Mapping[str, str], nodes: Sequence[str], program: Sequence[str]
) -> NodeLauncher:
    """One step on all nodes: it shares their cores, and lives on when one of them is lost.

    The variables of the job that srun would take for its own options are left out (SLURM_MEM_PER_CPU
    beside --mem is an error).
    """
    n = len(nodes)
    argv = (
        "srun", f"--jobid={environ['SLURM_JOB_ID']}", "--overlap", "--kill-on-bad-exit=0", "--no-kill",
        f"--nodes={n}", f"--ntasks={n}", "--ntasks-per-node=1", f"--nodelist={','.join(nodes)}",
        "--cpu-bind=none", "--mem=0", "--input=none", "--export=ALL", "--mpi=none",
        "--job-name=adaptive_scheduler.nodes", *program,
    )  # fmt: skip
    kept = {name: environ[name] for name in _OF_LAUNCHER if name in environ}
    return NodeLauncher(tuple(nodes), argv, {**clean_environment(environ), **kept})


def _by_tmrsh(environ: Mapping[str, str], node: str, program: Sequence[str]) -> NodeLauncher:
    """PBS's own program; it passes on no environment, and runs no shell that takes quotes off."""
    exports = [
        f"export {name}={shlex.quote(environ[name])}; " for name in _FOR_PYTHON if name in environ
    ]
    text = f"{''.join(exports)}exec {shlex.join([*program, node])}"
    return NodeLauncher((node,), ("pbs_tmrsh", node, "/bin/sh", "-c", text), dict(environ))
