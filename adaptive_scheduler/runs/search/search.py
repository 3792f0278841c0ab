"""`Search`: an optimiser asks, tasks answer, a new one takes the place of each that ends."""

from __future__ import annotations

import os
import queue
import shlex
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from adaptive_scheduler.core.options.checks import count, optional
from adaptive_scheduler.core.searches.flow import ABORT, CONTINUE, DRAIN, Flow
from adaptive_scheduler.core.searches.space import is_number
from adaptive_scheduler.errors import USER_RAISES, InputError, RequestRefusedError, TaskError
from adaptive_scheduler.optimizers.learner import OptimizerLearner
from adaptive_scheduler.optimizers.numbered import Point
from adaptive_scheduler.runs.driver.commands.command import Command
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.search.asker import Asker
from adaptive_scheduler.runs.search.command import file_of_value
from adaptive_scheduler.runs.search.ends import SearchFailure, has_ended_by_itself, value_of
from adaptive_scheduler.runs.search.guard import alone, claim_values
from adaptive_scheduler.runs.search.tasks import SearchTasks, names_of, refuse_wrong_task

#: Points that are chosen before somebody waits for them, at most.
MOST_AHEAD = 8
#: Failures whose reasons an error has.
MOST_SHOWN = 5


@dataclass(frozen=True)
class SearchEvent:
    """What has just happened in a search, for who shows it.

    Attributes
    ----------
    kind : str
        ``known`` (a task that the run had), ``issued``, ``done`` or ``failed``.
    number : int
    parameters : dict
    out : int
        Tasks that are out now.
    future : TaskFuture
    value : float, optional
    failure : SearchFailure, optional
    """

    kind: str
    number: int
    parameters: dict[str, Any]
    out: int
    future: TaskFuture[Any]
    value: float | None = None
    failure: SearchFailure | None = None


@dataclass
class SearchOutcome:
    """What a search has found.

    Attributes
    ----------
    best : tuple or None
        The best parameters, and their value.
    done : int
        Tasks with a value.
    failures : list of SearchFailure
    """

    best: tuple[dict[str, Any], float] | None = None
    done: int = 0
    failures: list[SearchFailure] = field(default_factory=list)


def flow_of(max_tasks: Any, at_once: tuple[Any, Any], on_failure: Any, penalty: Any = None) -> Flow:
    """Return the flow that a user has described; InputError names what is wrong.

    Parameters
    ----------
    max_tasks : int
    at_once : (int or None, int or None)
        In the beginning, and later.
    on_failure : str
    penalty : float, optional
    """
    if penalty is not None and (not is_number(penalty) or on_failure != CONTINUE):
        raise InputError(f"penalty={penalty!r}: give a number, with on_failure='continue'.")
    initial, concurrency = at_once
    later = optional(count(least=1))(concurrency, "concurrency")
    first = optional(count(least=1))(initial, "initial") or later or 1
    return Flow(count(least=1)(max_tasks, "max_tasks"), first, later or first, on_failure)


class Search:
    """Runs the points that a learner asks for as tasks of an executor.

    It begins with `initial` tasks at once. As each ends, another takes its place, until `max_tasks` were issued;
    then it waits for the rest. Run again with the same executor's folder it goes on: tasks
    that have ended are not run again.

    Parameters
    ----------
    learner : OptimizerLearner
        Chooses the points; one that was used before goes on with what it knows.
    executor : Executor
        Where they run; or a view of it, ``executor.options(resources=..., timeout=..., retries=...)``.
    max_tasks : int
        Tasks in all.
    initial : int, optional
        Tasks at once in the beginning. Default: the learner's, else `concurrency`, else 1.
    concurrency : int, optional
        Tasks that are out at a time later. Default: `initial`.
    on_failure : str
        ``drain``: after a failure issue no more, and wait for what is out; ``continue``; or ``abort``: cancel what is out.
    penalty : float, optional
        What the optimiser is told of a task that failed, with ``continue``. Default: nothing.
    output : path-like, optional
        Where tasks write. Default: ``$OUTPUT``, else the working directory.
    name : str
        Of the search: several in one run need different ones.
    log : str
        Name of each task's log in `output`.
    ahead : int, optional
        Points that are chosen before a task ends, so that its place need not wait for the model; they are chosen anew
        when a value comes. Default: `concurrency`, 8 at most.
    parallelism : int, optional
        What ``{_nodes}`` and ``$PARALLELISM`` are for a command that starts its own processes on so many nodes
        (``srun -N {_nodes}``). Default: the nodes that the task occupies.
    on_event : callable, optional
        Given each `SearchEvent`.
    """

    def __init__(
        self,
        learner: OptimizerLearner,
        executor: Executor,
        max_tasks: int,
        *,
        initial: int | None = None,
        concurrency: int | None = None,
        on_failure: str = DRAIN,
        penalty: float | None = None,
        output: str | os.PathLike[str] | None = None,
        name: str = "search",
        log: str = "{_index:04d}.txt",
        ahead: int | None = None,
        parallelism: int | None = None,
        on_event: Callable[[SearchEvent], object] | None = None,
    ) -> None:
        if not isinstance(learner, OptimizerLearner):
            raise InputError(f"learner={learner!r:.200} must be an OptimizerLearner.")
        if not isinstance(executor, Executor):
            raise InputError(f"executor={executor!r:.200} must be an adaptive_scheduler.Executor.")
        if penalty is not None and (not is_number(penalty) or on_failure != CONTINUE):
            raise InputError(f"penalty={penalty!r}: give a number, with on_failure='continue'.")
        at_once = optional(count(least=1))(concurrency, "concurrency")
        first = optional(count(least=1))(initial, "initial") or learner.initial or at_once or 1
        self._flow = Flow(
            count(least=1)(max_tasks, "max_tasks"), first, at_once or first, on_failure
        )
        ahead = optional(count())(ahead, "ahead")
        names = names_of(name, output, log)
        refuse_wrong_task(learner)
        self.learner, self._executor = learner, executor
        self._penalty, self._on_event = penalty, on_event
        self._names = names
        nodes = optional(count(least=1))(parallelism, "parallelism")
        self._tasks = SearchTasks(learner, executor, names, nodes)
        self._ended: queue.SimpleQueue[tuple[Point, TaskFuture[Any]] | None] = queue.SimpleQueue()
        self._outcome = SearchOutcome()
        self._asker = Asker(
            learner, min(self._flow.concurrency, MOST_AHEAD) if ahead is None else ahead,
            lambda: self._ended.put(None),
        )  # fmt: skip

    def run(self) -> SearchOutcome:
        """Run it to its end.

        Raises
        ------
        TaskError
            Tasks have failed, and `on_failure` is not ``continue``.
        """
        if self._flow.issued:
            raise InputError("this search has been run. Make a new Search(...): it goes on there.")
        if not self._executor.folder.folder.is_dir():
            raise InputError(
                f"The run in {self._executor.folder.home} is on another machine. A search runs where its "
                "run is: start it there."
            )
        with alone(self._executor.folder, self._names.search):
            self._names.output.mkdir(parents=True, exist_ok=True)
            self._claim_values()
            out = self._take_known()
            self._asker.start()
            try:
                self._go_on(out)
            finally:
                self._asker.stop()
        self._outcome.best = self.learner.best
        if self._flow.is_stopped:
            raise TaskError(self._why_it_stopped())
        return self._outcome

    def _claim_values(self) -> None:
        task = self.learner.task
        if isinstance(task, Command) and (file := file_of_value(task, self._names.log)):
            claim_values(self._names.output, file, self._executor.folder, self._names.search)

    def _take_known(self) -> dict[Point, TaskFuture[Any]]:
        """Tell the learner what the run has; returns what is out."""
        out: dict[Point, TaskFuture[Any]] = {}
        for point, future in self._tasks.known():
            self.learner.tell_pending(point)
            out[point] = future
            self._flow.issued += 1
            self._show("known", point, future)
        for point, future in out.items():
            self._listen(point, future)
        return out

    def _listen(self, point: Point, future: TaskFuture[Any]) -> None:
        future.add_done_callback(lambda _: self._ended.put((point, future)))

    def _go_on(self, out: dict[Point, TaskFuture[Any]]) -> None:
        while True:
            self._issue(out)
            if self._flow.is_over:
                return
            for point, future in self._wait_for_ends():
                del out[point]
                self._flow.ended += 1
                self._take(point, future)
            if self._flow.is_stopped and self._flow.on_failure == ABORT:
                for other in out.values():
                    other.cancel()

    def _wait_for_ends(self) -> list[tuple[Point, TaskFuture[Any]]]:
        """Return tasks that have ended; none if a point is ready."""
        found = [self._ended.get()]
        while not self._ended.empty():
            found.append(self._ended.get())
        if self._asker.error is not None:
            raise self._asker.error
        return [one for one in found if one is not None]

    def _issue(self, out: dict[Point, TaskFuture[Any]]) -> None:
        """Issue as many tasks as there is room and as there are points for."""
        for point in self._asker.take(self._flow.room):
            out[point] = future = self._tasks.submit(point)
            self._flow.issued += 1
            self._listen(point, future)
            self._show("issued", point, future)
        self._asker.want(self._flow.room, self._flow.left)

    def _take(self, point: Point, future: TaskFuture[Any]) -> None:
        try:
            value = value_of(future)
        except (*USER_RAISES, CancelledError) as error:
            if isinstance(error, RequestRefusedError):  # as what no pool can ever hold
                raise InputError(f"the tasks of this search are refused: {error}") from error
            if not has_ended_by_itself(future):  # the run has broken, or a function cannot be sent
                raise
            self._take_failure(point, future, error)
        else:
            self._asker.tell(point, value)
            self._outcome.done += 1
            self._show("done", point, future, value=value)

    def _take_failure(self, point: Point, future: TaskFuture[Any], error: BaseException) -> None:
        is_ours = isinstance(error, CancelledError) and self._flow.is_stopped
        if (
            is_ours and self._flow.on_failure == ABORT
        ):  # we have cancelled it: it is tried again another day
            return
        self._flow.failed += 1
        self._asker.give_up(point, self._penalty)
        parameters = self.learner.space.named(point[1])
        failure = SearchFailure(point[0], parameters, error, self._tasks.log(point))
        self._outcome.failures.append(failure)
        self._show("failed", point, future, failure=failure)

    def _show(self, kind: str, point: Point, future: TaskFuture[Any], **more: Any) -> None:
        if self._on_event is None:
            return
        parameters = self.learner.space.named(point[1])
        self._on_event(SearchEvent(kind, point[0], parameters, self._flow.out, future, **more))

    def _why_it_stopped(self) -> str:
        failures = self._outcome.failures
        first = "\n".join(map(str, failures[:MOST_SHOWN]))
        more = f"\nand {len(failures) - MOST_SHOWN} more" if len(failures) > MOST_SHOWN else ""
        return (
            f"{len(failures)} of {self._flow.ended} tasks of the search failed, and it was stopped "
            f"(on_failure={self._flow.on_failure!r}):\n{first}{more}\nMend that, let those that failed be tried again "
            f"(adaptive-scheduler retry {shlex.quote(str(self._executor.folder.home))}), and run the search again: it goes on. Or go on "
            "without them: on_failure='continue'."
        )
