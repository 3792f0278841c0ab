"""Drivers, managers and heads that are killed: what is left, and how it goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import adaptive
import psutil
import pytest

from adaptive_scheduler import Executor, RunManager
from adaptive_scheduler.core.paths import DATABASE_NAME, RunFolder
from adaptive_scheduler.errors import InputError, RequestRefusedError, RunError
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.runs.driver import closing, pools, start_run
from adaptive_scheduler.runs.driver.start_run import is_closed
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.sites.local import LocalSite
from adaptive_scheduler.runs.start.prepare import held, prepare
from adaptive_scheduler.scheduler import Here, LocalScheduler
from tests.integration.agent_node import is_alive
from tests.integration.task_driver import N

PATIENCE = 120.0
#: The module of which a head is a process.
HEAD = "adaptive_scheduler.client.tasks.head.head"
#: How a program runs what is left of a run on its machine.
ADD_POOL = "executor.add_pool(scheduler.Here()), or in a terminal: adaptive-scheduler pool join"


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.02)
    return found


def processes_of(home: Path) -> list[psutil.Process]:
    """Everything that belongs to a run: its folder is in the command line or the environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline()) + process.environ().get(
                "ADAPTIVE_SCHEDULER_RUN", ""
            )
            if os.fspath(home) in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def remove(folder: Path) -> None:
    """Remove a folder into which some still write."""

    def is_removed() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_for(is_removed)


def kill_all(home: Path) -> None:
    """Kill everything that belongs to a run, but for what has just ended by itself."""
    for process in processes_of(home):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    kill_all(tmp_path)


def start_driver(home: Path, what: str, patience: float = 600.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.task_driver", os.fspath(home), what, str(patience)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


def test_nothing_is_left_of_a_driver_that_is_killed(home: Path) -> None:
    """Its head ends at once, its manager after `driver_patience`: nobody is there for its tasks."""
    driver = start_driver(home, "sleep", 5.0)  # until its head is there, the manager waits as long
    wait_for((home / "begun").exists)
    driver.kill()
    driver.communicate(timeout=PATIENCE)
    wait_for(lambda: not processes_of(home))


def test_a_head_ends_whose_parent_died_before_it_looked(home: Path) -> None:
    with Executor(Here(slots=1), folder=home / "run") as executor:
        dead = subprocess.Popen(["true"])
        dead.wait()
        head = subprocess.run(
            [sys.executable, "-m", HEAD,
             os.fspath(executor.folder), "--slots", "1", "--parent", str(dead.pid)],
            timeout=PATIENCE,
        )  # fmt: skip
        assert head.returncode == 0


def test_a_driver_that_is_killed_and_run_again_repeats_nothing_that_is_done(home: Path) -> None:
    ledger = home / "ledger"
    done: list[tuple[int, int]] = []  # numbers, and how often each had run by then
    for so_many in (5, 15):
        driver = start_driver(home, "keys")
        wait_for(lambda n=so_many: ledger.exists() and len(ledger.read_text().split()) >= n)
        driver.kill()
        driver.communicate(timeout=PATIENCE)
        # what ran, or had ended and was not told yet, may run again: not what the manager knows of
        known = read_tables(RunFolder(home / "run"))[database.ITEMS].values()
        run = Counter(map(int, ledger.read_text().split()))
        numbers = [int(row["key"].removeprefix("n=")) for row in known if row["phase"] == "done"]
        done += [(number, run[number]) for number in numbers]
    assert done
    driver = start_driver(home, "keys")
    out, _ = driver.communicate(timeout=PATIENCE)
    assert out.split() == [str(sum(range(N)))]
    run = Counter(map(int, ledger.read_text().split()))
    assert set(run) == set(range(N))
    assert [(number, run[number]) for number, _ in done] == done
    again = Executor.attach(home / "run")
    rows = again.tasks()
    assert [row["state"] for row in rows] == ["done"] * N
    assert sorted(future.args[0] for future in again.futures) == list(range(N))
    again.shutdown()


def test_ctrl_c_ends_a_driver_and_leaves_its_tasks_in_the_run(home: Path) -> None:
    """In `result()`, also without a `with`, and at the end of the block. Nothing could run them: the manager ends."""
    homes = [home / "sleep", home / "leave", home / "top"]
    for one in homes:
        one.mkdir()
    drivers = [start_driver(one, one.name) for one in homes]
    for one, driver in zip(homes, drivers, strict=True):
        task = int(wait_for(lambda one=one: read(one / "begun")))
        driver.send_signal(signal.SIGINT)
        out, _ = driver.communicate(timeout=PATIENCE)
        assert "KeyboardInterrupt" in out
        assert f"Tasks are left in {one}" in out
        assert f"else Executor.attach('{one}/run')" in out
        assert f"adaptive-scheduler retry {one}/run" in out
        wait_for(lambda pid=task: not is_alive(pid))
    wait_for(lambda: not processes_of(home))


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_manager_that_is_killed_is_started_again(home: Path) -> None:
    with Executor(Here(slots=2), folder=home / "run") as executor:
        waits = executor.submit(time.sleep, 0.5)
        os.kill(wait_for(lambda: read_address(executor.folder).pid), signal.SIGKILL)
        assert waits.result(PATIENCE) is None
        assert executor.submit(pow, 2, 5).result(PATIENCE) == 32


def test_a_run_whose_folder_is_removed_ends_its_futures(home: Path) -> None:
    executor = Executor(Here(slots=1), folder=home / "run")
    waits = executor.submit(time.sleep, 1000)
    with ManagerClient(executor.folder) as viewer:
        wait_for(lambda: waits.task is not None)
        os.kill(read_address(executor.folder).pid, signal.SIGKILL)
        wait_for(lambda: not viewer.lives())
    remove(executor.folder.home)
    with pytest.raises(RunError, match="is gone"):
        waits.result(PATIENCE)
    executor.shutdown()  # does not hang


def test_a_run_whose_folder_is_removed_while_it_is_carried_on_is_not_begun_anew(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would ever end the futures of its tasks: the new run does not know them."""
    folder = RunFolder(home / "run")
    start_run.start_run(folder, "tasks")
    manager = psutil.Process(read_address(folder).pid)
    manager.kill()
    manager.wait(PATIENCE)

    @contextmanager
    def removed_meanwhile(folder: RunFolder) -> Iterator[None]:
        with held(folder):
            remove(folder.home)
            yield

    monkeypatch.setattr(start_run, "held", removed_meanwhile)
    with pytest.raises(RunError, match="is gone"):
        LocalSite(folder).start("tasks")
    assert not folder.database.exists()


def test_a_run_that_is_gone_as_it_is_carried_on_is_given_no_folders(home: Path) -> None:
    """Who has renamed its folder could not rename it back: it would be moved into the new one."""
    folder = RunFolder(home / "renamed" / "run" / DATABASE_NAME)
    with pytest.raises(RunError, match="is gone"):
        LocalSite(folder).start("tasks")
    assert not list(home.iterdir())


def test_a_manager_writes_nothing_into_the_next_run_of_its_folder(home: Path) -> None:
    """One with jobs ends after its executor, when they have ended; its folder may be another's by then."""
    jobs = LocalScheduler(cores=1, max_cores=2, state=home / "batch")
    with Executor(jobs, folder=home / "run") as executor:
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
        former = psutil.Process(read_address(executor.folder).pid)
        for process in processes_of(home):  # its job must not end before it is suspended
            with suppress(psutil.Error):
                if "adaptive_scheduler.client" in process.cmdline():
                    process.suspend()
    former.suspend()
    others = [process for process in processes_of(home) if process.pid != former.pid]
    for process in others:  # its job has ended, and it has not seen that
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for(lambda: not any(is_alive(process.pid) for process in others))
    remove(executor.folder.home)
    with Executor(Here(slots=1), folder=home / "run") as executor:
        assert executor.submit(pow, 2, 4).result(PATIENCE) == 16
        former.resume()
        former.wait(PATIENCE)
        assert executor.submit(pow, 2, 5).result(PATIENCE) == 32
    assert not list(executor.folder.home.glob("*.edited*"))
    again = Executor.attach(executor.folder.home)
    assert [future.result(PATIENCE) for future in again.futures] == [16, 32]
    again.shutdown()


def test_a_head_of_a_former_run_of_the_folder_is_sent_away(home: Path) -> None:
    """It found the manager of the next one by its path, was welcomed, and took a task for ever."""
    words = [sys.executable, "-m", HEAD, home / "run"]
    folder = RunFolder(home / "run")
    start_run.start_run(folder, "former")
    former = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    with ManagerClient(folder) as viewer:
        wait_for(lambda: viewer.snapshot().jobs)
    psutil.Process(former.pid).suspend()
    manager = psutil.Process(read_address(folder).pid)
    manager.kill()
    manager.wait(PATIENCE)
    remove(folder.home)
    with Executor(Here(slots=1), folder=home / "run") as executor:
        assert executor.submit(pow, 2, 4).result(PATIENCE) == 16
        psutil.Process(former.pid).resume()
        _, said = former.communicate(timeout=PATIENCE)
        assert "the folder of that one was removed, and used again" in said
        assert executor.submit(pow, 2, 5).result(PATIENCE) == 32
    assert former.returncode == 1


def test_a_manager_that_cannot_be_started_again_is_told_with_a_remedy(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_run, "WATCH", 0.2)
    monkeypatch.setattr(closing, "FAULT_GRACE", 0.5)
    executor = Executor(Here(slots=1), folder=home / "run")
    waits = executor.submit(time.sleep, 1000)
    wait_for(lambda: waits.state == "running" and waits.pid)
    executor.folder.config.write_text("damaged")
    os.kill(read_address(executor.folder).pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"cannot be started again(.|\n)*run this program again"):
        waits.result(PATIENCE)
    executor.shutdown()


def test_a_head_that_is_killed_is_started_again(home: Path) -> None:
    with Executor(Here(slots=2), folder=home / "run") as executor:
        assert executor.submit(pow, 2, 5).result(PATIENCE) == 32
        go = home / "go"

        def wait() -> None:
            while not go.exists():
                time.sleep(0.01)

        waits = executor.submit(wait)
        wait_for(lambda: waits.state == "running")
        executor._closing.heads[0].process.kill()
        go.touch()
        assert waits.result(PATIENCE) is None


def test_a_head_that_dies_again_and_again_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["false"])

    monkeypatch.setattr(pools, "start_head", dies)
    monkeypatch.setattr(pools, "PAUSES", (0.1, 0.1, 0.1))
    executor = Executor(Here(slots=2), folder=home / "run")
    with pytest.raises(RunError, match=r"head on this machine.*exit status 1"):
        executor.submit(pow, 2, 5).result(PATIENCE)
    executor.shutdown()


def test_another_process_joins_a_run(home: Path) -> None:
    """As `adaptive-scheduler pool --join` does, on another host of the same disk."""
    with Executor(Here(slots=1), folder=home / "run") as executor:
        first = executor.submit(os.getppid).result(PATIENCE)
        code = f"from adaptive_scheduler.runs.driver.pools import join_run; exit(join_run({str(home / 'run')!r}, 1))"
        joined = subprocess.Popen([sys.executable, "-c", code])
        agents = {first}

        def both() -> bool:
            calls = executor.submit_many(parent_of, [0.05] * 4)
            agents.update(call.result(PATIENCE) for call in calls)
            return len(agents) == 2

        wait_for(both)
    assert joined.wait(PATIENCE) == 0  # the run is over


def parent_of(seconds: float) -> int:
    time.sleep(seconds)
    return os.getppid()


def test_a_task_submits_tasks_to_its_own_run(home: Path) -> None:
    def outer(n: int) -> int:
        inner = Executor.attach()
        try:
            return sum(one.result(60) for one in inner.submit_many(abs, range(n)))
        finally:
            inner.shutdown()

    with Executor(Here(slots=2), folder=home / "run") as executor:
        assert executor.submit(outer, 5).result(PATIENCE) == 10
        assert len(executor.tasks()) == 6
    assert RunFolder(home / "run").database.exists()


def test_a_task_returns_the_ids_of_tasks_that_it_submits(home: Path) -> None:
    """It does not wait for them, so one slot is enough."""

    def outer(n: int) -> list[int | None]:
        inner = Executor.attach()
        futures = inner.submit_many(abs, range(n))
        inner.shutdown()
        return [one.task for one in futures]

    with Executor(Here(slots=1), folder=home / "run") as executor:
        ids = executor.submit(outer, 3).result(PATIENCE)
        new = [one for one in executor.futures if one.task in ids]
        assert [one.result(PATIENCE) for one in new] == [0, 1, 2]


def test_a_look_at_a_closed_run_leaves_it_closed_and_no_process(home: Path) -> None:
    with Executor(Here(slots=1), folder=home / "run") as executor:
        assert executor.submit(pow, 2, 5).result(PATIENCE) == 32
    wait_for(lambda: not processes_of(home))
    again = Executor.attach(home / "run")
    assert [future.result(PATIENCE) for future in again.futures] == [32]
    again.shutdown()
    wait_for(lambda: not processes_of(home))
    assert is_closed(RunFolder(home / "run"))


def test_a_run_that_nothing_runs_any_more_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = start_driver(home, "sleep")
    wait_for((home / "begun").exists)
    folder = RunFolder(home / "run")
    with ManagerClient(folder) as viewer:
        wait_for(lambda: viewer.snapshot("none").unfinished == 5)
        driver.kill()
        driver.communicate(timeout=PATIENCE)
        wait_for(lambda: not viewer.snapshot("none").jobs)
    again = Executor.attach(home / "run")
    assert f"nothing runs them. To run them here: {ADD_POOL}" in capsys.readouterr().err
    assert "5 tasks have not ended" in repr(again)
    again.add_pool(Here(slots=1))
    assert again.submit(pow, 2, 5).cancel()
    again.shutdown()


def test_a_manager_that_dies_while_it_is_told_of_the_end_is_not_waited_for(home: Path) -> None:
    executor = Executor(Here(slots=1), folder=home / "run")
    assert executor.submit(pow, 2, 5).result(PATIENCE) == 32
    executor._closing.heads.pop().end()
    manager = read_address(executor.folder).pid
    os.kill(manager, signal.SIGSTOP)
    end = threading.Thread(target=executor.shutdown)
    end.start()
    end.join(0.5)
    assert end.is_alive()
    os.kill(manager, signal.SIGKILL)
    end.join(30.0)  # a shutdown waits twice as long for a manager that lives
    assert not end.is_alive()


def test_a_cancelled_run_stays_cancelled_when_its_manager_is_started_again(home: Path) -> None:
    executor = Executor(Here(slots=1), folder=home / "run")
    waits = executor.submit(time.sleep, 1000)
    wait_for(lambda: waits.task is not None)
    with ManagerClient(executor.folder) as viewer:
        viewer.cancel()
        wait_for(waits.cancelled)
        os.kill(read_address(executor.folder).pid, signal.SIGKILL)
        wait_for(lambda: not viewer.lives())
    with pytest.raises(RequestRefusedError, match="was cancelled"):
        executor.submit(pow, 2, 5).result(PATIENCE)
    executor.shutdown()


def test_a_run_of_learners_is_refused(home: Path) -> None:
    run = RunManager(
        LocalScheduler(cores=1), [adaptive.SequenceLearner(abs, [1])], [home / "data"],
        folder=home / "run",
    )  # fmt: skip
    assert run._plan is not None
    prepare(run._plan, run.folder)
    says = rf"{home}/run has a run of learners\. To see it: RunManager\.attach"
    with pytest.raises(InputError, match=says):
        Executor(Here(slots=1), folder=home / "run")
    with pytest.raises(InputError, match=says):
        Executor.attach(home / "run")


def test_a_run_of_tasks_is_refused_by_a_run_manager(home: Path) -> None:
    start_run.start_run(RunFolder(home / "run"), "tasks")
    with ManagerClient(RunFolder(home / "run")) as viewer:
        viewer.stop()
    says = rf"{home}/run has a run of tasks\. To see it: Executor\.attach"
    learners = [adaptive.SequenceLearner(abs, [1])]
    with pytest.raises(InputError, match=says):
        RunManager(LocalScheduler(cores=1), learners, [home / "data"], folder=home / "run")
    for folder in (home / "run", home / "run" / "db.tinydb"):
        with pytest.raises(InputError, match=says):
            RunManager.attach(folder)
