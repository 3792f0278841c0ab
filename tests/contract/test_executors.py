"""Every executor: evaluates in other processes, takes lambdas, ignores signals, ends with us."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import adaptive
import psutil
import pytest

from adaptive_scheduler.core.resources import EXECUTOR_TYPES, parse_executor_type
from adaptive_scheduler.errors import InputError, UserCodeError
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.executors.process_pools import Custom, ProcessPool
from adaptive_scheduler.executors.registry import LAUNCHERS, launcher_for
from tests.contract.two_workers import on_two_workers

ROOT = Path(__file__).parents[2]
MAKERS = {
    "spawn": lambda: ProcessPool("spawn"),
    "forkserver": lambda: ProcessPool("forkserver"),
    "loky": lambda: launcher_for("loky"),
    "sequential": lambda: launcher_for("sequential"),
    "callable": lambda: launcher_for(ProcessPoolExecutor),
    "mpi4py on one core": lambda: launcher_for("mpi4py"),
}


@pytest.fixture(params=list(MAKERS))
def opened(request):
    executor = MAKERS[request.param]()
    cores = 1 if request.param.startswith("mpi4py") else 2
    pool = executor.open(cores)
    yield executor, pool, executor.workers(cores)
    executor.close(pool, 5)


def where(x):
    return os.getpid(), [name for name in ("adaptive", "numpy") if name in sys.modules]


def met(folder, workers, x):
    """The process, when so many have come: one that is quick must not do all alone."""
    (Path(folder) / str(os.getpid())).touch()
    end = time.monotonic() + 120
    while len(list(Path(folder).iterdir())) < workers and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid()


def meeting(folder, workers, points):
    folder.mkdir()
    return adaptive.SequenceLearner(functools.partial(met, str(folder), workers), range(points))


def test_a_lambda_runs_in_worker_processes(opened, tmp_path):
    _, pool, workers = opened
    offset = 3
    learner = adaptive.SequenceLearner(lambda x: x + offset, range(20))
    outcome = run_learner(LearnerWork(learner, str(tmp_path / "a.pickle"), None, pool, workers))
    assert (outcome.reason, outcome.error) == ("goal", None)
    assert learner.result() == [x + 3 for x in range(20)]
    learner = meeting(tmp_path / "met", workers, 30)
    run_learner(LearnerWork(learner, str(tmp_path / "b.pickle"), None, pool, workers))
    pids = set(learner.result())
    assert os.getpid() not in pids
    assert len(pids) == workers


def test_signals_for_the_client_do_not_end_workers(opened, tmp_path):
    executor, pool, workers = opened
    if isinstance(executor, Custom):
        pytest.skip("a pool of the user's own")

    def signalled(x):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        return x

    learner = adaptive.SequenceLearner(signalled, range(4))
    outcome = run_learner(LearnerWork(learner, str(tmp_path / "a.pickle"), None, pool, workers))
    assert (outcome.reason, outcome.npoints) == ("goal", 4)


def test_workers_of_a_pool_import_neither_adaptive_nor_numpy(tmp_path):
    executor = ProcessPool()
    pool = executor.open(1)
    learner = adaptive.SequenceLearner(where, range(2))
    run_learner(LearnerWork(learner, str(tmp_path / "a.pickle"), None, pool, 1))
    executor.close(pool, 5)
    assert [modules for _, modules in learner.result()] == [[], []]


def test_initializers_run_once_in_each_worker(opened, tmp_path):
    _, pool, workers = opened
    path = tmp_path / "started"

    def note(path):
        with Path(path).open("a") as file:
            file.write(f"{os.getpid()}\n")

    learner = meeting(tmp_path / "met", workers, 20)
    work = LearnerWork(
        learner, str(tmp_path / "a.pickle"), None, pool, workers,
        initializers=(functools.partial(note, str(path)),),
    )  # fmt: skip
    assert run_learner(work).reason == "goal"
    lines = path.read_text().split()
    assert len(lines) == len(set(lines)) == workers


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_fault_31_workers_end_when_the_client_is_killed(method, tmp_path):
    script = tmp_path / "client.py"
    script.write_text(
        "import os, sys, time\n"
        "from adaptive_scheduler.executors.process_pools import ProcessPool\n"
        "if __name__ == '__main__':\n"
        f"    pool = ProcessPool({method!r}).open(2)\n"
        "    pids = [pool.submit(os.getpid).result(), pool.submit(os.getpid).result()]\n"
        "    pool.submit(time.sleep, 100)\n"
        "    print(*pids, flush=True)\n"
        "    time.sleep(100)\n"
        "else:\n    print('main was imported again', flush=True)\n"
    )
    client = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    line = client.stdout.readline()
    workers = [psutil.Process(int(pid)) for pid in line.split()]
    client.kill()
    client.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


def test_close_kills_workers_that_do_not_return():
    executor = ProcessPool()
    pool = executor.open(1)
    pid = pool.submit(os.getpid).result()
    pool.submit(time.sleep, 100)
    begin = time.monotonic()
    assert executor.close(pool, 0.2)
    assert time.monotonic() - begin < 60
    assert not psutil.pid_exists(pid)


def test_commands_and_workers():
    launcher, target = ["mpiexec", "-n", "4"], ["-m", "adaptive_scheduler.client"]
    mpi, pool, sequential = map(launcher_for, ("mpi4py", "process-pool", "sequential"))
    assert mpi.command(launcher, "py", target) == [*launcher, "py", "-m", "mpi4py.futures", *target]
    assert pool.command(launcher, "py", target) == ["py", *target]
    assert [one.workers(4) for one in (mpi, pool, sequential)] == [3, 4, 1]
    assert [one.workers(1) for one in (mpi, pool, sequential)] == [1, 1, 1]
    assert list(LAUNCHERS) == list(EXECUTOR_TYPES)


def test_an_executor_type_that_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="'threads' is not known"):
        launcher_for("threads")
    for use in (launcher_for, parse_executor_type):
        with pytest.raises(InputError, match="'dask-mpi' is not there: use 'dask', which"):
            use("dask-mpi")
    assert isinstance(launcher_for("callable:0", [ProcessPoolExecutor]), Custom)
    with pytest.raises(InputError):
        launcher_for("callable:1", [ProcessPoolExecutor])
    with pytest.raises(UserCodeError, match=r"no concurrent\.futures\.Executor"):
        launcher_for(lambda n: n).open(2)


def test_a_pool_that_cannot_cancel_is_shut_down(tmp_path):
    class Older(ProcessPoolExecutor):
        def shutdown(self, wait=True):
            (tmp_path / "shut down").touch()
            super().shutdown(wait=wait)

    executor = Custom(Older)
    assert executor.close(executor.open(1), 5)
    assert (tmp_path / "shut down").exists()


@pytest.mark.parametrize("name", ["loky", "dask", "ipyparallel"])
def test_a_package_that_is_missing_is_named_with_its_extra(name):
    package = {"dask": "distributed"}.get(name, name)
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from adaptive_scheduler.executors.registry import launcher_for\n"
        f"launcher_for({name!r}).open(2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        f"EnvironmentMismatchError: executor_type={name!r} needs the package"
        in done.stderr.replace("adaptive_scheduler.errors.", "")
    )
    assert f"adaptive-scheduler[{name}]" in done.stderr


@pytest.mark.mpi
def test_two_ranks_evaluate(tmp_path):
    assert on_two_workers("mpi4py", tmp_path, "closed").split() == ["well"]
