"""Faults of the field, each as it happened there; docs/reliability.md lists them all."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import pytest
import zmq

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.wire.messages import Assigned, Claim, Hello, Picture, Status, Welcome
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.syscalls import Name
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.manager.engine import Engine
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.scheduler import LocalScheduler
from adaptive_scheduler.server_support import RunManager
from tests.integration.accidents import Accidents, until
from tests.integration.client_runs import ClientRun, finish
from tests.integration.test_engine import Talker, make_run

ROOT = Path(__file__).parents[2]


def square(x, seconds=0.01):
    time.sleep(seconds)
    return x**2


def when_there_is(path, x):
    while not path.exists():
        time.sleep(0.02)
    return x


# ------------------------------------------------------------------- 1 to 6: lost work


def test_fault_01_a_learner_gets_on_through_walltimes_shorter_than_its_save_interval(
    tmp_path: Path,
) -> None:
    """In the field: 3 jobs, 2 kills, 0 points on disk."""
    run = ClientRun(tmp_path, 10**6, save_interval=300.0)
    name = tmp_path / "data/0"
    learner = adaptive.Learner1D(partial(square, seconds=0.1), (-1, 1))
    run.fill([learner], [str(name)])
    seen, walltime = [0], 8
    with run.manage() as engine:
        while len(set(seen)) < 3 and walltime < 200:
            told = {
                "ADAPTIVE_SCHEDULER_WALLTIME": str(walltime),
                "ADAPTIVE_SCHEDULER_STARTED": str(time.time()),
            }
            code, output = finish(run.client(f"{len(seen)}_1", **told), 2 * walltime + 60)
            assert code == 0, output
            if name.exists():
                learner.load(str(name))
            seen.append(learner.npoints)
            if seen[-1] == seen[-2]:
                walltime *= 2  # on a machine so busy that Python takes as long to start
        item = engine.state.items.rows[0]
        assert (item.phase, item.npoints, item.crashes) == (Phase.QUEUED, seen[-1], 0)
    print(f"points on disk after each job, the last one of {walltime} s: {seen}")
    assert len(set(seen)) == 3
    assert seen == sorted(seen)


def test_fault_03_a_fresh_start_does_not_overwrite_what_it_could_not_read(tmp_path: Path) -> None:
    """In the field: 300 points became 50."""
    fname = tmp_path / "data.pickle"
    old = adaptive.SequenceLearner(square, list(range(300)))
    for k in range(300):
        old.tell((k, k), k * k)
    old.save(str(fname))
    content = fname.read_bytes()[:-7]  # e.g. a save that was cut off by a quota
    fname.write_bytes(content)
    fresh = adaptive.SequenceLearner(partial(square, seconds=0), list(range(50)))
    with ThreadPoolExecutor(2) as pool:
        outcome = run_learner(LearnerWork(fresh, str(fname), None, pool, 2))
    assert (outcome.reason, outcome.npoints) == ("goal", 50)
    (kept,) = outcome.report.kept_aside
    assert kept.read_bytes() == content
    assert str(fname) in outcome.report.notes[0]


def test_fault_05_time_in_the_queue_does_not_count_for_a_duration(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, timedelta(seconds=1.5))
    name = tmp_path / "data/0"
    learner = adaptive.Learner1D(square, (-1, 1))
    run.fill([learner], [str(name)])
    with run.manage() as engine:
        time.sleep(2)  # the manager is older than the goal before the job starts
        began = time.monotonic()
        code, output = finish(run.client("1_1"))
        assert code == 0, output
        item = engine.state.items.rows[0]
        assert (item.phase, item.attempts) == (Phase.DONE, 1)
    assert time.monotonic() - began > 1.5
    learner.load(str(name))
    print(f"{learner.npoints} points in a goal of 1.5 s, {item.worked:.1f} s of work")
    assert item.worked >= 1.5  # nothing, if the time in the queue counted


# ------------------------------------------------------------- 13: restarting a cell


def test_fault_13_another_run_of_the_same_name_touches_no_job(
    accidents: Accidents, tmp_path: Path
) -> None:
    slow = partial(square, seconds=0.05)
    held = partial(when_there_is, tmp_path / "go")
    mine = accidents.make([adaptive.Learner1D(held, (-1, 1))], goal=20, name="same", max_jobs=1)
    mine.start()
    until(lambda: mine.snapshot().phases.get("running"))
    (job,) = mine.snapshot("all").jobs
    # the cell is run again, but for start(); and another notebook has the same name
    accidents.make([adaptive.Learner1D(held, (-1, 1))], goal=20, name="same")
    other = RunManager(
        LocalScheduler(cores=2, max_cores=4, executor_type="process-pool", kill_wait=5,
                       state=accidents.folder / "batch"),
        [adaptive.Learner1D(slow, (-1, 1))], [tmp_path / "other/0"], goal=10**6,
        folder=tmp_path / "other run", name="same", interval=1,
    )  # fmt: skip
    other.start()
    until(lambda: other.snapshot().phases.get("running"))
    other.cancel()
    assert other.wait(60).phases == {"cancelled": 1}
    (tmp_path / "go").touch()
    end = mine.wait(60)
    assert (end.phases, end.submitted) == ({"done": 1}, 1)
    assert mine.snapshot("all").items[0].attempts == 1
    assert [one.id for one in mine.snapshot("all").jobs] in ([], [job.id])


# ---------------------------------------------- 15, 20: what reaches the manager's port


@contextmanager
def engine_of(path: Path, n: int) -> Iterator[Engine]:
    folder, config = make_run(path, n)
    engine = Engine(folder, config)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop()
        thread.join(30)


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def through_tcp(url: str, message: bytes) -> None:
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), 5) as plug:
        plug.sendall(message)


def through_zmq(url: str, message: bytes, server_key: str = "") -> None:
    context = zmq.Context()
    client = context.socket(zmq.DEALER)
    client.linger = 300
    if server_key:
        client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()
        client.curve_serverkey = server_key.encode()
    client.connect(url)
    client.send_multipart([b"", message])
    client.send(message)
    assert not client.poll(500), "a stranger was answered"
    client.close()
    context.term()


def test_fault_20_a_pickle_that_reaches_the_port_is_not_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    with engine_of(tmp_path, 2) as engine:
        me = Talker(engine.folder, "me")
        assert isinstance(me.ask(Hello("here", 1, 1)), Welcome)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            bomb = pickle.dumps(Bomb(mark), protocol)
            through_tcp(engine.url, bomb)
            assert me._connection._socket is not None
            me._connection._socket.send(bomb)  # even with the run's own key
        through_zmq(engine.url, bomb)
        through_zmq(engine.url, bomb, engine.address.server_key)
        assert isinstance(me.ask(Claim()), Assigned)
        me.close()
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists(), "the bomb is none: this shows nothing"


SENSELESS = [
    b"", b"\0", b"no message of ours", bytes(range(256)), b"\xff" * 10_000,
    b"\x95\x01", pickle.dumps(("start", "1", "log", "job")), b'{"type": "Claim"}',
]  # fmt: skip


def test_fault_15_the_manager_answers_on_after_each_senseless_message(tmp_path: Path) -> None:
    with engine_of(tmp_path, len(SENSELESS)) as engine:
        me = Talker(engine.folder, "me")
        assert isinstance(me.ask(Hello("here", 1, 1)), Welcome)
        for message in SENSELESS:
            for frames in ([message], [b"", message], [message] * 3):
                assert me._connection._socket is not None
                me._connection._socket.send_multipart(frames)
            got = me.ask(Claim())
            assert isinstance(got, Assigned)
            assert isinstance(me.ask(Status("none")), Picture)
        me.close()


# ------------------------------------------------------------------ 23: a dead kernel

NOTEBOOK = """
import os, sys, time
import adaptive
from adaptive_scheduler.scheduler import LocalScheduler
from adaptive_scheduler.server_support import RunManager

def slow(x):
    time.sleep(0.02)
    return x

folder = sys.argv[1]
learners = [adaptive.Learner1D(slow, (-1, 1)) for _ in range(4)]
scheduler = LocalScheduler(cores=1, max_cores=2, executor_type="process-pool", state=folder + "/batch")
run = RunManager(scheduler, learners, [f"{folder}/data/{n}" for n in range(4)], goal=60,
                 folder=folder + "/run", interval=1, max_jobs=3)
run.start()
run.info()
os.kill(os.getpid(), 9)
"""


def test_fault_23_nothing_is_left_of_a_run_whose_kernel_died(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    viewer = ManagerClient(RunFolder(tmp_path / "run"))
    until(lambda: viewer.snapshot("none").over, 60)
    assert viewer.snapshot("none").phases == {"done": 4}
    until(lambda: not viewer.lives(), 60)
    argv = [sys.executable, "-m", "adaptive_scheduler.localbatch", "queue"]
    argv.append(f"--state={tmp_path / 'batch'}")
    queue = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    assert queue.strip() == '{"rows": 0}'


# ------------------------------------------------------------------------- 26: files


def test_fault_26_one_file_for_each_learner_and_few_for_the_run(accidents: Accidents) -> None:
    """In the field: 132 files for 64 learners."""
    learners = [adaptive.Learner1D(partial(square, seconds=0), (-1, 1)) for _ in range(64)]
    run = accidents.make(learners, goal=4)
    run.start()
    assert run.wait(200).phases == {"done": 64}
    data = list((accidents.folder / "data").iterdir())
    others = [path for path in (accidents.folder / "run").rglob("*") if path.is_file()]
    print(f"64 learners: {len(data)} files of data, {len(others)} of the run")
    assert len(data) == 64
    assert len(others) <= 25


class Slow(files.Operations):
    """A disk that takes a while; counts the renames of data files."""

    seconds = 0.15
    saves = 0

    def fsync(self, fd: int) -> None:
        time.sleep(self.seconds)
        super().fsync(fd)

    def rename(self, source: Name, target: Name) -> None:
        self.saves += 1
        super().rename(source, target)


def test_fault_26_a_slow_disk_is_not_written_to_at_each_save_interval(tmp_path: Path) -> None:
    disk = Slow()
    learner = adaptive.SequenceLearner(square, list(range(300)))
    with files.through(disk), ThreadPoolExecutor(2) as pool:
        work = LearnerWork(learner, str(tmp_path / "data"), None, pool, 2, save_interval=0.01)
        outcome = run_learner(work)
    print(
        f"{disk.saves} saves in {outcome.seconds:.1f} s, of which each took over {2 * disk.seconds} s"
    )
    assert (outcome.reason, outcome.npoints, outcome.saved) == ("goal", 300, True)
    # the first, the last, and none that begins within twenty times the length of the former
    assert disk.saves <= 2 + outcome.seconds / (20 * 2 * disk.seconds)


# ------------------------------------------------------------------ 30: bytes of a log


def test_fault_30_what_a_job_printed_is_shown_whatever_its_bytes(accidents: Accidents) -> None:
    setup = r"printf 'd\351j\340 \377\376\000\033[31m vu\n'; exit 3"
    run = accidents.make([adaptive.Learner1D(square, (-1, 1))], {"setup": setup})
    run.start()
    with pytest.raises(RunError, match=r"(?s)held: all of the first 2 jobs died.*vu"):
        run.wait(120)
    assert "vu" in run.status().text
    run.info()
    assert RunManager.attach(run.folder.home).status() == "held"


def test_fault_30_a_command_of_the_batch_system_may_print_any_bytes() -> None:
    result = commands.run(["printf", r"7 RUNNING d\351j\340 \377\376\n"], 30.0)
    assert (result.rc, result.stderr) == (0, "")
    assert result.stdout.startswith("7 RUNNING d")


# ------------------------------------------------------------------- 31: no fork


@pytest.mark.parametrize("executor", ["process-pool", "loky"])
def test_fault_31_a_client_works_where_processes_are_not_forked(
    tmp_path: Path, executor: str
) -> None:
    """As Python 3.14 does by default; a lambda with what it closes over has to travel."""
    assert "forkserver" in multiprocessing.get_all_start_methods()
    offset = 3.0
    run = ClientRun(tmp_path, 20)
    run.fill([adaptive.Learner1D(lambda x: x + offset, (-1, 1))], [str(tmp_path / "data/0")])
    code = (
        "import multiprocessing, runpy; multiprocessing.set_start_method('forkserver');"
        "runpy.run_module('adaptive_scheduler.client', run_name='__main__')"
    )
    with run.manage() as engine:
        status, output = finish(
            run.client("1_1", [sys.executable, "-c", code], ADAPTIVE_SCHEDULER_EXECUTOR=executor)
        )
        assert status == 0, output
        assert engine.state.items.rows[0].phase is Phase.DONE
    learner = adaptive.Learner1D(None, (-1, 1))
    learner.load(str(tmp_path / "data/0"))
    assert all(y == x + offset for x, y in learner.data.items())
