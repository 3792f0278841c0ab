"""Other names of arguments and options, which stay accepted, and are shown nowhere."""

from __future__ import annotations

from collections.abc import Mapping

#: Other name -> name. Most are those of version 0.2.0 and of the adaptive-scheduler package.
ALIASES: Mapping[str, str] = {
    "job_name": "name",
    "max_simultaneous_jobs": "max_jobs",
    "max_fails_per_job": "max_fails",
    "job_manager_interval": "interval",
    "overwrite_db": "overwrite",
    # of schedulers: SLURM and PBS name one thing differently; the others are dask-jobqueue's
    "queue": "partition",
    "partition": "queue",
    "python": "python_executable",
    "log_directory": "log_folder",
    "job_script_prologue": "setup",
    "job_extra_directives": "extra_scheduler",
    "job_extra": "extra_scheduler",
}

#: Arguments of adaptive-scheduler and dask-jobqueue that have no counterpart: what to do instead.
REPLACED: Mapping[str, str] = {
    "batch_folder": "leave it out, job scripts are in the run's folder",
    "account": "give extra_scheduler=['--account=NAME'] (SLURM) or ['-A NAME'] (PBS)",
    "cleanup_first": "leave it out, a run keeps its files in a folder of its own",
    "db_fname": "give folder=..., which holds the database",
    "job_manager_kwargs": "give what is in it as arguments, such as max_jobs=100",
    "kill_interval": "leave it out, jobs that are broken or hang are replaced anyway",
    "kill_manager_kwargs": "leave it out, jobs that are broken or hang are replaced anyway",
    "kill_on_error": "leave it out, jobs that are broken or hang are replaced anyway",
    "loky_start_method": "leave it out, workers are started the safe way",
    "max_log_lines": "leave it out, run[17].logs() has the last lines",
    "move_old_logs_to": "leave it out, a run keeps its files in a folder of its own",
}
