"""All checks of `adaptive-scheduler doctor`, and all faults that they find: sentence and remedy.

The table of docs/doctor.md is made from this one. Words in braces are facts that the verdict fills in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that is looked at.

    Attributes
    ----------
    where : str
        ``here``: on this machine; ``job``: by a job, on a node; ``run``: in the folder of a run.
    what : str
        The thing, in few words.
    looks_at : str
        What is done to find out.
    seconds : float
        After which it is given up; 0: it has a limit of its own.
    """

    where: str
    what: str
    looks_at: str
    seconds: float = 20.0


@dataclass(frozen=True)
class Fault:
    """One thing that may be wrong.

    Attributes
    ----------
    check : str
        The check that finds it.
    sentence : str
        What is wrong.
    remedy : str
        What to do about it.
    level : str
        ``fault``: no run works; ``warning``: a run may work.
    """

    check: str
    sentence: str
    remedy: str
    level: str = "fault"


CHECKS: Mapping[str, Check] = {
    "programs": Check("here", "the batch system's programs", "which of them are on PATH"),
    "profile": Check(
        "here", "the login profile",
        "a login shell (`bash -l`), as job scripts are, that runs one line", 40,
    ),
    "host": Check("here", "limits of this host", "`ulimit`, and whether it ends processes of users who log out"),
    "address": Check("here", "where the manager listens", "the addresses of this host, and the ports that may be used"),
    "launcher": Check("here", "the MPI launcher", "its name, its family and that of mpi4py, the plug-ins of `srun`", 60),
    "folder": Check("here", "writing here", "files in these folders: written, replaced, appended to, locked, deleted; room on the disk", 60),
    "batch-system": Check("here", "the batch system", "its list of your jobs", 70),
    "request": Check("here", "what a job asks for", "`sbatch --test-only`, which submits nothing; with PBS a job that is held, and deleted at once (not with `--no-job`)", 140),
    "submit": Check("job", "submitting a job", "`sbatch`, `qsub`", 0),
    "job": Check("job", "running the job", "the queue, and the end of the job's output", 0),
    "python": Check("job", "Python and packages", "versions on the node", 60),
    "workers": Check("job", "MPI and workers", "the size of the MPI world, and an answer of each worker", 120),
    "node": Check("job", "cores, GPUs and memory for tasks", "what a pool's job has"),
    "way-back": Check("job", "way back to the manager", "a connection from the node to each address of this host", 0),
    "clock": Check("job", "the node's clock", "the times of question and answer on both hosts", 0),
    "node-folder": Check("job", "writing and locking in the run folder and the data folder", "the same as `writing here`, on the node", 60),
    "run": Check("run", "the run", "its settings, and who owns them"),
    "keys": Check("run", "the keys of the run", "owner and mode of its folder and keys"),
    "lock": Check("run", "the lock of the run", "who holds it, and whether that process lives", 60),
    "manager": Check("run", "the manager", "a connection to each of its addresses", 40),
    "run-folder": Check("run", "writing in the run's folders", "the same as `writing here`, and the folder in which jobs begin", 60),
}  # fmt: skip

_SHARED = "Choose a folder on a file system that the nodes share and may write to (--folder, and for data fnames)."
_MPIEXEC = (
    "Give mpiexec_executable= the launcher of that library (for srun the plug-in that it speaks, such as "
    "'srun --mpi=pmi2'), or install the mpi4py that fits the launcher."
)
_PORTS = (
    "Ask which ports are open between the nodes and this host, and give ports=LOW-HIGH (of a run: "
    "url=tcp://HOST:PORT); or run the manager as a job: adaptive-scheduler manager RUN --as-job."
)

FAULTS: Mapping[str, Fault] = {
    # ------------------------------------------------------------ this machine
    "no-batch-system": Fault(
        "programs", "neither Slurm (sbatch) nor PBS (qsub) is on PATH",
        "Run this on a login node of the cluster, load its module, or give scheduler=local for this machine alone.",
    ),
    "programs-missing": Fault(
        "programs", "missing: {programs}",
        "They are not on PATH: run this on a host of the cluster (a login node), load its module, or choose "
        "another --scheduler.",
    ),
    "profile-prints": Fault(
        "profile", "the login profile prints {text!r}",
        "Jobs work, but what is read from a login shell (ssh://, scp, module files) gets those words, too. Print in "
        "interactive shells only: case $- in *i*) ... ;; esac", "warning",
    ),
    "profile-hangs": Fault(
        "profile", "a login shell has not run its first line within {seconds:.0f} s",
        "Something in /etc/profile, ~/.bash_profile or ~/.profile waits, and each job would: see where with bash -lxc "
        "true. Do it in interactive shells only: case $- in *i*) ... ;; esac",
    ),
    "profile-ends": Fault(
        "profile", "a login shell ends (with {status}) before its first line",
        "Look at the login profile (/etc/profile, ~/.bash_profile, ~/.profile): an 'exit' or 'exec' in it ends each "
        "job before its script begins. Let it do so in interactive shells only: case $- in *i*) ... ;; esac",
    ),
    "daemons-killed": Fault(
        "host", "this host ends all processes of users who log out ({file}: KillUserProcesses=yes)",
        "A manager that is started here ends with your login, its jobs go on without it: loginctl enable-linger, or run the "
        "manager as a job: adaptive-scheduler manager RUN --as-job.",
        "warning",
    ),
    "cpu-time-limited": Fault(
        "host", "this host ends processes after {seconds:.0f} s of CPU time (ulimit -t)",
        "A manager that is started here would be ended. Run it as a job: adaptive-scheduler manager RUN "
        "--as-job; or on a host without this limit.",
    ),
    "few-files": Fault(
        "host", "a process may open only {files} files here (ulimit -Hn)",
        "Each job is a connection to the manager: a run could have about {jobs} jobs. Ask for a higher limit, or run "
        "the manager as a job: adaptive-scheduler manager RUN --as-job.", "warning",
    ),
    "interface-missing": Fault(
        "address", "there is no interface {interface}",
        "Give interface= one of {known}.",
    ),
    "only-loopback": Fault(
        "address", "this host has no address but 127.0.0.1",
        "Jobs on other nodes cannot reach a manager here. Start the run on a host with a network, or run the "
        "manager as a job: adaptive-scheduler manager RUN --as-job.", "warning",
    ),
    "ports-taken": Fault(
        "address", "each of the ports {ports} is taken here",
        "Other programs, perhaps managers of other runs, listen there. Give another range of ports=.",
    ),
    "launcher-missing": Fault(
        "launcher", "the launcher {launcher} is not here",
        "If the nodes have it, all is well (a module in setup=). Else give mpiexec_executable= its path, or "
        "install MPI.", "warning",
    ),
    "mpi-families-differ": Fault(
        "launcher", "the launcher {launcher} is {family}, but mpi4py uses {library}",
        "Each rank would be alone in an MPI world of 1. " + _MPIEXEC,
    ),
    "mpi-plugin-missing": Fault(
        "launcher", "srun has no plug-in --mpi={plugin}",
        "It has {known} (srun --mpi=list): give mpiexec_executable='srun --mpi=pmi2' or what fits your MPI; MPICH "
        "speaks pmi2, Open MPI pmix.",
    ),
    "folder-unwritable": Fault(
        "folder", "{folder} on {host} cannot be written to: {why}",
        "You may not write there, or it is mounted for reading only. " + _SHARED,
    ),
    "no-room": Fault(
        "folder", "{folder} on {host}: no space is left ({free} free): {why}",
        "Make room, or choose a folder on another disk (--folder, and for data fnames). A run that has begun waits, and goes on by itself.",
    ),
    "no-inodes": Fault(
        "folder", "{folder} on {host}: no more files can be made, though {free} are free: {why}",
        "The file system is out of inodes: delete small files, or choose a folder on another disk.",
    ),
    "quota": Fault(
        "folder", "{folder} on {host}: your quota is used up: {why}",
        "Delete something (quota -s, or lfs quota, shows what you have), or choose a folder on another disk.",
    ),
    "little-room": Fault(
        "folder", "{folder} on {host}: only {free} are left",
        "A run's database, logs and data grow. Make room before a long run.", "warning",
    ),
    "locks-fail": Fault(
        "folder", "{folder} on {host}: locks do not work: {why}",
        "Two managers could work on one run. Choose a folder on another file system: NFS, Lustre, GPFS and local "
        "disks have locks, FAT, some FUSE and object stores have not.",
    ),
    "garbled": Fault(
        "folder", "{folder} on {host}: what is read is not what was written",
        "Choose a folder on another file system.",
    ),
    "scheduler-silent": Fault(
        "batch-system", "the list of jobs fails: {why}",
        "These are the batch system's own words. If it is down, wait, or ask its administrators; else look "
        "whether this host belongs to the cluster.",
    ),
    "munge-down": Fault(
        "batch-system", "munge does not run on this host: {why}",
        "Slurm's commands fail without it. Its administrators have to start it (systemctl start munge); "
        "meanwhile use another login node.",
    ),
    "wrong-partition": Fault(
        "request", "there is no such partition or queue, or you may not use it: {why}",
        "Give another queue= (sinfo -s, or qstat -Q, lists them).",
    ),
    "wrong-account": Fault(
        "request", "the account is wrong, or may not be used there: {why}",
        "Give extra_scheduler=--account=NAME (sacctmgr show associations user=$USER lists yours), with PBS "
        "extra_scheduler='-A NAME'.",
    ),
    "wrong-qos": Fault(
        "request", "the QOS is wrong, or may not be used: {why}",
        "Give extra_scheduler=--qos=NAME (sacctmgr show associations user=$USER format=qos lists yours).",
    ),
    "walltime-too-long": Fault(
        "request", "the walltime is above the limit: {why}",
        "Give a shorter walltime= (sinfo -o '%P %l', or qstat -Qf, lists the limits), or another queue=.",
    ),
    "over-limits": Fault(
        "request", "the job asks for more, or less, than the queue allows: {why}",
        "It is not the walltime. Give other cores=, nodes=, memory= or gpus= (qstat -Qf lists the queue's resources_max "
        "and resources_min), or another queue=.",
    ),
    "too-many-jobs": Fault(
        "request", "you may have no more jobs in the queue: {why}",
        "Wait until some have ended, or cancel some. A run waits by itself, and goes on; max_jobs= keeps it below the limit.",
    ),
    "user-refused": Fault(
        "request", "the batch system takes no jobs of this user: {why}",
        "Root may submit no jobs, and users must be known to the batch system: submit as yourself, or ask its administrators.",
    ),
    "request-refused": Fault(
        "request", "the batch system refuses such a job: {why}",
        "These are its own words: change the options that it names.",
    ),
    # --------------------------------------------------------------- the job
    "job-never-starts": Fault("job", "it will not start: {state}", "It has been cancelled; {remedy}."),
    "job-waits": Fault(
        "job", "it had no results after {seconds:.0f} s: {state}",
        "If it waits in the queue, give more time (timeout=1h); if it ran, its output says more: {output}",
    ),
    "queue-stopped": Fault(
        "job", "the queue starts no jobs: {state}",
        "An administrator has stopped it, mostly for a while. Wait, or give another queue= (sinfo -s, or qstat -Q, lists them).",
    ),
    "profile-ends-job": Fault(
        "job", "job {job} ended before its script began",
        "A login profile on the nodes has ended it. {words}",
    ),
    "folder-unseen": Fault(
        "job", "job {job} ended without results, and has no output in {folder}",
        "The nodes cannot see this folder, or not write there. " + _SHARED
        + " Or give log_folder=. If they can: look at the login profile on the nodes.",
    ),
    "python-missing": Fault(
        "job", "job {job} does not find Python: {words}",
        "The environment is missing on the node: it lies on a disk of this host alone, or a module must be loaded. "
        "Install it on a shared file system; give python_executable=, or activate it in setup=.",
    ),
    "launcher-missing-there": Fault(
        "job", "job {job} does not find its MPI launcher: {words}",
        "Load its module in setup=, or give mpiexec_executable= a path that the nodes have.",
    ),
    "package-missing": Fault(
        "job", "the Python of job {job} lacks a package: {words}",
        "Give python_executable= that of this environment, or activate it in setup=.",
    ),
    "job-died": Fault("job", "job {job} ended without results", "See what it printed. {words}"),
    "other-python": Fault(
        "python", "jobs run in another environment: {words}",
        "Give python_executable= that of this environment, or activate it in setup=.",
    ),
    "mpi-world": Fault("workers", "the MPI ranks do not see each other: {words}", _MPIEXEC),
    "workers-silent": Fault(
        "workers", "the workers do not answer: {words}",
        "Look at the job's output. With several nodes the launcher may not reach the others: see "
        "docs/troubleshooting.md; try --nodes 1, or executor_type=process-pool.",
    ),
    "manager-unreachable": Fault(
        "way-back", "{node} reaches none of the manager's addresses: {attempts}",
        "There is no way from the nodes to these addresses: give interface= a network that the nodes share (ib0, "
        "or an address), or start the run on a host that they reach; or run the manager as a job: "
        "adaptive-scheduler manager RUN --as-job.",
    ),
    "firewall": Fault(
        "way-back", "{node} gets no answer from {attempts}: a firewall is between",
        _PORTS,
    ),
    "port-refused": Fault(
        "way-back", "{node} is refused by {attempts}: a firewall that rejects, or another host that has the same address",
        _PORTS,
    ),
    "wrong-interface": Fault(
        "way-back", "{node} reaches {good}, but not {attempts}",
        "Give interface={address}: each job would first try the others, one after the other.", "warning",
    ),
    "clock-skew": Fault(
        "clock", "the clock of {node} is {seconds:.0f} s {direction} this host's",
        "Runs work all the same (times of two hosts are never compared), but times in logs mislead, Kerberos, munge and make do not "
        "work: ask an administrator for NTP (chronyc tracking) on {node}.", "warning",
    ),
    # --------------------------------------------------------------- the run
    "run-unreadable": Fault("run", "its settings cannot be read: {why}", "Runs are private: only the user who started one can use it."),
    "python-changed": Fault(
        "run", "the run was started with {name} {then}, here it is {now}",
        "Jobs of resume and retry would be refused, or misread data: use the environment of the start ({python}).", "warning",
    ),
    "keys-open": Fault(
        "keys", "{path} is open to other users (mode {mode:o})",
        "Who has the keys can give your jobs code to run. Mend it with: chmod {right:o} {quoted}",
    ),
    "keys-foreign": Fault(
        "keys", "{path} belongs to user {owner}, not to you",
        "That user could run code as you. If the run is yours, make a new folder for it, and resume there; else leave it alone.",
    ),
    "keys-missing": Fault(
        "keys", "{path} is missing",
        "Jobs cannot talk to the manager. cancel, then resume: a new manager makes new keys.", "warning",
    ),
    "stale-lock": Fault(
        "lock", "the manager (process {pid} on {host}) is dead, its lock was left behind",
        "Delete nothing: adaptive-scheduler resume {run} takes the lock over; jobs that run go on.",
    ),
    "no-manager": Fault(
        "lock", "the run is not over, and has no manager",
        "Jobs go on with what they hold. adaptive-scheduler resume {run}",
    ),
    "another-manager": Fault(
        "lock", "another manager of this run is alive: {others}; the lock belongs to {holder}",
        "The lock was removed while a manager lived. The one without the lock ends by itself within a minute; if not, end it: kill {pids}. Never "
        "delete manager.lock.",
    ),
    "manager-silent": Fault(
        "manager", "process {pid} on {host} lives, but does not answer at {attempts}",
        "If it is stopped (a suspended laptop, kill -STOP), let it go on. On another host: a firewall may be between. "
        "Else end it (kill {pid} on {host}), and adaptive-scheduler resume {run}.",
    ),
    "cwd-missing": Fault(
        "run-folder", "the folder in which its jobs begin is gone: {folder}",
        "Make it again, or start the run anew from another folder.",
    ),
}  # fmt: skip
