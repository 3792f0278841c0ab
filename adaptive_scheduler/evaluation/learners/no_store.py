"""Stands for the store of a learner whose points are kept elsewhere: as tasks of a run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor as Pool
from typing import Any

from adaptive_scheduler.evaluation.learners.data_file import LoadReport
from adaptive_scheduler.evaluation.learners.store import SaveBudget, SaveResult


class NoStore:
    """Does what a `LearnerStore` does, without any file."""

    def __init__(self) -> None:
        self.report = LoadReport()
        self.save_seconds = 0.0
        self.problem = ""
        self.n_unwritten = 0

    def load(self) -> LoadReport:
        """There is nothing to load."""
        return self.report

    def record(self, x: Any, y: Any) -> None:
        """Keep nothing."""

    def flush(self, *, sync: bool = False) -> None:
        """Write nothing."""

    async def save_beside(self, threads: Pool) -> None:
        """Save nothing."""

    def finish(
        self,
        budget: SaveBudget,  # noqa: ARG002
        waiting: Callable[[], object] = lambda: None,  # noqa: ARG002
    ) -> SaveResult:
        """There is nothing left to write."""
        return SaveResult(True)
