"""Removes the variables of an outer job or MPI world from an environment.

A notebook that itself runs in a job must not pass that job's variables to the jobs it submits
(``srun: fatal: SLURM_MEM_PER_CPU … mutually exclusive``). The user's own settings, such as
``SBATCH_ACCOUNT``, ``PBS_DEFAULT``, ``OMPI_MCA_btl`` or ``UCX_TLS``, must reach them. So exactly
the variables are removed that a batch system or an MPI launcher sets in processes that it starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: sbatch(1), srun(1) and salloc(1), OUTPUT ENVIRONMENT VARIABLES, and what 22.05 was seen to set
#: in a batch script, a step and an ``mpiexec`` (tests/unit/test_clean_environment.py). Those that srun
#: also reads as settings (``SLURM_NTASKS``, ``SLURM_MEM_PER_CPU`` …) cause its errors.
#: ``SLURM_CONF``, ``SLURM_TIME_FORMAT``, ``SLURM_MPI_TYPE`` and other settings are kept.
_SLURM = (
    r"SLURMD_\w+",
    r"SLURM_(JOB|ARRAY|HET|PACK|LAUNCH|SRUN_COMM|SUBMIT|TOPOLOGY|TRES|WORKING_CLUSTER)(_\w+)?",
    r"SLURM_STEP_(?!GRES$|KILLED_MSG_NODE_ID$)\w+",
    r"SLURM_(JOBID|STEPID|PROCID|LOCALID|NODEID|GTIDS|NNODES|NPROCS|NODELIST|NODE_ALIASES)",
    r"SLURM_(NTASKS|CPUS|GPUS|SHARDS|MEM|CPU_BIND|GPU_BIND|TASKS_PER)(_\w+)?",
    r"SLURM_(CLUSTER_NAME|CONTAINER|CPU_FREQ_REQ|GPU_FREQ|DIST_PLANESIZE|DISTRIBUTION|EXPORT_ENV)",
    r"SLURM_(EXTERNAL_LAUNCHER|OVERCOMMIT|PRIO_PROCESS|PROFILE|RESTART_COUNT|TASK_PID|UMASK)",
    r"SLURM_(THREADS_PER_CORE|OOM_KILL_STEP|RLIMIT_\w+)",
    r"SBATCH_(MEM|CPU)_BIND(_\w+)?",
    r"SRUN_DEBUG",
)
#: qsub(1B) and pbs_environment: what PBS, OpenPBS and Torque set in a job. ``PBS_DEFAULT``,
#: ``PBS_CONF_FILE``, ``PBS_EXEC``, ``PBS_HOME``, ``PBS_SERVER`` and others are settings, and kept.
_PBS = (
    r"PBS_O_\w+",
    r"PBS_JOB(ID|NAME|DIR|COOKIE)",
    r"PBS_ARRAY(_?ID|_INDEX)",
    r"PBS_(ENVIRONMENT|QUEUE|NODEFILE|GPUFILE|MICFILE|NODENUM|TASKNUM|VNODENUM|MOMPORT)",
    r"PBS_(NP|NUM_NODES|NUM_PPN|NCPUS|NNODES|NGPUS|PPN|WALLTIME|VERSION)",
)
#: What an MPI launcher sets for its ranks: hydra (MPICH, Intel MPI), MVAPICH, Cray's PALS
#: and ALPS. ``HYDRA_…``, ``MPIEXEC_…``, ``I_MPI_…``, ``MPIR_CVAR_…``, ``FI_…`` and ``UCX_…`` are
#: settings, and so are those that srun(1) reads: ``PMI_FANOUT``, ``PMI_TIME``.
_LAUNCHER = (
    r"PMI2?_(?!FANOUT|TIME$|DEBUG$|CC_SET$|MMAP_SYNC_WAIT_TIME$)\w+",
    r"HYDI_\w+",
    r"MPI_LOCAL(NRANKS|RANKID)",
    r"MPISPAWN_\w+",
    r"MV2_COMM_WORLD_\w+",
    r"(PALS|ALPS)_(APID|APP\w*|RANKID|NODEID|NODEFILE|SPOOL_DIR|LOCAL\w+|DEPTH|STARTUP\w*|FD|PORT)",
    r"MPI_(APPNUM|UNIVERSE_SIZE)",
)
#: Open MPI's orted and prted, and any server of PMIx. ``OMPI_MCA_…``, ``PRTE_MCA_…`` and
#: ``PMIX_MCA_…`` are settings but for those that the daemons pass to their ranks.
_OPEN_MPI = (
    r"OMPI_(COMM_WORLD|UNIVERSE|APP_CTX|FIRST_RANKS|NUM_APP_CTX|ARGV|COMMAND|FILE_LOCATION)(_\w+)?",
    r"(OMPI|PRTE)_MCA_(ess|ess_\w+|pmix|initial_wdir|shmem_RUNTIME_QUERY_hint)",
    r"OMPI_MCA_orte_(hnp_uri|local_daemon_uri|parent_uri|server_uri|jobid|vpid|app_num|num_nodes)",
    r"OMPI_MCA_orte_(num_restarts|cpu_type|bound_at_launch|precondition_transports|launch|ess_\w+)",
    r"OMPI_MCA_orte_(top_session_dir|jobfam_session_dir|output_filename|node_regex|ess_node_rank)",
    r"PRTE_(LAUNCHED|MCA_prte_(hnp_uri|parent_uri|ess_\w+|launch|jobid|vpid))",
    r"PMIX_(?!MCA_|DEBUG$|INSTALL_PREFIX$|PREFIX$)\w+",
)
#: What job scripts of this package and localbatch set, see `core.paths`.
_OURS = (
    r"LOCALBATCH_\w+",
    r"ADAPTIVE_SCHEDULER_(JOB|RESTART|TRY|SUBMIT|CORES|EXECUTOR|WALLTIME|STARTED|END|LOGS|TAG|NODE)",
)
_OF_ANOTHER_JOB = re.compile("|".join((*_SLURM, *_PBS, *_LAUNCHER, *_OPEN_MPI, *_OURS)))

#: Settings that would change how a command works for this package: a ``squeue`` that lists only one
#: partition, a ``scancel`` that asks or skips jobs, an ``sbatch`` that waits for the job's end or
#: makes an array of one job, a ``qsub`` that reads other directives.
_OF_ANOTHER_ANSWER = re.compile(
    r"SQUEUE_\w+|SCANCEL_\w+|SACCT_\w+|SBATCH_(WAIT|ARRAY_INX)|PBS_DPREFIX"
)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables of a job or MPI world in which this process may run.

    ``SBATCH_CLUSTERS`` is set for all commands: a ``squeue`` of another cluster would list no job.
    """
    clean = {
        key: value
        for key, value in environ.items()
        if not (_OF_ANOTHER_JOB.fullmatch(key) or _OF_ANOTHER_ANSWER.fullmatch(key))
    }
    if "SBATCH_CLUSTERS" in clean:
        clean.setdefault("SLURM_CLUSTERS", clean["SBATCH_CLUSTERS"])
    return clean
