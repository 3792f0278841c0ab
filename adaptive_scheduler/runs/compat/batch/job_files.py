"""Scripts of jobs by hand: their lines and files, and their submit."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.compat.batch.given_values import value_at
from adaptive_scheduler.schedulers.base import Scheduler

#: Stands in the script of a job that belongs to no run.
NO_RUN = "/RUN_FOLDER"
#: As adaptive-scheduler 2 exports them.
THREADS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class JobFiles(Scheduler):
    """A scheduler whose scripts can be written and submitted by hand, as with adaptive-scheduler 2."""

    #: Of a script's name.
    ext: ClassVar[str] = ".sh"
    _JOB_ID_VARIABLE: ClassVar[str] = "${JOB_ID}"
    #: Where `batch_fname` is; None: the working directory.
    batch_folder: Path | None = None
    #: ``extra_env_vars`` as assignments, and ``extra_script`` without them, as they were given.
    _assignments: Any = None
    _script: Any = ""

    # ------------------------------------------------------------------------- lines

    def extra_scheduler(self, *, index: int | None = None) -> str:
        """Return the directive lines of a job script (``#SBATCH ...``).

        Parameters
        ----------
        index : int, optional
            Of a learner, if learners differ.
        """
        return "\n".join(self.header(self._request("NAME", index)))

    def extra_env_vars(self, *, index: int | None = None) -> str:
        """Return the lines that export variables; `index` as in `extra_scheduler`."""
        resources = self._resources(index)
        assignments = value_at(self._assignments, index) or ()
        literal = {
            **dict(resources.extra_env_vars),
            "EXECUTOR_TYPE": resources.executor_type,
            **dict.fromkeys(THREADS, str(resources.num_threads)),
        }
        quoted = [f"{name}={shlex.quote(value)}" for name, value in literal.items()]
        return "\n".join(f"export {one}" for one in [*assignments, *quoted])

    def extra_script(self, *, index: int | None = None) -> str:
        """Return the shell lines that run before the client; `index` as in `extra_scheduler`."""
        return str(value_at(self._script, index) or "")

    def _resources(self, index: int | None) -> Resources:
        n = self._tuple_length()
        if n is None:
            return self._row(0)
        if index is None or not 0 <= index < n:
            raise InputError(
                f"index={index!r}: this scheduler was given tuples of {n} values, one for each learner. "
                f"Give index=0 to index={n - 1}."
            )
        shapes, shape_of = self.shapes(n)
        return shapes[shape_of[index]]

    def _request(self, name: str, index: int | None) -> JobRequest:
        return JobRequest(name, "", self._resources(index), str(self._log_folder()))

    # ------------------------------------------------------------------------- files

    def _log_folder(self) -> Path:
        return Path(self.log_folder).absolute() if self.log_folder else Path.cwd()

    def batch_fname(self, name: str) -> Path:
        """Return the file of `write_job_script`, in ``batch_folder`` or the working directory."""
        if self.batch_folder is None:
            return Path.cwd() / f"{name}{self.ext}"
        self.batch_folder.mkdir(parents=True, exist_ok=True)
        return self.batch_folder / f"{name}{self.ext}"

    def log_fname(self, name: str) -> Path:
        """Return the log file of a job, with the shell's variable of its id; `name` is not part of it.

        Without ``log_folder`` a run's logs are in ``run_manager.folder.logs``, and this is a file of
        that name in the working directory.
        """
        del name
        return self._log_folder() / f"{self._JOB_ID_VARIABLE}.log"

    def output_fnames(self, name: str) -> list[Path]:
        """Return the files of a job's output; as `log_fname`."""
        return [self.log_fname(name).with_suffix(".out")]

    @staticmethod
    def sanatize_job_id(job_id: str) -> str:
        """Return a job's id without the server's name."""
        return job_id

    def write_job_script(
        self, name: str, options: Mapping[str, Any] | None = None, index: int | None = None
    ) -> None:
        """Write the text of `job_script` to the file `batch_fname`.

        Parameters
        ----------
        name : str
        options : mapping, optional
            Ignored: what jobs need is in the run's folder.
        index : int, optional
            That of one learner alone.
        """
        from adaptive_scheduler.runs.compat.atomic_writes import atomic_write

        text = self._script_text(options, index)
        with atomic_write(self.batch_fname(name), "w", encoding="utf-8") as file:
            file.write(text)

    def _script_text(self, options: Mapping[str, Any] | None, index: int | None) -> str:
        del options, index
        return self.job_script()

    def start_job(self, name: str, *, index: int | None = None) -> str:
        """Submit the script in the file `batch_fname` as one job; runs submit theirs themselves.

        The job gets this scheduler's resources, ``setup``, variables and `extra_script`; its output goes to
        `output_fnames`.

        Parameters
        ----------
        name : str
            Of the job. ``NAME-3`` has the script of ``NAME``, unless it has one of its own.
        index : int, optional
            Of the learner whose resources are asked for, if learners differ.

        Returns
        -------
        str
            The job's id.

        Raises
        ------
        InputError
            There is no such script, or it is one that only a run can fill in.
        SubmitRefusedError, NoObservation
            The batch system did not take it, or did not answer.
        """
        from adaptive_scheduler.io.system.submit import run_command
        from adaptive_scheduler.runs.compat.atomic_writes import atomic_write

        own, request = self._script_of(name), self._request(name, index)
        script = own.with_name(f".{name}.submitted{self.ext}")
        with atomic_write(script, "w", encoding="utf-8") as file:
            file.write(self._whole(own.read_text(encoding="utf-8"), request, index))
        (job,) = self.parse_submit(run_command(self.submit_command(request, script, 1)), 1)
        return str(job)

    def _whole(self, own: str, request: JobRequest, index: int | None) -> str:
        """Return a user's script with what its job needs: directives of its own come after ours, and before commands."""
        from adaptive_scheduler.schedulers.user_script import with_exports  # with all executors

        lines = [line for line in own.splitlines() if not line.startswith("#!")]
        text = "\n".join(["#!/bin/bash -l", *self.header(request), *lines])
        variables, script = self.extra_env_vars(index=index), self.extra_script(index=index)
        return with_exports(
            text,
            [*self.output_script(request), *self.setup, variables, *([script] if script else [])],
        )

    def _script_of(self, name: str) -> Path:
        own = self.batch_fname(name)
        script = own if own.exists() else self.batch_fname(name.rpartition("-")[0] or name)
        if not script.exists():
            raise InputError(
                f"start_job: there is no script {own}. Write it, then call this again."
            )
        if NO_RUN in script.read_text(encoding="utf-8"):
            raise InputError(
                f"start_job: {script} has places that only a run fills in ({NO_RUN}). RunManager.start() submits "
                "the jobs of a run; to submit something else, write a script of your own to this file."
            )
        return script
