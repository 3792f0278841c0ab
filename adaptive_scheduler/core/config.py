"""``run.json``: what managers and clients need of how a run is to be run.

Its options have the names and the defaults of `RunOptions`, where they are described.
"""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.goals import Goal
from adaptive_scheduler.core.resources import Resources


class Environment(msgspec.Struct, frozen=True):
    """Where `start()` was called. A client restores the folder and path, and checks the versions.

    Attributes
    ----------
    cwd : str
        The working directory.
    sys_path : list of str
        Entries of ``sys.path`` that do not belong to the Python environment.
    python : str
        Python's minor version, ``"3.11"``.
    versions : dict
        Of adaptive, cloudpickle and numpy.
    """

    cwd: str
    sys_path: list[str]
    python: str
    versions: dict[str, str]


class Timing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Times, in seconds, that managers and clients agree on.

    Attributes
    ----------
    beat : float
        Between two heartbeats of a client.
    lease : float
        A client that sends no heartbeat for longer loses its lease (not yet its item).
    idle : float
        How long a client without work waits for some.
    grace : float
        After its submit, a job without any heartbeat is not declared dead before this.
    patience : float
        A job that is in the queue's listing as running, but sends no heartbeat, is cancelled
        after this.
    interval : float
        The longest time between two listings of the queue.
    client_patience : float
        How long a client goes on computing without a manager.
    kill_wait : float
        Between the batch system's SIGTERM and its SIGKILL.
    driver_patience : float
        A run whose tasks have ended is over if no driver was heard for so long; the manager of one
        whose tasks have nothing to run on ends then.
    """

    beat: float = 5.0
    lease: float = 30.0
    idle: float = 30.0
    grace: float = 60.0
    patience: float = 900.0
    interval: float = 30.0
    client_patience: float = 86400.0
    kill_wait: float = 30.0
    driver_patience: float = 3600.0


class JobLimits(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"max_jobs": "max_simultaneous_jobs", "max_fails": "max_fails_per_job"},  # as in 0.2.0
):
    """Those `Limits` of a run that its manager keeps."""

    max_jobs: int = 100
    max_fails: int = 3
    max_crashes: int = 5


class RunConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """All settings of a run that are plain data; ``callables.pickle`` has the others.

    Attributes
    ----------
    run : str
        The run's id, which marks its jobs in the queue.
    shapes : list of Resources
        The different requests for resources; an item's `shape` is an index into this list.
    goal : Goal
        The same for all learners.
    environment : Environment, optional
        None for a run of `manage_jobs`, whose script prepares its own process.
    job_names : list of str
        One for all jobs (then they are submitted as arrays), or one for each job.
    run_script : str, optional
        The script that jobs run; None: the package's own client.
    log_folder : str
        Absolute path of the folder for the output of jobs.
    save_interval, points_interval, log_interval : float
        Seconds between saves, commits of the point journal, and log lines.
    point_timeout : float, optional
        Seconds that one evaluation may take.
    point_retries : int
        Times that a point is tried again before its learner fails.
    url, interface, ports : str, optional
        Where the manager is to listen.
    kind : str
        What its rows are: ``learner`` or ``task``; jobs of the latter run heads.
    started : float
        When the run was started first, in seconds since 1970; 0.0: not known, a version before 3.0 wrote it.
    """

    run: str
    shapes: list[Resources]
    job_names: list[str]
    log_folder: str
    goal: Goal = Goal("exhausted")
    environment: Environment | None = None
    run_script: str | None = None
    timing: Timing = Timing()
    limits: JobLimits = JobLimits()
    save_interval: float = 300.0
    points_interval: float = 1.0
    log_interval: float = 30.0
    point_timeout: float | None = None
    point_retries: int = 2
    url: str | None = None
    interface: str | None = None
    ports: str | None = None
    kind: str = "learner"
    started: float = 0.0
