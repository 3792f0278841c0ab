"""`Workflow`: what an EMEWS file says, and the executor that it asks for."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adaptive_scheduler.core.emews.pools import EmewsPool
from adaptive_scheduler.core.emews.workflow_file import REFIT, EmewsFile, EmewsQueue, check_file
from adaptive_scheduler.core.sweeps.yaml_text import read_documents
from adaptive_scheduler.core.tasks.pools import IDLE
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.ssh.commands import SSH_VARIABLE
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.driver.pools import pool_where
from adaptive_scheduler.runs.emews.places import places_of
from adaptive_scheduler.schedulers.here import Here

#: A name of a folder, here and there.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
#: Of a refit: no expected improvement is as large.
BEFORE_ALL = 1e300


class Workflow:
    """An EMEWS file, read and checked, and its pools.

    Parameters
    ----------
    file : EmewsFile

    Attributes
    ----------
    file : EmewsFile
        Its numbers: ``file.num_guesses`` and the others.
    tag : str
        The ``type`` of its first tasks, which is their tag.
    """

    def __init__(self, file: EmewsFile) -> None:
        self.file = file
        self.tag = file.types[0]
        try:
            self._places = places_of(file.pools)
            # what is wrong with the last pool is said before the first is started
            for pool in file.pools:
                its = self._settings(pool)
                batch = its["batch_size"], its["threshold"]
                pool_where(pool.name, self._places[pool.name], (0, 1), its["accepts"], batch, IDLE)
        except InputError as error:
            raise InputError(f"{file.name}: {error}") from error
        self._waiting: list[EmewsPool] = []

    @property
    def notes(self) -> list[str]:
        """What its user should know: settings that are not needed, or mean less than in EMEWS."""
        given = self.file.queue.ssh_config
        if given is None or os.environ.get(SSH_VARIABLE, _ssh(given)) == _ssh(given):
            return self.file.notes
        return [
            *self.file.notes,
            f"ssh_config: {given} is not used: {SSH_VARIABLE} says which ssh is. Unset it, or leave ssh_config out.",
        ]

    @property
    def refit_tag(self) -> str | None:
        """The tag of tasks that fit the model; None: they are none, and the program does it."""
        return None if self.file.reprioritize_endpoint is None else REFIT

    def folder(self, experiment_id: str) -> str:
        """Return the run's folder, as commands take it: a path, or a url of ssh."""
        return _folder(self.file.queue, experiment_id)

    def executor(self, experiment_id: str, **options: Any) -> Executor:
        """Return an executor with the first pool; one that was begun before is carried on.

        Parameters
        ----------
        experiment_id : str
            The name of the run's folder.
        **options
            More of `Executor`, such as ``interval``.

        Raises
        ------
        InputError, FarHostError
            Nothing was started.
        """
        first, *self._waiting = self.file.pools
        executor = Executor(
            self._places[first.name], self.folder(experiment_id), python=self.file.queue.python, pool=first.name,
            **self._settings(first), **options,
        )  # fmt: skip
        try:
            self._add_endpoint(executor)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return executor

    def add_pool(self, executor: Executor) -> str | None:
        """Add the next pool that waits; return its name, or None if all are there."""
        if not self._waiting:
            return None
        pool = self._waiting.pop(0)
        self._add(executor, pool)
        return pool.name

    def refit(self, executor: Executor, function: Callable[..., Any], *args: Any) -> Any:
        """Return ``function(*args)``: on the pool of ``reprioritize_endpoint``, else here.

        Workers go on meanwhile with what waits.
        """
        if self.refit_tag is None:
            return function(*args)
        return (
            executor.options(tag=self.refit_tag, priority=BEFORE_ALL)
            .submit(function, *args)
            .result()
        )

    def _add_endpoint(self, executor: Executor) -> None:
        """Add the pool of refits, which is needed from the beginning."""
        for pool in self._waiting:
            if pool.name == self.file.reprioritize_endpoint:
                self._waiting.remove(pool)
                self._add(executor, pool)
                return

    def _add(self, executor: Executor, pool: EmewsPool) -> None:
        executor.add_pool(self._places[pool.name], name=pool.name, **self._settings(pool))

    def _settings(self, pool: EmewsPool) -> dict[str, Any]:
        if isinstance(self._places[pool.name], Here):  # it takes all tasks, as many as it can run
            return {"accepts": [], "batch_size": None, "threshold": 1}
        return {
            "accepts": self.file.accepts[pool.name], "batch_size": pool.batch_size,
            "threshold": pool.threshold,
        }  # fmt: skip


def read_workflow(path: str | os.PathLike[str]) -> Workflow:
    """Read the file of an EMEWS workflow; nothing is started.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    InputError
        It cannot be read, or something in it makes no sense.
    """
    name = os.fspath(path)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no YAML: it is not UTF-8 ({error.reason}).") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}.") from error
    return Workflow(check_file(read_documents(text, name), name))


def _folder(queue: EmewsQueue, experiment_id: str) -> str:
    """The run's folder: a path, or a url of ssh."""
    if not _NAME.fullmatch(experiment_id):
        raise InputError(
            f"EXPERIMENT_ID {experiment_id!r:.80} names a folder: use letters, digits, '.', '_' and '-'."
        )
    if queue.host is None:
        return os.fspath(Path(queue.folder or "").expanduser() / experiment_id)
    if queue.ssh_config is not None and SSH_VARIABLE not in os.environ:
        os.environ[SSH_VARIABLE] = _ssh(queue.ssh_config)
    folder = queue.folder or "~"
    return f"ssh://{queue.host}/{quote(folder.lstrip('/'), safe='/~')}/{experiment_id}"


def _ssh(config: str) -> str:
    """Return ssh's command line with this configuration."""
    return shlex.join(["ssh", "-F", os.path.expanduser(config)])
