"""Points as tasks: how many are in flight, and what becomes of those that fail or are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.wire.slots import SlotCount
from adaptive_scheduler.errors import ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.evaluation.choose_anew import choose_anew
from adaptive_scheduler.evaluation.durations import Durations
from adaptive_scheduler.evaluation.messages import PointTask
from adaptive_scheduler.evaluation.options import RunnerOptions
from adaptive_scheduler.evaluation.runner import PointRunner
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.optimizers.by_name import ByName
from adaptive_scheduler.optimizers.ranking.learner import RankingLearner
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.settings import Settings
from adaptive_scheduler.runs.runner.point_keys import PointKeys
from adaptive_scheduler.runs.runner.points_wanted import PointsWanted, SlotWatch
from adaptive_scheduler.runs.runner.take_over import take_over
from adaptive_scheduler.runs.runner.task_evaluator import TaskEvaluator


def square(x: Any) -> Any:
    return x * x


class FakeTasks:
    """Tasks that end when the test says so; `begun` have been handed out."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.refuse: Exception | None = None
        self.futures: list[TaskFuture[Any]] = []
        self.begun: set[TaskFuture[Any]] = set()
        self.before: list[tuple[str, Phase, TaskFuture[Any] | None]] = []
        self.is_closed = self.has_ended = False

    def submit(
        self, function: Callable[..., Any], argument: Any, gain: float, key: str
    ) -> TaskFuture[Any]:
        if self.refuse is not None:
            raise self.refuse
        return self.make(argument, gain, key)

    def make(self, argument: Any, gain: float = 0.0, key: str = "") -> TaskFuture[Any]:
        future: TaskFuture[Any] = TaskFuture(self, (argument,), {}, Settings(gain, key=key))
        future.number = len(self.futures)
        self.futures.append(future)
        return future

    def prioritise(self, futures: Sequence[TaskFuture[Any]], gains: Sequence[float]) -> None:
        for future, gain in zip(futures, gains, strict=True):
            future._priority = gain

    def withdraw(self, futures: Any) -> None:
        if isinstance(futures, list):  # else a future tells that it was cancelled
            self.cancel([future for future in futures if future not in self.begun])

    def cancel(self, futures: Sequence[TaskFuture[Any]]) -> None:
        for future in futures:
            future.cancel()

    def waiting(self, futures: Sequence[TaskFuture[Any]]) -> list[TaskFuture[Any]]:
        return [future for future in futures if future not in self.begun]

    def slots(self) -> SlotCount:
        return SlotCount(2)

    def earlier(
        self, is_mine: Callable[[str], bool]
    ) -> list[tuple[str, Phase, TaskFuture[Any] | None]]:
        return [one for one in self.before if is_mine(one[0])]

    def close(self) -> None:
        self.has_ended = True

    def keys(self) -> list[str]:
        return [future.settings.key for future in self.futures]


@pytest.fixture
def tasks() -> FakeTasks:
    return FakeTasks()


def evaluator_of(tasks: FakeTasks, wanted: Any = lambda _: 3) -> TaskEvaluator:
    return TaskEvaluator(tasks, PointKeys("p"), lambda x: x, wanted, lambda: None)


def points(*xs: float, gain: float = 0.0) -> list[PointTask]:
    return [PointTask(x, square, x, gain=gain) for x in xs]


# --------------------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("count", "ntasks", "ahead", "wanted"),
    [
        (SlotCount(0), None, None, 2),  # so that a job comes
        (SlotCount(1), None, None, 2),
        (SlotCount(32), None, None, 40),
        (SlotCount(32), None, 0, 32),
        (SlotCount(32), None, 100, 132),
        (SlotCount(32, ending=4), None, 0, 36),  # those occupy no slot
        (SlotCount(32, ending=4), 8, None, 8),
        (SlotCount(32), 8, 2, 10),
    ],
)
def test_points_in_flight(
    count: SlotCount, ntasks: int | None, ahead: int | None, wanted: int
) -> None:
    assert PointsWanted(ntasks, ahead).points(count, Durations()) == wanted


@pytest.mark.parametrize(
    ("seconds", "n", "is_blind", "ahead"),
    [
        (10.0, 1000, False, 2),  # a quarter of eight slots
        (0.1, 1000, False, 8),
        (0.01, 1000, False, 80),
        (0.001, 1000, False, 128),
        (0.001, 20, False, 5),  # of what is known
        (0.001, 20, True, 800),
        (0.0, 20, True, 4096),
    ],
)
def test_of_short_points_more_wait(seconds: float, n: int, is_blind: bool, ahead: int) -> None:
    durations = Durations()
    durations.add([seconds] * n)
    found = PointsWanted(is_blind=is_blind).points(SlotCount(8), durations)
    assert abs(found - 8 - ahead) <= 1


def test_the_slots_of_a_manager_that_is_away_stay_as_they_were() -> None:
    answers: list[Any] = [ManagerUnreachableError("away"), SlotCount(4), SlotCount(4)]
    changes: list[int] = []

    def ask() -> SlotCount:
        if isinstance(answers[-1], Exception):
            raise answers.pop()
        return answers.pop()  # type: ignore[no-any-return]

    watch = SlotWatch(ask, lambda: changes.append(watch.seen.slots))
    for _ in range(3):
        watch._look()
    assert (watch.seen, changes) == (SlotCount(4), [4])


def test_room_follows_what_is_wanted(tasks: FakeTasks) -> None:
    wanted = [3]
    evaluator = evaluator_of(tasks, lambda _: wanted[0])
    evaluator.submit(points(1.0, 2.0, gain=0.5))
    assert (evaluator.room(), evaluator.n_in_flight) == (1, 2)
    assert [future.priority for future in tasks.futures] == [0.5, 0.5]
    wanted[0] = 1
    assert evaluator.room() == 0
    tasks.futures[0].set_result(1.0)
    (result,) = evaluator.returned()
    assert (result.task.x, result.value, result.error) == (1.0, 1.0, None)
    assert (evaluator.n_in_flight, evaluator.durations.n) == (1, 1)


# --------------------------------------------------------------------------- what does not end well


def test_a_point_that_failed_is_tried_under_another_key(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0))
    tasks.futures[0].set_exception(ValueError("too large"))
    (result,) = evaluator.returned()
    assert "ValueError at x=1.0: too large" in str(result.error)
    assert evaluator.failure is None
    evaluator.submit([result.task])
    assert tasks.keys() == ["p:square:1.0#0", "p:square:1.0#1"]


def test_a_point_that_somebody_cancelled_has_failed(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0))
    tasks.cancel(tasks.futures)
    (result,) = evaluator.returned()
    assert "x=1.0: its task, 0, was cancelled by somebody" in str(result.error)


def test_what_the_run_refuses_ends_all(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0))
    tasks.futures[0].number = None  # it never was in the run
    tasks.futures[0].set_exception(RequestRefusedError("unplaceable", "no pool can ever hold it"))
    assert evaluator.returned() == []
    assert isinstance(evaluator.failure, RequestRefusedError)


@pytest.mark.parametrize(
    "error", [RuntimeError("cannot schedule new futures after shutdown"), BrokenExecutor("broken")]
)
def test_an_executor_that_was_shut_down_ends_all(tasks: FakeTasks, error: Exception) -> None:
    evaluator = evaluator_of(tasks)
    tasks.refuse = error
    evaluator.submit(points(1.0, 2.0))
    assert "no more points can be evaluated" in str(evaluator.failure)
    assert str(error) in str(evaluator.failure)


def test_a_run_that_is_broken_ends_all(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0, 2.0))
    tasks.fault = ManagerUnreachableError("gone")
    for future in tasks.futures:
        future.set_exception(tasks.fault)
    assert evaluator.returned() == []
    assert evaluator.failure is tasks.fault


# --------------------------------------------------------------------------- what is taken back


def test_a_point_that_was_taken_back_is_forgotten_unless_it_had_begun(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0, 2.0))
    tasks.begun.add(tasks.futures[0])
    evaluator.drop_waiting()
    assert tasks.futures[1].cancelled()
    tasks.futures[0].set_result(1.0)
    assert [result.value for result in evaluator.returned()] == [1.0]
    assert evaluator.n_in_flight == 0


def test_a_point_that_is_asked_for_while_it_is_taken_back_is_submitted_again(
    tasks: FakeTasks,
) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0, 2.0))
    tasks.begun.add(tasks.futures[0])
    evaluator.drop_waiting()
    evaluator.submit(points(1.0, 2.0))  # before the answers are read
    assert len(tasks.futures) == 2
    assert evaluator.returned() == []
    assert tasks.keys()[2:] == ["p:square:2.0#1"]
    tasks.futures[0].set_result(1.0)
    tasks.futures[2].set_result(4.0)
    assert [result.value for result in evaluator.returned()] == [1.0, 4.0]


def test_at_the_end_what_runs_is_cancelled(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0))
    evaluator.forget()
    assert tasks.futures[0].cancelled()
    assert (evaluator.returned(), evaluator.n_in_flight, tasks.has_ended) == ([], 0, True)


def test_after_a_ctrl_c_points_stay_in_the_run(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0))
    evaluator.is_leaving = True
    evaluator.drop_waiting()
    evaluator.forget()
    assert not tasks.futures[0].done()


def test_an_executor_that_has_ended_is_not_waited_for(tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    evaluator.submit(points(1.0))
    evaluator.end_if_closed()
    assert evaluator.failure is None
    tasks.is_closed = True
    evaluator.end_if_closed()
    assert "the executor has ended" in str(evaluator.failure)
    assert evaluator.n_in_flight == 0
    evaluator.forget()
    assert not tasks.futures[0].done()  # it stays in the run


# --------------------------------------------------------------------------- a learner that knows more


@pytest.mark.parametrize(
    "learner",
    [
        adaptive.Learner1D(square, (-1, 1)),
        adaptive.Learner2D(square, [(-1, 1), (-1, 1)]),
        adaptive.LearnerND(square, [(-1, 1), (-1, 1)]),
        adaptive.DataSaver(adaptive.Learner1D(square, (-1, 1)), arg_picker=lambda y: y),
    ],
)
def test_a_learner_chooses_anew_what_waits(learner: Any, tasks: FakeTasks) -> None:
    evaluator = evaluator_of(tasks)
    for x, _ in adaptive_private.ask_with_gains(learner, 20):
        learner.tell(x, sum(x) if isinstance(x, tuple) else x * x)
    asked = adaptive_private.ask_with_gains(learner, 6)
    evaluator.submit([PointTask(x, square, x, gain=gain) for x, gain in asked])
    tasks.begun |= set(tasks.futures[:2])
    (x, _), (other, _) = asked[:2]
    learner.tell(x, 1000.0)  # there is the peak
    tasks.futures[0].set_result(1000.0)
    evaluator.returned()
    choice = choose_anew(learner, evaluator, [])
    assert len(choice.kept) + len(choice.new) == len(choice.kept) + len(choice.gone) == 4
    assert choice.new
    evaluator.exchange(choice.kept, choice.gone)
    waits = [one for one in tasks.futures[2:] if not one.done()]
    assert [one.args[0] for one in waits] == [task.x for task in choice.kept]
    assert [one.priority for one in waits] == [task.gain for task in choice.kept]
    chosen = {task.x for task in choice.new + choice.kept}
    assert len(chosen) == 4
    assert other not in chosen
    # and not one of them is asked for again
    again = {point for point, _ in adaptive_private.ask_with_gains(learner, 5)}
    assert again.isdisjoint(chosen | {x, other})


def test_points_that_failed_are_not_chosen_again(tasks: FakeTasks) -> None:
    learner = adaptive.Learner1D(square, (-1, 1))
    evaluator = evaluator_of(tasks)
    for x, _ in adaptive_private.ask_with_gains(learner, 5):
        learner.tell(x, x * x)
    (failed, _), *others = adaptive_private.ask_with_gains(learner, 3)
    evaluator.submit([PointTask(x, square, x) for x, _ in others])
    learner.tell(*PAIR)
    choice = choose_anew(learner, evaluator, [PointTask(failed, square, failed)])
    assert failed not in {task.x for task in choice.new}


PAIR = (0.123, 5.0)


class Fitted:
    """A learner of the user's own that fits a model each time it is told something."""

    def __init__(self) -> None:
        self.function = square
        self.fits: list[int] = []
        self.data: dict[float, float] = {}
        self.asked = 0.0

    @property
    def npoints(self) -> int:
        return len(self.data)

    def ask(self, n: int, tell_pending: bool = True) -> tuple[list[float], list[float]]:
        asked = [self.asked + k for k in range(1, n + 1)]
        self.asked += n
        return asked, [float(len(self.fits))] * n

    def tell(self, x: float, y: float) -> None:
        self.tell_many([x], [y])

    def tell_many(self, xs: list[float], ys: list[float]) -> None:
        self.fits.append(len(xs))
        self.data.update(zip(xs, ys, strict=True))

    def tell_pending(self, x: float) -> None:
        pass

    def remove_unfinished(self) -> None:
        pass

    def loss(self, real: bool = True) -> float:
        return 0.0


@pytest.mark.parametrize("refit_every", [1, 4, 5])
def test_values_are_told_together(tasks: FakeTasks, refit_every: int) -> None:
    learner = Fitted()

    async def drive() -> PointRunner:
        evaluators: list[TaskEvaluator] = []

        def make(_loop: Any, wake: Callable[[], None]) -> TaskEvaluator:
            evaluators.append(TaskEvaluator(tasks, PointKeys("p"), lambda x: x, lambda _: 2, wake))
            return evaluators[0]

        options = RunnerOptions(refit_every=refit_every)
        runner = PointRunner(
            learner, lambda one: one.npoints >= 10, make_evaluator=make, options=options
        )
        while not runner.task.done():
            first = next((one for one in tasks.futures if not one.done()), None)
            if first is not None:
                first.set_result(square(first.args[0]))
            await asyncio.sleep(0)
        return runner

    runner = asyncio.run(asyncio.wait_for(drive(), 20))
    assert (runner.reason, runner.error) == ("goal", None)
    few = learner.fits[:2]  # two may have come at a time
    assert all(refit_every <= n <= (refit_every + 1 if refit_every > 1 else 1) for n in few), few
    assert all(learner.data[x] == x * x for x in learner.data)


# --------------------------------------------------------------------------- a driver that goes on


def test_the_key_of_a_named_point_has_the_function_that_the_user_gave() -> None:
    """It had that of its wrapper: another function was given the values of the former."""
    keys = PointKeys("p")
    learner = RankingLearner(square, [[1.0, 2.0]], object_model)
    (point,), _ = learner.ask(1)
    short = learner.short(point)
    assert keys.stem(ByName(square, ("x",)), (0, (1.0,))) == "p:square:[0,[1.0]]"
    assert keys.stem(learner.function, short) == f'p:square:[0,"{short[1]}"]'


def object_model() -> None:
    """Stands for what makes a model; it is not called."""


def test_points_of_a_former_driver_are_told_awaited_or_tried_again(tasks: FakeTasks) -> None:
    learner = adaptive.Learner1D(square, (-1, 1))
    keys = PointKeys("p")
    done, flying = tasks.make(-1), tasks.make(1)
    done.set_result(1.0)
    tasks.before = [
        ("p:square:-1#0", Phase.DONE, done),
        ("p:square:1#0", Phase.RUNNING, flying),
        ("p:square:0.5#0", Phase.FAILED, None),
        ("p:square:0.5#1", Phase.CANCELLED, None),
        ("p:other:0.25#0", Phase.DONE, tasks.make(0.25)),  # of another function
        ("q:square:0.125#0", Phase.DONE, tasks.make(0.125)),  # of another learner
    ]
    evaluator = TaskEvaluator(tasks, keys, lambda x: x, lambda _: 3, lambda: None)
    assert take_over(learner, tasks, keys, evaluator) == {}
    assert learner.data == {-1: 1.0}
    assert set(learner.pending_points) == {1}
    assert keys.key("p:square:0.5") == "p:square:0.5#2"
    flying.set_result(1.0)
    assert [result.task.x for result in evaluator.returned()] == [1]


@pytest.mark.parametrize("what", ["the executor has ended", "a Ctrl-C has come"])
def test_who_ends_does_not_wait_for_values_of_a_former_driver(tasks: FakeTasks, what: str) -> None:
    """Of a manager that is away, for example."""
    learner = adaptive.Learner1D(square, (-1, 1))
    here, away = tasks.make(-1), tasks.make(1)
    here.set_result(1.0)
    tasks.before = [("p:square:-1#0", Phase.DONE, here), ("p:square:1#0", Phase.DONE, away)]
    evaluator = evaluator_of(tasks)
    tasks.is_closed = what == "the executor has ended"
    evaluator.is_leaving = not tasks.is_closed
    take_over(learner, tasks, PointKeys("p"), evaluator)
    assert learner.data == {-1: 1.0}


def test_points_that_a_shorter_sequence_does_not_have_are_left_out(tasks: FakeTasks) -> None:
    learner = adaptive.SequenceLearner(square, [1, 2])
    keys = PointKeys("p")
    tasks.before = [(f"p:square:{n}#0", Phase.DONE, tasks.make(n)) for n in (0, 7)]
    for future in tasks.futures:
        future.set_result(0.0)
    evaluator = TaskEvaluator(
        tasks, keys, lambda x: adaptive_private.compact(learner, x), lambda _: 3, lambda: None
    )
    take_over(learner, tasks, keys, evaluator)
    assert learner.data == {0: 0.0}
