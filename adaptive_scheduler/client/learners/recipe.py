"""How learners are made, and when they are done; read again when the run folder changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adaptive_scheduler.client.learners.process_setup import prepare_process
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.goals import Goal
from adaptive_scheduler.core.initializers import Initializer, of_learner
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Assigned
from adaptive_scheduler.errors import AdaptiveSchedulerError, UserCodeError
from adaptive_scheduler.executors import received_code
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.pickling.learner_file import LearnerFile
from adaptive_scheduler.io.storage.run_config import read_config

#: inode, size, mtime_ns of each file; None where there is none
_Edition = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class Recipe:
    """How learners are made, and when they are done.

    Attributes
    ----------
    learner : callable
        Makes the learner of an `Assigned`, without its data.
    goal, goal_function
        See `core.goals`.
    initializers : callable
        Gives those of the learner of an `Assigned`.
    runner_kwargs, point_timeout, point_retries, after_save
        See `evaluation.learners.work.LearnerWork`.
    """

    learner: Callable[[Assigned], Any]
    goal: Goal
    goal_function: Callable[[Any], bool] | None = None
    initializers: Callable[[Assigned], tuple[Initializer, ...]] = lambda _: ()
    runner_kwargs: dict[str, Any] = field(default_factory=dict)
    point_timeout: float | None = None
    point_retries: int = 0
    after_save: Callable[[Any, Any], None] | None = None


class Recipes:
    """Gives the recipe as the run folder has it now.

    `retry` writes functions and goal anew while clients run: they use them from
    their next claim on.

    Parameters
    ----------
    folder : RunFolder
    config : RunConfig
        As the client has read it.
    """

    def __init__(self, folder: RunFolder, config: RunConfig) -> None:
        self._folder = folder
        self._config = config
        self._learners: LearnerFile | None = None
        self._recipe: Recipe | None = None
        self._edition: _Edition = ()

    def __call__(self) -> Recipe:
        """Return the recipe of now; costs the status of three files if nothing has changed."""
        edition = tuple(
            _identity(path)
            for path in (self._folder.config, self._folder.callables, self._folder.learners)
        )
        if self._recipe is None:
            self._recipe = self._read()
        elif edition != self._edition:
            self._config = read_config(self._folder)
            self._recipe = self._read()
        self._edition = edition
        return self._recipe

    def _read(self) -> Recipe:
        if self._learners is None:
            received_code.show_sources()
            prepare_process()  # while the claim is being answered
        else:
            self._learners.close()
        self._learners = LearnerFile(self._folder.learners)
        initializers = self._stored("initializers")
        return Recipe(
            learner=self._learner,
            goal=self._config.goal,
            goal_function=self._stored("goal"),
            initializers=lambda assigned: of_learner(initializers, assigned.item),
            runner_kwargs=dict(self._stored("runner_kwargs") or {}),
            point_timeout=self._config.point_timeout,
            point_retries=self._config.point_retries,
            after_save=self._stored("after_save"),
        )

    def _stored(self, name: str) -> Any:
        path = self._folder.callables
        return read_callable(path, name) if path.exists() else None

    def _learner(self, assigned: Assigned) -> Any:
        assert self._learners is not None
        try:
            return self._learners.read(assigned.item)
        except AdaptiveSchedulerError:
            raise
        except BaseException as error:  # the border to the user's code: classes that do not load
            name, message, text, _ = describe(error)
            raise UserCodeError(
                "learner, when it was loaded,", f"{name}: {message}", text
            ) from error


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from a later one with the same name; opened, so that NFS asks its server."""
    with files.naming(path):
        try:
            with path.open("rb") as file:
                return files.identity_of(os.fstat(file.fileno()))
        except FileNotFoundError:
            return None
