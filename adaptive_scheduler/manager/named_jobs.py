"""Jobs with given names that run the user's own script, for `manage_jobs`."""

from __future__ import annotations

import copy
import os
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from adaptive_scheduler.core.config import JobLimits, RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.jobs.records import tag
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.texts import check_line
from adaptive_scheduler.core.times import TimeLike, seconds
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.storage.run_config import change_config
from adaptive_scheduler.io.system.commands import refuse_missing_programs
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import ScriptWriter


@dataclass(frozen=True)
class NamedJobs:
    """The arguments of `manage_jobs`, which describes them."""

    scheduler: Scheduler
    job_names: list[str]
    run_script: str | os.PathLike[str]
    interval: TimeLike
    limits: JobLimits
    client_patience: TimeLike = 86400.0

    def check(self) -> None:
        """Check the arguments. Raises InputError, CommandMissingError."""
        names = self.job_names
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise InputError(f"job_names={names!r} must be a list of at least one text.")
        for name in names:
            check_line(name, "job_names")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"job_names: {twice!r} is there twice: each job needs its own.")
        seconds(self.interval, "interval")
        seconds(self.client_patience, "client_patience")
        if not self._script.is_file():
            raise InputError(
                f"run_script={os.fspath(self.run_script)!r} is no file: jobs would run "
                f"{self._script}. Give the path of a Python script."
            )
        self._shape()
        refuse_missing_programs(self.scheduler)

    @property
    def _script(self) -> Path:
        return Path(self.run_script).expanduser().absolute()

    def _shape(self) -> Resources:
        """Return the resources that all jobs have."""
        try:
            return self.scheduler.shapes(1)[0][0]
        except InputError as error:
            raise InputError(
                f"{error} All jobs have the same resources here: for resources of each learner use RunManager."
            ) from error

    def scheduler_here(self) -> Scheduler:
        """Return the scheduler, set up so that jobs start in the present working directory."""
        here = copy.copy(self.scheduler)
        here.setup = (*here.setup, f"cd -- {shlex.quote(os.getcwd())} || exit 1")
        return here

    def configure(self, folder: RunFolder) -> RunConfig:
        """Write the configuration for these jobs into the run folder, and return it."""
        pickled = {"scheduler": self.scheduler, "executors": self.scheduler.executor_callables}
        write_callables(folder.callables, pickled)
        return change_config(folder, partial(self._configured, folder))

    def _configured(self, folder: RunFolder, config: RunConfig) -> RunConfig:
        return msgspec.structs.replace(
            config,
            shapes=[self._shape()],
            job_names=self.job_names,
            run_script=str(self._script),
            log_folder=os.path.abspath(self.scheduler.log_folder or folder.logs),  # noqa: PTH100
            timing=msgspec.structs.replace(
                config.timing,
                interval=seconds(self.interval, "interval"),
                client_patience=seconds(self.client_patience, "client_patience"),
            ),
            limits=self.limits,
        )

    def try_writer(self, write: ScriptWriter, config: RunConfig, folder: RunFolder) -> None:
        """Call the user's script writer once, so that its mistakes show now. Raises UserCodeError."""
        request = JobRequest(
            self.job_names[0], tag(config.run, 0), self._shape(), config.log_folder
        )
        write(self.scheduler_here(), request, config, folder, 0)
