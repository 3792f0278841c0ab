"""How the ranks of a program are started on nodes of a job: the command lines of `srun` and `mpiexec`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adaptive_scheduler.core.clean_environment import clean_environment

#: By what `srun` and `pbs_tmrsh` find their job. All else that a batch system has set, and whatever
#: launcher has started the agent, would be taken for options of the new step, or for its ranks.
OF_JOB = (
    "SLURM_JOB_ID", "PBS_JOBID", "PBS_NODEFILE", "PBS_JOBCOOKIE", "PBS_MOMPORT", "PBS_NODENUM",
    "PBS_TASKNUM",
)  # fmt: skip
#: Of this package: by them, processes of a job and of a task are known.
_OURS = ("ADAPTIVE_SCHEDULER_", "LOCALBATCH_")
#: For Hydra, in place of `ssh`: the way to another node that PBS has. As it is given the command as
#: one text, a shell has to take it apart. Tried on a real OpenPBS.
TMRSH = '#!/bin/sh\nhost=$1\nshift\nexec pbs_tmrsh "$host" /bin/sh -c "$*"\n'


def is_in_slurm(environ: Mapping[str, str]) -> bool:
    """Whether this process runs on a node of a Slurm job: in an `salloc`, it may run elsewhere."""
    return bool(environ.get("SLURM_JOB_ID") and environ.get("SLURMD_NODENAME"))


def launch_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a launcher: that of a job, without any step of it."""
    kept = {
        name: value for name, value in environ.items() if name in OF_JOB or name.startswith(_OURS)
    }
    return {**clean_environment(environ), **kept}


def srun_line(program: str, nodes: Sequence[str], per_node: int, mpi: str = "") -> list[str]:
    """Return how `srun` is called; what it is to start follows.

    Not ``--exact``: then Slurm would choose the cores, the same ones for each step that overlaps,
    where it confines steps to theirs. "By default, all non-GRES resources on each node in the step
    allocation will be used" (srun(1)); each rank binds itself to its own.

    Parameters
    ----------
    program : str
    nodes : sequence of str
    per_node : int
        Ranks.
    mpi : str
        For ``--mpi``; "": as Slurm is set.
    """
    n = len(nodes)
    return [
        program, "--overlap", "--mem=0", "--cpu-bind=none", "--kill-on-bad-exit=1", "--quiet",
        *([f"--mpi={mpi}"] if mpi else []), f"--nodes={n}", f"--ntasks={n * per_node}",
        f"--ntasks-per-node={per_node}", f"--nodelist={','.join(nodes)}",
    ]  # fmt: skip


def mpiexec_line(program: str, nodes: Sequence[str], per_node: int, tmrsh: str = "") -> list[str]:
    """Return how Hydra's `mpiexec` (MPICH, Intel MPI) is called; what it is to start follows.

    Parameters
    ----------
    program : str
    nodes : sequence of str
    per_node : int
        Ranks.
    tmrsh : str
        File with `TMRSH`; "": all is on this machine.
    """
    n = ["-n", str(len(nodes) * per_node)]
    if not tmrsh:
        return [program, "-launcher", "fork", *n]
    way = ["-launcher", "rsh", "-launcher-exec", tmrsh]
    return [program, *way, "-hosts", ",".join(nodes), "-ppn", str(per_node), *n]


def own_launcher(environ: Mapping[str, str], n_nodes: int, tmrsh: str = "") -> dict[str, str]:
    """Return variables for a program that calls `srun` or `mpiexec` itself.

    `srun` is to share the job with other steps (srun(1), INPUT ENVIRONMENT VARIABLES), and Hydra to
    find the way to other nodes (its ``-launcher``).

    Parameters
    ----------
    environ : mapping
    n_nodes : int
    tmrsh : str
        File with `TMRSH`, in a job of PBS.
    """
    found = {}
    if is_in_slurm(environ):
        found = {"SLURM_OVERLAP": "1", "SLURM_MEM_PER_NODE": "0", "SLURM_CPU_BIND": "none"}
    if n_nodes == 1:
        return {**found, "HYDRA_LAUNCHER": "fork"}
    if is_in_slurm(environ):
        return {**found, "HYDRA_LAUNCHER": "slurm"}
    return {"HYDRA_LAUNCHER": "rsh", "HYDRA_LAUNCHER_EXEC": tmrsh} if tmrsh else {}
