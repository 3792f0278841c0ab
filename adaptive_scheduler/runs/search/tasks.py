"""The tasks of a search: how each is submitted, and those that the run has already."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.searches.space import Space, Values
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.optimizers.by_name import is_async
from adaptive_scheduler.optimizers.learner import OptimizerLearner
from adaptive_scheduler.optimizers.numbered import Point
from adaptive_scheduler.runs.driver.commands.command import ALWAYS_THERE, Command
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.search.command import SearchCommand, placeholders_of_name
from adaptive_scheduler.runs.search.printing import with_log


@dataclass(frozen=True)
class Names:
    """How a search calls its tasks, and where they write.

    Attributes
    ----------
    search : str
        The tag of its tasks, and the beginning of their names.
    output : Path
    log : str
        Name of each log in `output`.
    """

    search: str
    output: Path
    log: str = "{_index:04d}.txt"

    def check(self) -> None:
        """Refuse names that would be the same for two tasks; InputError."""
        if not re.fullmatch(r"[\w.-]+", self.search):
            raise InputError(f"name={self.search!r}: give letters, digits, and . - _ only.")
        try:
            is_one = self.log_of(0) == self.log_of(1)
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(f"log={self.log!r}: {error!r}. Give '{{_index:04d}}.txt'.") from error
        if is_one:
            raise InputError(
                f"log={self.log!r}: all tasks would write to it. Give '{{_index:04d}}.txt'."
            )

    def log_of(self, number: int) -> Path:
        """Return the log of a task."""
        return Path(self.log_path(number))

    def log_path(self, number: int) -> str:
        """Return it as a text, which takes a tenth of the time."""
        return f"{self.output}/{self.log.format(_index=number)}"

    def task(self, number: int) -> str:
        """Return the name of a task."""
        return f"{self.search}-{number:04d}"

    def key(self, number: int, values: Values) -> str:
        """Return the key of a task: what was asked for as this number is another task if it is another point."""
        digest = hashlib.blake2b(repr(values).encode(), digest_size=6).hexdigest()
        return f"{self.task(number)}-{digest}"

    def number(self, key: str) -> int | None:
        """Return the number in a key; None if it is no task of this search."""
        found = re.fullmatch(re.escape(self.search) + r"-(\d+)-[0-9a-f]{12}", key)
        return None if found is None else int(found[1])


def names_of(search: str, output: str | os.PathLike[str] | None, log: str) -> Names:
    """Return checked names; the output is also that of ``$OUTPUT``, else the working directory."""
    names = Names(search, Path(output or os.environ.get("OUTPUT") or ".").absolute(), log)
    names.check()
    files.check_output(names.output, f"output={names.output}")
    return names


def refuse_wrong_task(learner: OptimizerLearner) -> None:
    """Refuse what cannot be a task, and a command with a placeholder that is no parameter; InputError."""
    if is_async(learner.task):
        raise InputError(
            f"{learner.task!r} is an async def, which cannot run as a task. Give a plain function, such as "
            "one that calls asyncio.run(...)."
        )
    if not isinstance(learner.task, Command):
        return
    rule_name = getattr(learner.task.rule, "name", "")
    for name in [*learner.task.placeholders, *placeholders_of_name(rule_name)]:
        if name not in learner.space.names and name not in ALWAYS_THERE:
            raise InputError(
                f"{{{name}}} in {learner.task!r} or its value is no parameter of the space (it has "
                f"{', '.join(learner.space.names)}). For the text itself write {{{{{name}}}}}."
            )


class SearchTasks:
    """Submits points as tasks.

    Parameters
    ----------
    learner : OptimizerLearner
    executor : Executor
    names : Names
    parallelism : int, optional
        Nodes on which each starts its own processes; default: those that it occupies.
    """

    def __init__(
        self,
        learner: OptimizerLearner,
        executor: Executor,
        names: Names,
        parallelism: int | None = None,
    ) -> None:
        self._executor, self._names, self._parallelism = executor, names, parallelism
        self._space: Space = learner.space
        is_command = isinstance(learner.task, Command)
        self._task = learner.task if is_command else with_log(learner.task)

    def submit(self, point: Point) -> TaskFuture[Any]:
        """Submit a point."""
        number, values = point
        parameters = self._space.named(values)
        view = self._executor.options(
            key=self._names.key(number, values), name=self._names.task(number),
            tag=self._names.search,
        )  # fmt: skip
        if not isinstance(self._task, Command):
            return view.submit(self._task, self._names.log_path(number), **parameters)
        log = self._names.log_of(number)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = SearchCommand(self._task, number, (self._names.output, log), self._parallelism)
        return view.submit(command, **parameters)

    def known(self) -> Iterator[tuple[Point, TaskFuture[Any]]]:
        """Yield the points that the run has, in the order of their numbers.

        Raises
        ------
        InputError
            One is no point of this space.
        """
        found = [
            (number, future)
            for future in self._executor.futures
            if (number := self._names.number(future.settings.key)) is not None
        ]
        for number, future in sorted(found, key=lambda one: one[0]):
            yield (number, self._native(number, future.kwargs)), future

    def _native(self, number: int, parameters: dict[str, Any]) -> Values:
        try:
            return self._space.native(parameters)
        except InputError as error:
            raise InputError(
                f"task {number} of the run {self._executor.folder.home} is of another space: {error} "
                "Give the space that it was begun with, or another output and folder."
            ) from error

    def log(self, point: Point) -> Path:
        """Return where a task writes."""
        return self._names.log_of(point[0])
