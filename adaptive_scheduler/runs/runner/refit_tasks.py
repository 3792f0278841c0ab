"""Fits of a ranking learner's model as tasks of its run."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.slots import SlotCount, Slots
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.ranking.model import RankingModel
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.driver.settings import Settings

#: How much a fit goes before a candidate, whose priority is that of the executor's settings and 1 at most.
BEFORE_ALL = 2.0


class RefitTasks:
    """Submits fits; each time the same model, which is sent once.

    Parameters
    ----------
    executor : Executor
    refit_on : str or Executor
        The tag of the tasks, which a pool must accept; or an executor's `options` for them.
    """

    def __init__(self, executor: Executor, refit_on: str | Executor) -> None:
        self._book = executor._book  # noqa: SLF001  a part of the driver
        self._given, self._settings = refit_on, _settings(executor, refit_on)
        self._pins = ExitStack()
        self._pinned: RankingModel | None = None

    def refuse_unplaceable(self) -> None:
        """Raise InputError if nothing can ever run a fit: else that is told after hours, when one is due."""
        needs = self._settings.resources or TaskResources()
        reply = self._book.keeper.ask(Slots(needs, self._settings.tag))
        assert isinstance(reply, SlotCount), reply
        if reply.never:
            accepts = f", accepts=[{self._settings.tag!r}]" if self._settings.tag else ""
            raise InputError(
                f"refit_on={self._given!r}: {reply.never} Fits need one before the runner starts: "
                f"executor.add_pool(...{accepts})."
            )

    def __call__(self, model: RankingModel, numbers: list[int], values: list[float]) -> Future[Any]:
        """Submit a fit."""
        if self._pinned is not model:
            self._pinned = model
            self._pins.enter_context(self._book.pinned(model))
        return self._book.submit(self._settings, model, (numbers, values), {})

    def close(self) -> None:
        """No more will be submitted."""
        self._pins.close()


def _settings(executor: Executor, refit_on: Any) -> Settings:
    base = executor._settings.priority + BEFORE_ALL  # noqa: SLF001
    if isinstance(refit_on, Executor):
        if refit_on._book is not executor._book:  # noqa: SLF001
            raise InputError(f"refit_on={refit_on!r} is another run: give options of {executor!r}.")
        given = refit_on._settings  # noqa: SLF001
        return given.with_options({"priority": max(base, given.priority)})
    if not isinstance(refit_on, str) or not refit_on:
        raise InputError(
            f"refit_on={refit_on!r}: give a tag that a pool accepts (add_pool(..., accepts=['refit'])), or "
            "executor.options(tag=..., resources=...)."
        )
    options = {"tag": refit_on, "name": "refit", "priority": base}
    return Settings(resources=TaskResources()).with_options(options)
