from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path

import adaptive
import msgspec
import psutil
import pytest

from adaptive_scheduler.core.config import Environment, Timing
from adaptive_scheduler.core.rows.items import Lost
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.wire.messages import (
    Beat,
    Claim,
    Finish,
    Goodbye,
    Hello,
    Owner,
    Release,
    Reply,
    Request,
)
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from tests.integration.client_runs import ClientRun, finish, wait_for


def square(x, offset=0.0, pause=0.0):
    import time

    time.sleep(pause)
    return (x - offset) ** 2


def fail_at(x, limit):
    if x > limit:
        raise ArithmeticError(f"x={x} is too large")
    return x


def n_on_disk(path: Path) -> int:
    learner = adaptive.Learner1D(square, (-1, 1))
    learner.load(str(path))
    return learner.npoints


def learners_of(n: int, **more: float) -> list[adaptive.Learner1D]:
    return [adaptive.Learner1D(partial(square, offset=i / n, **more), (-1, 1)) for i in range(n)]


def phases(engine) -> list[Phase]:
    return [item.phase for item in engine.state.items.rows]


def test_fault_22_one_job_runs_many_learners(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, 20)
    names = [str(tmp_path / f"data/{i}") for i in range(4)]
    run.fill(learners_of(4), names)
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        assert phases(engine) == [Phase.DONE] * 4
    assert code == 0, output
    assert [n_on_disk(Path(name)) >= 20 for name in names] == [True] * 4
    assert run.has_ended("1_1")
    events = [event["event"] for event in run.events("1_1")]
    assert events.count("item_finished") == 4
    assert events[0] == "client_started"
    assert events[-1] == "client_ended"


def test_a_client_of_a_former_run_of_the_folder_is_given_nothing(tmp_path: Path) -> None:
    """It evaluated the next run's learners with its own functions."""
    run = ClientRun(tmp_path, 20)
    run.fill(learners_of(1), [str(tmp_path / "data")])
    run.config = msgspec.structs.replace(run.config, run="next")  # that of the manager alone
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        assert phases(engine) == [Phase.QUEUED]
        assert not engine.state.jobs.records
    assert code == 1
    assert "job 1_1 works for run test, and this is run next" in output
    assert run.has_ended("1_1"), "the job script starts no other client"


def watch(monkeypatch: pytest.MonkeyPatch, before: Callable[[Request], Request]) -> list[Request]:
    """Let `before` see each request, and change it, before the manager does; returns all."""
    seen: list[Request] = []
    handle = DatabaseManager.handle

    def handle_watched(
        self: DatabaseManager, owner: Owner, number: int, request: Request, now: Moment
    ) -> Reply:
        seen.append(before(request))
        return handle(self, owner, number, seen[-1], now)

    monkeypatch.setattr(DatabaseManager, "handle", handle_watched)
    return seen


@pytest.mark.parametrize("is_old", [False, True])
def test_a_finish_asks_for_the_next_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    """A manager of an older version knows a finish only, and is asked for the next one apart."""
    run = ClientRun(tmp_path, 3)
    run.fill(learners_of(4), [str(tmp_path / f"data/{i}") for i in range(4)])
    seen = watch(
        monkeypatch,
        lambda said: Finish(said.token) if is_old and isinstance(said, Finish) else said,
    )
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        assert phases(engine) == [Phase.DONE] * 4, output
        assert [item.attempts for item in engine.state.items.rows] == [1] * 4
    assert code == 0, output
    assert sum(isinstance(said, Claim) for said in seen) == (5 if is_old else 1)
    assert sum(isinstance(said, Finish) for said in seen) == 4


def end(client: subprocess.Popen[str], run: ClientRun) -> None:
    """Send SIGTERM to the client of job 1_1; returns when it has noticed."""
    client.send_signal(signal.SIGTERM)
    log = Path(run.config.log_folder) / "1_1.log"
    wait_for(lambda: b"signal_received" in log.read_bytes())


def late_twice(at_the_beat: Callable[[], None]) -> Callable[[Request], Request]:
    """A manager that answers the first finish after 3.5 s, and is held up at the next beat."""
    late: list[Request] = []

    def keep_waiting(said: Request) -> Request:
        if isinstance(said, Finish) and not late:
            late.append(said)
            time.sleep(3.5)
        elif isinstance(said, Beat) and len(late) == 1:
            late.append(said)
            at_the_beat()
        return said

    return keep_waiting


def test_a_learner_that_is_assigned_late_is_saved_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manager answers after a lease, and the learner ends before the next beat is answered."""
    run = ClientRun(tmp_path, 3, timing=Timing(beat=0.3, lease=3.0, idle=2.0))
    run.fill(learners_of(2), [str(tmp_path / f"data/{i}") for i in range(2)])
    watch(monkeypatch, late_twice(lambda: time.sleep(0.5)))
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        assert phases(engine) == [Phase.DONE] * 2, output
        assert [item.attempts for item in engine.state.items.rows] == [1, 1]
    assert code == 0, output


def test_a_client_that_waits_for_its_lease_ends_at_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives back what it has not begun: to load it first could take longer than it has."""
    run = ClientRun(tmp_path, 3, timing=Timing(beat=0.3, lease=3.0, idle=2.0))
    run.fill(learners_of(2), [str(tmp_path / f"data/{i}") for i in range(2)])
    clients: list[subprocess.Popen[str]] = []

    def end_it() -> None:
        end(clients[0], run)
        time.sleep(3.5)

    watch(monkeypatch, late_twice(end_it))
    with run.manage() as engine:
        clients.append(run.client("1_1"))
        code, output = finish(clients[0])
        item = engine.state.items.rows[1]
        assert phases(engine) == [Phase.DONE, Phase.QUEUED], output
        assert "signal" in item.reason
        assert (item.crashes, item.worked) == (0, 0.0)
    assert code == 0, output
    events = [(event["event"], event.get("item")) for event in run.events("1_1")]
    assert ("item_released", 1) in events
    assert ("learner_stopped", 1) not in events


def test_a_learner_that_is_assigned_to_a_client_that_ends_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes between its last words of one learner and the answer."""
    run = ClientRun(tmp_path, 3)
    run.fill(learners_of(2), [str(tmp_path / f"data/{i}") for i in range(2)])
    clients: list[subprocess.Popen[str]] = []

    def kill_who_finishes(said: Request) -> Request:
        if isinstance(said, Finish):
            end(clients[0], run)
            time.sleep(0.5)
        return said

    seen = watch(monkeypatch, kill_who_finishes)
    with run.manage() as engine:
        clients.append(run.client("1_1"))
        code, output = finish(clients[0])
        item = engine.state.items.rows[1]
        assert phases(engine) == [Phase.DONE, Phase.QUEUED], output
        assert (item.attempts, item.crashes, item.job) == (1, 0, None)
        assert "signal" in item.reason
    assert code == 0, output
    kinds = [type(said) for said in seen if not isinstance(said, Beat)]
    # a request that is answered late is sent again
    assert [kind for kind, _ in groupby(kinds)] == [Hello, Claim, Finish, Release, Goodbye]
    assert not (tmp_path / "data/1").exists()


def test_fault_01_sigterm_saves_what_returned_and_releases(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, 10**6, save_interval=600.0)
    name = tmp_path / "data/0"
    run.fill(learners_of(1, pause=0.02), [str(name)])
    with run.manage() as engine:
        client = run.client("1_1")
        wait_for(lambda: getattr(engine.state.reports.get(0), "npoints", 0) > 10)
        begin = time.monotonic()
        client.send_signal(signal.SIGTERM)
        code, output = finish(client)
        assert code == 0, output
        assert time.monotonic() - begin < 30
        item = engine.state.items.rows[0]
        assert (item.phase, item.job) == (Phase.QUEUED, None)
        assert "signal" in item.reason
        assert n_on_disk(name) == item.npoints > 10
    assert run.has_ended("1_1")


def test_fault_02_27_an_exception_fails_with_its_traceback_and_keeps_the_points(
    tmp_path: Path,
) -> None:
    run = ClientRun(tmp_path, 1000, save_interval=600.0)
    name = tmp_path / "data/0"
    learner = adaptive.SequenceLearner(partial(fail_at, limit=20), range(100))
    run.fill([learner], [str(name)])
    with run.manage() as engine:
        client = run.client("1_1")
        item = wait_for(lambda: next((i for i in engine.state.items.rows if i.fails), None))
        client.send_signal(signal.SIGTERM)
        finish(client)
        assert "ArithmeticError at x=" in item.reason
        assert "in fail_at" in item.traceback
    again = adaptive.SequenceLearner(partial(fail_at, limit=20), range(100))
    again.load(str(name))
    assert again.npoints >= 20


def test_fault_07_a_manager_that_comes_back_elsewhere_is_found(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, 150)
    run.fill(learners_of(2, pause=0.02), [str(tmp_path / "data/0"), str(tmp_path / "data/1")])
    with run.manage() as engine:
        first = engine.url
        client = run.client("1_1")
        wait_for(lambda: engine.state.reports)
    time.sleep(1.5)  # it is away for some beats
    with run.manage() as engine:
        assert engine.url != first
        wait_for(lambda: engine.state.reports)
        code, output = finish(client)
        assert phases(engine) == [Phase.DONE] * 2
        assert {item.attempts for item in engine.state.items.rows} == {1}
    assert code == 0, output
    assert not list(run.folder.complaints.glob("*"))


def test_fault_01_the_walltime_is_respected(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, 10**6, save_interval=600.0)
    name = tmp_path / "data/0"
    run.fill(learners_of(1, pause=0.02), [str(name)])
    started = time.time()
    walltime = {
        "ADAPTIVE_SCHEDULER_WALLTIME": "22",
        "ADAPTIVE_SCHEDULER_STARTED": str(started),
    }
    with run.manage() as engine:
        code, output = finish(run.client("1_1", **walltime))
        assert code == 0, output
        assert 5 < time.time() - started < 22
        item = engine.state.items.rows[0]
        assert (item.phase, item.reason) == (Phase.QUEUED, "deadline")
        assert n_on_disk(name) == item.npoints > 10


def test_another_python_is_refused_in_one_line_that_names_both(tmp_path: Path) -> None:
    environment = Environment(str(tmp_path), [], "2.7", {})
    run = ClientRun(tmp_path, 10, environment=environment)
    run.fill(learners_of(1), [str(tmp_path / "data/0")])
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        record = engine.state.jobs.records["1_1"]
        assert record.broken
        assert "Python 2.7" in record.goodbye
    assert code == 1
    assert "Python 3." in output
    assert "Python 2.7" in output
    assert len(output.strip().splitlines()) == 1
    assert run.has_ended("1_1")


def test_an_orphan_of_its_job_script_stops(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, 10**6)
    run.fill(learners_of(1, pause=0.02), [str(tmp_path / "data/0")])
    script = ["bash", "-c", f"{shlex.quote(sys.executable)} -m adaptive_scheduler.client & wait"]
    with run.manage() as engine:
        bash = run.client("1_1", script)
        wait_for(lambda: engine.state.reports)
        bash.kill()
        wait_for(lambda: engine.state.items.rows[0].phase is Phase.QUEUED)
        bash.communicate(timeout=120)
    assert "job_script_gone" in [event["event"] for event in run.events("1_1")]


def die_in_a_worker(x):
    import os
    from pathlib import Path

    if not Path("died").exists():
        Path("died").touch()
        os._exit(3)
    return x


def test_fault_19_a_dead_worker_asks_for_another_try_in_the_job(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, 20)
    run.fill([adaptive.Learner1D(die_in_a_worker, (-1, 1))], [str(tmp_path / "data/0")])
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        assert code == 1, output
        assert not run.has_ended("1_1")
        assert "died" in engine.state.items.rows[0].reason
        code, output = finish(run.client("1_1", ADAPTIVE_SCHEDULER_TRY="1"))
        assert code == 0, output
        assert phases(engine) == [Phase.DONE]


def test_a_client_that_was_stopped_past_its_lease_changes_no_file_of_the_new_owner(
    tmp_path: Path,
) -> None:
    run = ClientRun(tmp_path, 200, save_interval=1.0)
    name = tmp_path / "data/0"
    run.fill(learners_of(1, pause=0.05), [str(name)])
    with run.manage() as engine:
        sleeper = run.client("1_1")
        wait_for(lambda: getattr(engine.state.reports.get(0), "npoints", 0) > 10)
        sleeper.send_signal(signal.SIGSTOP)
        moment = Moment(time.time(), time.monotonic())
        engine._results.put(lambda: engine.state.take_back("1_1", Lost("it sleeps"), moment.wall))
        other = run.client("1_2")
        wait_for(lambda: engine.state.items.rows[0].job == "1_2")
        sleeper.send_signal(signal.SIGCONT)
        code, output = finish(other)
        assert code == 0, output
        code, output = finish(sleeper)
        item = engine.state.items.rows[0]
        assert (item.phase, item.attempts) == (Phase.DONE, 2)
    events = [event["event"] for event in run.events("1_1")]
    assert "item_taken_back" in events
    assert "item_finished" not in events
    assert n_on_disk(name) >= 200


def test_a_client_that_was_replaced_ends_though_its_workers_evaluate(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, 200)
    run.fill(learners_of(1, pause=300), [str(tmp_path / "data/0")])
    with run.manage() as engine:
        former = run.client("1_1")
        wait_for(lambda: engine.state.reports.get(0))
        later = run.client("1_1", ADAPTIVE_SCHEDULER_TRY="1")
        try:
            code, output = finish(former)
        finally:
            later.kill()
            later.communicate()
    assert code == 1, output


def test_goals_may_be_functions_and_lambdas(tmp_path: Path) -> None:
    learner = adaptive.Learner1D(lambda x: x**2, (-1, 1))
    run = ClientRun(tmp_path, lambda learner: learner.npoints >= 7)
    run.fill([learner], [str(tmp_path / "data/0")])
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        assert phases(engine) == [Phase.DONE]
    assert code == 0, output


@pytest.mark.mpi
def test_ranks_of_an_mpi_world(tmp_path: Path) -> None:
    mpiexec = str(Path(sys.executable).parent / "mpiexec")
    client = ["-m", "mpi4py.futures", "-m", "adaptive_scheduler.client"]
    run = ClientRun(tmp_path, 30)
    run.fill(learners_of(3), [str(tmp_path / f"data/{i}") for i in range(3)])
    with run.manage() as engine:
        command = [mpiexec, "-n", "3", sys.executable, *client]
        mpi = {"ADAPTIVE_SCHEDULER_EXECUTOR": "mpi4py", "ADAPTIVE_SCHEDULER_CORES": "3"}
        code, output = finish(run.client("1_1", command, **mpi))
        assert phases(engine) == [Phase.DONE] * 3, output
    assert code == 0, output


@pytest.mark.mpi
def test_fault_01_sigterm_to_every_process_of_an_mpi_job_loses_nothing(tmp_path: Path) -> None:
    mpiexec = str(Path(sys.executable).parent / "mpiexec")
    client = ["-m", "mpi4py.futures", "-m", "adaptive_scheduler.client"]
    run = ClientRun(tmp_path, 10**6, save_interval=600.0)
    name = tmp_path / "data/0"
    run.fill(learners_of(1, pause=0.05), [str(name)])
    with run.manage() as engine:
        command = [mpiexec, "-n", "3", sys.executable, *client]
        mpi = {"ADAPTIVE_SCHEDULER_EXECUTOR": "mpi4py", "ADAPTIVE_SCHEDULER_CORES": "3"}
        job = run.client("1_1", command, **mpi)
        wait_for(lambda: getattr(engine.state.reports.get(0), "npoints", 0) > 10)
        for process in psutil.Process(job.pid).children(recursive=True):  # as scancel does
            with suppress(psutil.NoSuchProcess):  # it has ended by the signal of another one
                process.send_signal(signal.SIGTERM)
        code, output = finish(job)
        item = engine.state.items.rows[0]
        assert (item.phase, item.crashes) == (Phase.QUEUED, 0), output
        assert "signal" in item.reason
    assert code == 0, output
    assert n_on_disk(name) == item.npoints > 10
