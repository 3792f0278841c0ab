"""How the ranks of a program are started on nodes of a job: the command lines of `srun` and `mpiexec`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.core.paths import NODE_VARIABLE

#: By what `srun` and `pbs_tmrsh` find their job. All else that a batch system has set, and whatever
#: launcher has started the agent, would be taken for options of the new step, or for its ranks.
OF_JOB = (
    "SLURM_JOB_ID", "PBS_JOBID", "PBS_NODEFILE", "PBS_JOBCOOKIE", "PBS_MOMPORT", "PBS_NODENUM",
    "PBS_TASKNUM",
)  # fmt: skip
#: Of this package: by them, processes of a job and of a task are known.
_OURS = ("ADAPTIVE_SCHEDULER_", "LOCALBATCH_")
#: What lets `srun` change or redirect what ranks write, or take their program for a list of programs.
_FORMATS = (
    "SLURM_LABELIO", "SLURM_MULTI_PROG", "SLURM_STDINMODE", "SLURM_STDOUTMODE", "SLURM_STDERRMODE",
)  # fmt: skip
#: A line of ``scontrol show config``, and what stands there for nothing.
_SETTING = re.compile(r"^(\w+)\s*= (.*?)\s*$", re.MULTILINE)
_NONE = ("", "none", "(null)", "task/none")
#: By what `srun` takes these options from its environment.
_VARIABLES = {"cpu-bind": "SLURM_CPU_BIND", "mpi": "SLURM_MPI_TYPE"}
#: For Intel MPI's Hydra: in a job it places ranks as the batch system's list of nodes says, not as ``-ppn``.
HYDRA_PLACES = {"I_MPI_JOB_RESPECT_PROCESS_PLACEMENT": "0"}
#: For Hydra on one node of a job of several: else it takes the hosts of the batch system's list in turn, and each rank
#: has a node of its own for it, although all of them are here.
ONE_NODE = {"HYDRA_LAUNCHER": "fork", "HYDRA_RMK": "user"}
#: What `srun` says in a job that has ended for Slurm while its processes live, as after the death of its slurmstepd.
_JOB_IS_GONE = "Expired or invalid job"
#: For Hydra, in place of `ssh`: the way to another node that PBS has. As it is given the command as
#: one text, a shell has to take it apart. Tried on a real OpenPBS.
TMRSH = '#!/bin/sh\nhost=$1\nshift\nexec pbs_tmrsh "$host" /bin/sh -c "$*"\n'


def says_job_is_gone(text: str) -> bool:
    """Whether a launcher could start nothing because its job has ended."""
    return _JOB_IS_GONE in text


def is_in_slurm(environ: Mapping[str, str]) -> bool:
    """Whether this process runs on a node of a Slurm job: in an `salloc`, it may run elsewhere."""
    return bool(environ.get("SLURM_JOB_ID") and environ.get("SLURMD_NODENAME"))


def on_its_node(argv: Sequence[str]) -> list[str]:
    """Return how a rank is started so that its environment has the name of its node, not the launcher's."""
    name = "${SLURMD_NODENAME:-$PMI_HOSTNAME}"
    return ["/bin/sh", "-c", f'export {NODE_VARIABLE}={name}; exec "$@"', "sh", *argv]


def launch_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a launcher: that of a job, without any step of it."""
    kept = {
        name: value for name, value in environ.items() if name in OF_JOB or name.startswith(_OURS)
    }
    return {**clean_environment(environ), **kept}


def without_formats(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which `srun` hands on what ranks write as it is, to whoever calls it."""
    return {name: value for name, value in environ.items() if name not in _FORMATS}


def srun_line(
    program: str,
    nodes: Sequence[str],
    per_node: int,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
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
    settings : mapping of str to str
        See `srun_settings`.
    """
    n = len(nodes)
    return [
        program, "--overlap", "--mem=0", "--kill-on-bad-exit=1",
        *(f"--{name}={value}" for name, value in settings.items()), f"--nodes={n}", f"--ntasks={n * per_node}",
        f"--ntasks-per-node={per_node}", f"--nodelist={','.join(nodes)}",
    ]  # fmt: skip


def srun_settings(shown: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return long options of `srun` that depend on how a cluster is set.

    Ranks bind themselves; where Slurm binds none, it complains of being told not to. And where nothing
    says how ranks talk to each other, each rank of MPICH or Intel MPI would be a world of its own.

    Parameters
    ----------
    shown : str
        Of ``scontrol show config``.
    environ : mapping
        What the user has set there counts.
    """
    found = dict(_SETTING.findall(shown))
    is_bound = found.get("TaskPlugin", "") not in _NONE
    has_mpi = found.get("MpiDefault", "") not in _NONE or "SLURM_MPI_TYPE" in environ
    return ({"cpu-bind": "none"} if is_bound else {}) | ({} if has_mpi else {"mpi": "pmi2"})


def mpiexec_line(program: str, nodes: Sequence[str], per_node: int, tmrsh: str = "") -> list[str]:
    """Return how Hydra's `mpiexec` (MPICH, Intel MPI) is called; what it is to start follows.

    Parameters
    ----------
    program : str
    nodes : sequence of str
    per_node : int
        Ranks.
    tmrsh : str
        File with `TMRSH`; "": all is on this machine, see `ONE_NODE`.
    """
    n = ["-n", str(len(nodes) * per_node)]
    if not tmrsh:
        return [program, "-launcher", "fork", *n]
    way = ["-launcher", "rsh", "-launcher-exec", tmrsh]
    return [program, *way, "-hosts", ",".join(nodes), "-ppn", str(per_node), *n]


def own_launcher(
    n_nodes: int, settings: Mapping[str, str] | None, tmrsh: str = ""
) -> dict[str, str]:
    """Return variables for a program that calls `srun` or `mpiexec` itself.

    `srun` is to share the job with other steps (srun(1), INPUT ENVIRONMENT VARIABLES), and Hydra to
    find the way to other nodes (its ``-launcher``).

    Parameters
    ----------
    n_nodes : int
    settings : mapping of str to str or None
        See `srun_settings`; None: not in a job of Slurm.
    tmrsh : str
        File with `TMRSH`, in a job of PBS.
    """
    if settings is None:
        found = {}
    else:
        found = {"SLURM_OVERLAP": "1", "SLURM_MEM_PER_NODE": "0"}
        found |= {_VARIABLES[name]: value for name, value in settings.items()}
    if n_nodes == 1:
        return {**found, **ONE_NODE}
    if settings is not None:
        return {**found, "HYDRA_LAUNCHER": "slurm"}
    return {"HYDRA_LAUNCHER": "rsh", "HYDRA_LAUNCHER_EXEC": tmrsh} if tmrsh else {}
