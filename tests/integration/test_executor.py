"""`Executor` on this machine: real manager, head, agent and workers."""

from __future__ import annotations

import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler import (
    Command,
    Executor,
    TaskResources,
    exit_code,
    float_file,
    json_value,
    regex_value,
)
from adaptive_scheduler.core.wire.tasks import EndKind, LastTry, NewTask, TaskResult
from adaptive_scheduler.errors import FileError, InputError, TaskError, UnpicklableError
from adaptive_scheduler.runs.driver import outbox
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.settings import Settings
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.scheduler import Here

PATIENCE = 60.0


def double(x: Any) -> Any:
    return 2 * x


def one_try(number: int) -> bytes:
    last = LastTry(f"here:host:{number}", "host", 4242, EndKind.VALUE, 2**30, 1.7e9, 1.7e9, 0.5)
    return msgspec.msgpack.encode(last)


class Unloadable:
    def __reduce__(self) -> Any:
        return int, ("no number",)


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with Executor(Here(slots=2), folder=tmp_path_factory.mktemp("executor") / "run") as made:
        made.submit(double, 1).result(PATIENCE)
        yield made


def test_many_calls_come_back_in_their_order(executor: Executor) -> None:
    futures = executor.submit_many(double, range(3000))
    assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(3000)]
    assert [future.args for future in futures[:2]] == [(0,), (1,)]


def test_a_key_is_run_once(executor: Executor) -> None:
    keyed = executor.options(key="once", tag="keyed")
    futures = [keyed.submit(double, 4), keyed.submit(double, 4)]
    assert [future.result(PATIENCE) for future in futures] == [8, 8]
    late = keyed.submit(double, 4)  # its end was collected long ago
    assert late.result(PATIENCE) == 8
    assert len({future.task for future in (*futures, late)}) == 1
    assert [row["state"] for row in executor.tasks(tag="keyed")] == ["done"]


def test_a_task_waits_for_others(executor: Executor) -> None:
    first = executor.submit(double, 1)
    assert executor.options(after=[first]).submit(double, 2).result(PATIENCE) == 4
    bad = executor.submit(divmod, 1, 0)
    with pytest.raises(TaskError):
        executor.options(after=[bad]).submit(double, 2).result(PATIENCE)


def test_running_and_waiting_tasks_are_cancelled(executor: Executor, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def sleep() -> None:
        begun.touch()
        time.sleep(1000)

    futures = [executor.submit(sleep) for _ in range(5)]
    end = time.monotonic() + PATIENCE
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert all(future.cancel() for future in futures)
    with pytest.raises(CancelledError):
        futures[0].result()
    assert executor.submit(double, 1).result(PATIENCE) == 2  # the slots are free again


def test_what_cannot_be_pickled_is_named_and_harms_no_other(executor: Executor) -> None:
    good, bad = executor.submit(double, 1), executor.submit(double, threading.Lock())
    assert good.result(PATIENCE) == 2
    with pytest.raises(UnpicklableError, match="argument 0"):
        bad.result(0)
    lock = threading.Lock()
    with pytest.raises(UnpicklableError, match="function"):
        executor.submit(lambda: lock).result(0)


def test_a_value_that_cannot_be_loaded_here(executor: Executor) -> None:
    with pytest.raises(UnpicklableError, match="cannot be loaded here"):
        executor.submit(Unloadable).result(PATIENCE)


def test_a_dead_worker_is_the_end_of_its_task(executor: Executor) -> None:
    with pytest.raises(TaskError):
        executor.submit(os._exit, 3).result(PATIENCE)
    assert executor.submit(double, 1).result(PATIENCE) == 2


def test_as_completed_takes_n_and_removes_them(executor: Executor) -> None:
    futures = executor.submit_many(double, range(10))
    executor.update_priorities(futures, range(10))
    assert len(list(executor.as_completed(futures, n=4, pop=True))) == 4
    assert len(futures) == 6


def test_commands(executor: Executor) -> None:
    odd = "a b'; exit 9 #"
    run = executor.submit(Command("echo {x} > out", value=lambda o: o.read("out")), x=odd)
    assert run.result(PATIENCE) == odd + "\n"
    assert run.folder is not None
    assert executor.submit(Command("echo v={x}", value=regex_value("v=(.*)")), x=2.5).result(
        PATIENCE
    ) == pytest.approx(2.5)
    steps = Command({"a": "echo 3 > r", "b": ["cp", "{_param_file}", "p"]}, value=json_value("p"))
    assert executor.submit(steps, y=[1]).result(PATIENCE) == {"y": [1]}
    number = Command("echo {x} > r", value=float_file("r"))
    assert executor.submit(number, x=3).result(PATIENCE) == 3
    with pytest.raises(TaskError, match="status 3"):
        executor.submit(Command("exit 3")).result(PATIENCE)
    assert executor.submit(Command("exit 0", value=exit_code)).result(PATIENCE) == 0
    assert executor.submit(Command("exit 3", value=exit_code)).result(PATIENCE) == 3
    with pytest.raises(InputError, match="no parameter"):
        executor.submit(Command("echo {y}"), x=1)


def test_attach_has_results_of_another_day(executor: Executor) -> None:
    future = executor.options(key="attached").submit(double, 21)
    future.result(PATIENCE)
    again = Executor.attach(executor.folder.home)
    found = next(one for one in again.futures if one.task == future.task)
    assert found.result(PATIENCE) == 42
    again.shutdown()
    assert executor.submit(double, 1).result(PATIENCE) == 2


def test_a_manager_that_is_killed_and_started_anew(executor: Executor) -> None:
    from adaptive_scheduler.io.transport.addresses import read_address
    from adaptive_scheduler.runs.driver.start_run import start_run

    os.kill(read_address(executor.folder).pid, signal.SIGKILL)
    future = executor.submit(double, 5)
    with ManagerClient(executor.folder) as viewer:
        while viewer.lives():  # a signal needs a moment
            time.sleep(0.01)
    start_run(executor.folder, "tasks")
    assert future.result(PATIENCE) == 10


def test_two_drivers_on_one_run(executor: Executor) -> None:
    other = Executor.attach(executor.folder.home)
    mine, theirs = executor.submit_many(double, range(300)), other.submit_many(double, range(300))
    assert [one.result(PATIENCE) for one in mine] == [one.result(PATIENCE) for one in theirs]
    assert not {one.task for one in mine} & {one.task for one in theirs}
    other.shutdown()


def test_a_broken_conversation_ends_all_futures(executor: Executor) -> None:
    other = Executor.attach(executor.folder.home)
    waiting = other.submit(time.sleep, 0.5)
    other._book.broken(FileError(executor.folder.keys, "is gone."))
    with pytest.raises(FileError):
        waiting.result(PATIENCE)
    with pytest.raises(BrokenExecutor, match="is gone"):
        other.submit(double, 1)
    other.shutdown()


def test_a_full_outbox_makes_submit_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 3)
    box = outbox.Outbox()
    put: list[int] = []

    def fill() -> None:
        for n in range(10):
            box.put_task(NewTask(b""), TaskResources(), TaskFuture(None, (n,), {}, Settings()))
            put.append(n)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    taken: list[Any] = []
    while len(taken) < 10:
        got = box.take()
        assert isinstance(got, list)
        assert len(got) <= 3
        taken += got
    thread.join(PATIENCE)
    assert [one.future.args[0] for one in taken] == list(range(10))


def test_a_future_costs_less_than_600_bytes() -> None:
    n = 100_000
    settings = Settings()
    tracemalloc.start()
    made: list[TaskFuture[Any]] = [TaskFuture(None, (x,), {}, settings) for x in range(n)]
    for number, future in enumerate(made):
        future.number = number
        future.facts = TaskResult(number, "done", attempts=1, last_try=one_try(number))
        future.set_result(float(number))
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size / n < 600
