"""The faults of programs that run tasks (33 to 38, 48 to 52), with real processes."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil
import pytest

from adaptive_scheduler import Command, Executor, TaskResources, exit_code
from adaptive_scheduler.errors import RequestRefusedError, TaskError
from adaptive_scheduler.scheduler import Here, LocalScheduler

PATIENCE = 120.0
#: What separates things on other programs' wires, and what they quote with.
SEPARATORS = "a|b;c'd\"e\\f\tg\nh\x00i,j:k{l}m%n$o`p é ☃"


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with Executor(Here(slots=1), folder=tmp_path_factory.mktemp("tasks") / "run") as made:
        yield made


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def note_when(mark: str, ledger: str, number: int) -> int:
    """Wait for a file, if one is named; then append the number to another one."""
    time.sleep(0.03)
    while mark and not Path(mark).exists():
        time.sleep(0.01)
    with Path(ledger).open("a") as file:
        file.write(f"{number}\n")
    return number


def test_fault_33_what_was_fetched_runs_by_priority_and_can_be_cancelled_and_moved(
    tmp_path: Path,
) -> None:
    with Executor(Here(slots=2, gpus=1), folder=tmp_path / "run") as executor:
        _fetch_move_and_cancel(
            executor, executor.options(resources=TaskResources(gpus_per_rank=1)), tmp_path
        )


def _fetch_move_and_cancel(executor: Executor, one_at_a_time: Any, tmp_path: Path) -> None:
    """What needs the only GPU waits for its turn, in the head or before it; others can still run there."""
    ledger, mark = str(tmp_path / "ledger"), str(tmp_path / "mark")
    # their duration is known, so that some of the next are handed out ahead of their time
    for number in range(5):
        one_at_a_time.submit(note_when, "", os.devnull, number).result(PATIENCE)
    first = one_at_a_time.options(priority=100.0).submit(note_when, mark, ledger, 0)
    wait_for(lambda: first.state == "running")
    futures = [
        one_at_a_time.options(priority=float(n)).submit(note_when, "", ledger, n)
        for n in range(1, 9)
    ]
    wait_for(lambda: all(future.task is not None for future in futures))
    executor.update_priorities(futures, [float(-n) for n in range(1, 9)])
    assert futures[6].cancel()
    wait_for(lambda: [row["task"] for row in executor.tasks("cancelled")] == [futures[6].task])
    # the head has heard of it by now, and of the priorities before, when it runs what comes later
    assert executor.submit(abs, -1).result(PATIENCE) == 1
    Path(mark).touch()
    left = [one for one in (first, *futures) if one is not futures[6]]
    ran = [one.result(PATIENCE) for one in left]
    order = [int(line) for line in Path(ledger).read_text().split()]
    assert sorted(order) == ran, "the cancelled one has run"
    assert order[0] == 0
    # those that the head held ahead, at most 3 in 0.1 s of work, may go whenever; but in their own order, as the
    # others in theirs
    assert any(
        list(held) == sorted(held)
        and (others := [n for n in order if n not in held]) == sorted(others)
        for n_held in range(4)
        for held in combinations(order, n_held)
    ), order


def test_fault_34_tasks_of_a_dead_pool_run_again_and_their_futures_end(tmp_path: Path) -> None:
    with Executor(Here(slots=2), folder=tmp_path / "run") as executor:
        begun = tmp_path / "begun"

        def slow_at_first() -> int:
            if begun.exists():
                return os.getpid()
            begun.touch()
            time.sleep(1000)
            return 0

        future = executor.submit(slow_at_first)
        others = executor.submit_many(abs, range(-50, 0))
        wait_for(begun.exists)
        psutil.Process(executor._closing.heads[0].process.pid).kill()
        assert future.result(PATIENCE) > 0
        assert [other.result(PATIENCE) for other in others] == list(range(50, 0, -1))
        assert {row["state"] for row in executor.tasks()} == {"done"}


def test_fault_36_the_end_of_one_pool_waits_for_what_runs_and_stops_no_other(
    tmp_path: Path,
) -> None:
    def local() -> LocalScheduler:
        return LocalScheduler(1, max_cores=4, kill_wait=5, state=tmp_path / "batch")

    def job(seconds: float) -> str:
        time.sleep(seconds)
        return os.environ["ADAPTIVE_SCHEDULER_JOB"]

    with Executor(
        local(), folder=tmp_path / "run", idle=0.5, interval=1, accepts=["short"]
    ) as executor:
        other = executor.add_pool(local(), accepts=["long"], idle=0.5)
        long = executor.options(tag="long").submit(job, 2.0)
        wait_for(lambda: long.state == "running")
        short = executor.options(tag="short")
        queued = short.submit_many(job, [0.05] * 20)  # of lower age than the stop
        executor.remove_pool(other)
        assert len({future.result(PATIENCE) for future in queued}) >= 1
        assert long.result(PATIENCE) not in {future.result() for future in queued}
        assert long.attempts == 1
        late = short.submit(job, 0.0)  # the other pool goes on
        assert late.result(PATIENCE)


def echo(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def test_fault_37_texts_with_separators_arrive_as_they_were(executor: Executor) -> None:
    plain = SEPARATORS.replace("\x00", "")
    call = executor.options(tag=plain, name=plain, key=plain).submit(
        echo, SEPARATORS, SEPARATORS.encode(), x={SEPARATORS: [SEPARATORS]}
    )
    assert call.result(PATIENCE) == (
        (SEPARATORS, SEPARATORS.encode()),
        {"x": {SEPARATORS: [SEPARATORS]}},
    )
    (row,) = executor.tasks(tag=plain)
    assert (row["tag"], row["name"], row["key"]) == (plain, plain, plain)

    def fail() -> None:
        raise KeyError(SEPARATORS)

    with pytest.raises(KeyError) as raised:
        executor.submit(fail).result(PATIENCE)
    assert raised.value.args == (SEPARATORS,)
    program = "import json, sys; json.dump(sys.argv[1:], open('out', 'w'))"

    def read(output: Any) -> Any:
        return json.loads(output.read("out"))

    for command in (
        Command([sys.executable, "-c", program, "{text}"], value=read),
        Command(f'{shlex.quote(sys.executable)} -c "{program}" {{text}}', value=read),
    ):
        assert executor.submit(command, text=plain).result(PATIENCE) == [plain]


def test_fault_38_killed_by_a_signal_or_out_of_time_is_no_success(executor: Executor) -> None:
    killed = executor.submit(Command("kill -9 $$"))
    with pytest.raises(TaskError, match="killed"):
        killed.result(PATIENCE)
    with pytest.raises(TaskError):  # nor for a rule that takes any exit status
        executor.submit(Command("kill -15 $$", value=exit_code)).result(PATIENCE)
    with pytest.raises(TaskError, match=r"timeout|longer"):
        executor.options(timeout=0.3).submit(Command("sleep 1000")).result(PATIENCE)
    with pytest.raises(TaskError, match=r"timeout|longer"):
        executor.options(timeout=0.3).submit(time.sleep, 1000).result(PATIENCE)
    assert executor.submit(Command("exit 3", value=exit_code)).result(PATIENCE) == 3
    assert {row["state"] for row in executor.tasks() if row["task"] == killed.task} == {"failed"}


DRIVER = """
import os, signal, sys
from adaptive_scheduler import Executor
from adaptive_scheduler.scheduler import Here
from tests.integration.test_field_faults_of_tasks import unique

with Executor(Here(slots=1), folder=sys.argv[1]) as executor:
    futures = [executor.options(key=f"k{n}").submit(unique, n) for n in range(6)]
    for n, future in enumerate(futures):
        print(*future.result(100), flush=True)
        if n + 1 == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def unique(number: int) -> tuple[int, str]:
    """A value that no second evaluation has."""
    return number, os.urandom(8).hex()


def test_fault_48_a_driver_that_died_has_its_results_again_and_again(tmp_path: Path) -> None:
    def drive(dies_after: int) -> list[str]:
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(tmp_path / "run"), str(dies_after)],
            capture_output=True, text=True, timeout=250, cwd=root, check=False,
        )  # fmt: skip
        assert done.returncode == (-signal.SIGKILL if dies_after else 0), done.stderr
        return done.stdout.splitlines()

    before = drive(3)
    after = drive(0)
    assert len(before) == 3
    assert after[:3] == before
    assert len(after) == 6
    for _ in range(2):
        attached = Executor.attach(tmp_path / "run")
        values = ["{} {}".format(*future.result(PATIENCE)) for future in attached.futures]
        attached.shutdown()
        assert values == after


def test_fault_49_retries_after_a_timeout_have_a_limit(executor: Executor, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    def too_long(name: str) -> None:
        with ledger.open("a") as file:
            file.write(f"{name}\n")
        time.sleep(1000)

    limited = executor.options(timeout=0.3)
    once, thrice = (
        limited.submit(too_long, "once"),
        limited.options(retries=2).submit(too_long, "thrice"),
    )
    for future in (once, thrice):
        with pytest.raises(TaskError, match=r"timeout|longer"):
            future.result(PATIENCE)
    assert (once.attempts, thrice.attempts) == (1, 3)
    # a machine so busy that the call begins after its timeout notes less
    noted = Counter(ledger.read_text().split() if ledger.exists() else [])
    assert noted <= Counter(once=1, thrice=3)


def test_fault_50_no_head_hoards_what_another_one_could_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()

    def where(seconds: float, is_shared: bool) -> str:
        time.sleep(seconds)
        job = os.environ["ADAPTIVE_SCHEDULER_JOB"]
        if is_shared:  # the first two of each job end when the other one has begun as many
            (marks / f"{job} {os.urandom(8).hex()}").touch()
            end = time.monotonic() + PATIENCE
            while True:
                own = [path.name.split()[0] == job for path in marks.iterdir()]
                if own.count(False) >= min(2, own.count(True)):
                    break
                if time.monotonic() > end:
                    raise TimeoutError("the other head has nothing to do")
                time.sleep(0.02)
        return job

    with Executor(Here(slots=1), folder=tmp_path / "run") as executor:
        executor.submit(where, 0.3, False).result(PATIENCE)
        futures = executor.submit_many(lambda _: where(0.3, True), range(12))
        executor.add_pool(Here(slots=1))
        found = [future.result(2 * PATIENCE) for future in futures]
        assert len(set(found)) == 2
        assert min(found.count(job) for job in set(found)) >= 2


def test_fault_51_what_fits_nothing_is_refused_with_the_numbers(tmp_path: Path) -> None:
    scheduler = LocalScheduler(2, max_cores=4, kill_wait=5, state=tmp_path / "batch")
    with Executor(scheduler, folder=tmp_path / "run", idle=0.5, interval=1) as executor:
        large = executor.options(resources=TaskResources(threads_per_rank=64)).submit(abs, 1)
        with pytest.raises(RequestRefusedError, match=r"64 cores.*2 cores"):
            large.result(PATIENCE)
        assert executor.submit(abs, -2).result(PATIENCE) == 2


def crash(number: int) -> int:
    if number == 7:
        ctypes.string_at(0)
    return number


def test_fault_52_a_segfault_ends_one_task_only(executor: Executor) -> None:
    futures = executor.submit_many(crash, range(100))
    with pytest.raises(TaskError, match=r"SIGSEGV|signal 11|egmentation"):
        futures[7].result(PATIENCE)
    others = futures[:7] + futures[8:]
    assert [future.result(PATIENCE) for future in others] == [*range(7), *range(8, 100)]
    assert executor.submit(crash, 1).result(PATIENCE) == 1
