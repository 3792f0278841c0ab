"""The user's code in a worker, on every executor: its globals, what it starts, its source lines."""

from __future__ import annotations

import functools
import linecache
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.executors import received_code
from adaptive_scheduler.executors.process_pools import Custom, ProcessPool
from adaptive_scheduler.executors.registry import launcher_for
from adaptive_scheduler.io.pickling import by_value
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.pickling.learner_file import LearnerFile, write_learners

ROOT = Path(__file__).parents[2]
MAKERS = {
    "spawn": lambda: ProcessPool("spawn"),
    "forkserver": lambda: ProcessPool("forkserver"),
    "loky": lambda: launcher_for("loky"),
    "sequential": lambda: launcher_for("sequential"),
    "threads of the user's": lambda: launcher_for(ThreadPoolExecutor),
    "processes of the user's": lambda: launcher_for(ProcessPoolExecutor),
    "mpi4py on one core": lambda: launcher_for("mpi4py"),
}


@pytest.fixture(scope="module")
def pools():
    made: dict = {}
    yield made
    for executor, pool, _ in made.values():
        executor.close(pool, 5)


@pytest.fixture(autouse=True)
def signals_as_python_knows_them():
    """MPICH, once begun in this process, has handlers for SIGHUP and SIGUSR1 that Python ignores."""
    for number in SIGNALS:
        signal.signal(number, signal.getsignal(number))


#: Each worker that is spawned starts Python and imports adaptive; `make quick` has those of the fork server.
SPAWNED = pytest.param("spawn", marks=pytest.mark.slow)


@pytest.fixture(params=[SPAWNED if name == "spawn" else name for name in MAKERS])
def opened(request, pools):
    if request.param not in pools:
        executor = MAKERS[request.param]()
        cores = 1 if request.param.startswith("mpi4py") else 2
        pools[request.param] = executor, executor.open(cores), executor.workers(cores)
    return pools[request.param]


def written_by(script, modules, folder):
    """A folder in which a user's script has written learners, as the start of a run does."""
    (folder / "writing.py").write_text(WRITE)
    for name, text in modules.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "script.py").write_text("from writing import write\n" + script)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "script.py"], cwd=folder, env=environment, check=True)
    return folder


@pytest.fixture(scope="module")
def folders():
    return {}


def run(learner, opened, folder, goal=None, **more):
    _, pool, workers = opened
    return run_learner(LearnerWork(learner, str(folder / "a.pickle"), goal, pool, workers, **more))


# ------------------------------------------------------------------ globals and initializers

WRITE = """
from pathlib import Path
import adaptive
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.pickling.learner_file import write_learners

def write(*functions, initializers):
    learners = [adaptive.SequenceLearner(f, [1, 2, 3]) for f in functions]
    write_learners("learners", learners)
    write_callables("callables", {"initializers": initializers})
"""

TABLES = """
TABLE = None
CACHE = {}
CALLS = 0
OTHER = 1

def load():
    global TABLE, CALLS
    TABLE = {"a": 10}
    CACHE["b"] = 100
    CALLS += 1

def cached(name):
    return CACHE[name]

def f(x):
    return TABLE["a"] * x + cached("b") + 1000 * CALLS

def g(x):
    return TABLE["a"] * x + CACHE["b"] + 1000 * CALLS + OTHER - 1
"""

#: The user's file (run as a script), and modules beside it. All compute the same.
PLACES = {
    "in the script itself": (TABLES + "write(f, g, initializers=[load])", {}),
    "in a module beside it": (
        "import tables\nwrite(tables.f, tables.g, initializers=[tables.load])",
        {"tables.py": TABLES},
    ),
    "in a module that the function asks": (
        """
import tables
def load(): tables.load()
def f(x): return tables.f(x)
def g(x): return tables.TABLE["a"] * x + tables.CACHE["b"] + 1000 * tables.CALLS
write(f, g, initializers=[load])
""",
        {"tables.py": TABLES},
    ),
    "in a module of a package": (
        "from lab import tables\nwrite(tables.f, tables.g, initializers=[tables.load])",
        {"lab/__init__.py": "", "lab/tables.py": TABLES},
    ),
    "as a lambda, by a wrapped one": (
        TABLES
        + """
import functools
def twice(h):
    @functools.wraps(h)
    def wrapper(*a): return h(*a)
    return wrapper
write(twice(lambda x: f(x)), functools.partial(g), initializers=[twice(load)])
""",
        {},
    ),
    "in attributes of classes": (
        """
import tables
class Own:
    factor = None
    @classmethod
    def load(cls):
        cls.factor = 10
        tables.Kept.load()
class Sum:
    def __call__(self, x): return Own.factor * x + tables.Kept.rest
write(lambda x: Own.factor * x + tables.Kept.rest, Sum(), initializers=[Own.load])
""",
        {"tables.py": """
import abc
class Kept(abc.ABC):
    rest = None
    @staticmethod
    def load():
        Kept.rest = 1100
"""},
    ),
}  # fmt: skip


@pytest.fixture(params=list(PLACES))
def written(request, folders, tmp_path_factory):
    if request.param not in folders:
        folder = tmp_path_factory.mktemp("user")
        folders[request.param] = written_by(*PLACES[request.param], folder)
    return folders[request.param]


def test_initializers_set_the_globals_of_the_functions(opened, written, tmp_path):
    """Of all functions, and they run once: the second learner finds what they did."""
    initializers = tuple(read_callable(written / "callables", "initializers"))
    with LearnerFile(written / "learners") as learners:
        for index in range(len(learners)):
            learner = learners.read(index)
            outcome = run(learner, opened, tmp_path / str(index), initializers=initializers)
            assert outcome.error is None
            assert learner.result() == [1110, 1120, 1130]


@pytest.mark.mpi
def test_initializers_set_globals_in_mpi_ranks(tmp_path):
    (tmp_path / "script.py").write_text(
        "import adaptive\n"
        "from mpi4py.futures import MPIPoolExecutor\n"
        "from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner\n"
        + TABLES
        + "if __name__ == '__main__':\n"
        "    learner = adaptive.SequenceLearner(f, [1, 2, 3])\n"
        "    with MPIPoolExecutor(main=False) as pool:\n"
        "        work = LearnerWork(learner, 'a.pickle', None, pool, 2, initializers=(load,))\n"
        "        print(run_learner(work).error, learner.result())\n"
    )
    launcher = Path(sys.executable).with_name("mpiexec")
    command = [launcher, "-n", "3", sys.executable, "-m", "mpi4py.futures", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "None [1110, 1120, 1130]"


FACTOR = None


def set_factor():
    global FACTOR
    FACTOR = 10


async def multiplied(x):
    return FACTOR * x


def test_initializers_run_for_a_coroutine_too(opened, tmp_path):
    learner = adaptive.SequenceLearner(multiplied, [1, 2, 3])
    assert run(learner, opened, tmp_path, initializers=(set_factor,)).error is None
    assert learner.result() == [10, 20, 30]
    assert FACTOR is None  # not in the user's own process


def test_functions_of_other_namespaces_keep_their_own_globals(opened, tmp_path):
    """Code that was made by ``exec`` shares a module's name, but not its globals."""

    def made(a):
        names = {"__name__": "__main__", "a": a}
        exec("def f(x): return a * x", names)
        return names["f"]

    pairs = [adaptive.SequenceLearner(made(a), [1, 2]) for a in (10, 20)]
    balancing = adaptive.BalancingLearner(pairs)
    fnames = [str(tmp_path / name) for name in ("a", "b")]
    _, pool, workers = opened
    goal = lambda learner: all(one.done() for one in learner.learners)  # noqa: E731
    work = LearnerWork(balancing, fnames, goal, pool, workers, initializers=(lambda: None,))
    assert run_learner(work).error is None
    assert [one.result() for one in pairs] == [[10, 20], [20, 40]]


# ------------------------------------------------------------------ what the function starts

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def ended_popen(number):
    process = subprocess.Popen(["sleep", "100"])
    process.send_signal(number)
    return process.wait(60) == -number


def ended_child(number, pause):
    pid = None
    try:  # around the fork: a child that it left by an exception would go on as a second worker
        pid = os.fork()
        if not pid:
            time.sleep(20)
            os._exit(0)
    except KeyboardInterrupt:
        os._exit(-signal.SIGINT)
    time.sleep(pause)
    os.kill(pid, number)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status in (-number, 256 - number)


def ended_pool(_):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        answer = pool.map(abs, [-1, -2])
    return answer == [1, 2]


def test_processes_that_a_function_starts_end_when_terminated(opened, tmp_path):
    is_ours = not isinstance(opened[0], Custom)
    pauses = (0, 0.1) if is_ours else (0.1,)  # at once, and when it works already
    # in this process asyncio has SIGINT for itself; a client has a handler of its own
    numbers = [one for one in SIGNALS if is_ours or one != signal.SIGINT]

    def start(index):
        if index == len(numbers):
            return all(ended_pool(0) for _ in range(3))
        number = numbers[index]
        return ended_popen(number) and all(ended_child(number, pause) for pause in pauses)

    begin = time.monotonic()
    learner = adaptive.SequenceLearner(start, range(len(numbers) + 1))
    outcome = run(learner, opened, tmp_path)
    assert outcome.error is None
    assert learner.result() == [True] * (len(numbers) + 1)
    assert time.monotonic() - begin < 60


def test_a_signal_shortens_neither_a_sleep_nor_a_system_call(opened, tmp_path):
    executor, *_ = opened
    if isinstance(executor, Custom):
        pytest.skip("a pool of the user's own")

    def interrupted(x):
        import threading

        for pause in (0.05, 0.1):
            threading.Timer(pause, os.kill, (os.getpid(), signal.SIGTERM)).start()
        begin = time.monotonic()
        time.sleep(0.2)
        slept = time.monotonic() - begin
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return slept, os.system("sleep 0.2")  # C code that waits for a child

    learner = adaptive.SequenceLearner(interrupted, [1])
    assert run(learner, opened, tmp_path).error is None
    ((slept, status),) = learner.result()
    assert slept >= 0.2
    assert status == 0


# ------------------------------------------------------------------ source lines

FAILING = """
import functools

def checked(f):
    @functools.wraps(f)
    def wrapper(*arguments, **more):
        return f(*arguments, **more)
    return wrapper

def plain(x, offset=0):
    return 1 / (x - x)  # here: plain

@checked
def decorated(x):
    return 1 / (x - x)  # here: decorated

def outer(factor):
    def inner(x):
        return factor / (x - x)  # here: nested
    return inner

short = lambda x: 1 / (x - x)  # here: lambda

class Model:
    def method(self, x):
        return 1 / (x - x)  # here: method
    def __call__(self, x):
        return 1 / (x - x)  # here: callable object

def helper(x):
    return 1 / (x - x)  # here: helper

def asks(x):
    return helper(x)

FUNCTIONS = {
    "plain": plain, "partial": functools.partial(plain, offset=0.2), "decorated": decorated,
    "nested": outer(2), "lambda": short, "method": Model().method,
    "callable object": Model(), "helper": asks,
}
"""


CELL = "/tmp/ipykernel_12345/67890.py"
WHERE = {
    "in a script": FAILING + "write(*FUNCTIONS.values(), initializers=None)",
    "in a module": "import failing\nwrite(*failing.FUNCTIONS.values(), initializers=None)",
    "in a cell of a notebook": (  # what ipykernel does with it
        "import linecache\n"
        "from pathlib import Path\n"
        "cell = Path('failing.py').read_text()\n"
        f"linecache.cache[{CELL!r}] = len(cell), None, cell.splitlines(True), {CELL!r}\n"
        f"exec(compile(cell, {CELL!r}, 'exec'), globals())\n"
        "write(*FUNCTIONS.values(), initializers=None)"
    ),
}
KINDS = ("plain", "partial", "decorated", "nested", "lambda", "method", "callable object", "helper")


@pytest.fixture(params=list(WHERE))
def failing(request, folders, tmp_path_factory):
    if request.param not in folders:
        folder = tmp_path_factory.mktemp("failing")
        written_by(WHERE[request.param], {"failing.py": FAILING}, folder)
        for name in ("failing.py", "script.py"):
            (folder / name).write_text("it is edited while jobs wait\n" * 60)
        folders[request.param] = folder
    names = {"in a script": "script.py", "in a module": "failing.py"}
    return folders[request.param], str(folders[request.param] / names.get(request.param, CELL))


def test_a_traceback_shows_the_lines_of_the_user(opened, failing, tmp_path, monkeypatch):
    """As they were when the run was started."""
    monkeypatch.setattr(received_code, "_shows_sources", True, raising=False)  # as in a client
    folder, file = failing
    with LearnerFile(folder / "learners") as learners:
        for index, kind in enumerate(KINDS):
            outcome = run(learners.read(index), opened, tmp_path / str(index))
            text = outcome.error.traceback_text
            assert f"# here: {'plain' if kind == 'partial' else kind}" in text
            assert f'File "{file}", line ' in text
            assert "edited" not in text
            assert "<dynamic-code>" not in text


def test_source_is_sent_once_with_its_function(tmp_path):
    """Not with each function in it, nor with each learner of a run that was made in a loop."""
    made = [adaptive.SequenceLearner(lambda x, o=o: x + o, [1]) for o in range(50)]  # as in a loop
    long = "adaptive.SequenceLearner(lambda x, o=o: x + o, [1])"
    assert by_value.dumps_by_value(made[0].function).count(long.encode()) == 1
    exec_names: dict = {}
    body = "".join(f"    x = x + {i}  # a line of a long function\n" for i in range(50))
    text = f"def make(o):\n  def f(x, o=o):\n{body}    return x\n  return f\n"
    linecache.cache["long.py"] = len(text), None, text.splitlines(True), "long.py"
    exec(compile(text, "long.py", "exec"), exec_names)
    learners = [adaptive.SequenceLearner(exec_names["make"](o), [1]) for o in range(20)]
    write_learners(tmp_path / "learners", learners)
    assert (tmp_path / "learners").read_bytes().count(b"x = x + 7  # a line") == 1
    assert by_value.dumps_by_value(exec_names["make"]).count(b"x = x + 7  # a line") == 1


# ------------------------------------------------------------------ large functions


def in_table(table, x):
    return table[x] + len(table)


def test_a_large_function_goes_through_a_file_that_is_removed(opened, tmp_path):
    table = os.urandom(2**20)
    learner = adaptive.SequenceLearner(functools.partial(in_table, table), range(4))
    programs = tmp_path / "programs"
    seen = []

    def goal(learner):
        seen.extend(programs.glob("*"))
        return learner.done()

    outcome = run(learner, opened, tmp_path, goal=goal, programs=programs)
    assert outcome.error is None
    assert learner.result() == [table[x] + 2**20 for x in range(4)]
    assert len(set(seen)) == 1
    assert list(programs.iterdir()) == []
    assert programs.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("harm", ["gone", "other"])
def test_a_large_function_whose_file_is_not_seen_is_sent(opened, tmp_path, harm, monkeypatch):
    """As on a node that does not see the run's folder, or sees an old state of it."""
    from adaptive_scheduler.io.pickling import program_file

    put = program_file.write_program

    def harmed(*given):
        path = Path(put(*given))
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(b"something else")
        return str(path)

    monkeypatch.setattr(program_file, "write_program", harmed)
    table = os.urandom(2**20)
    for more in ({}, {"point_timeout": 60.0}):
        learner = adaptive.SequenceLearner(functools.partial(in_table, table), range(4))
        folder = tmp_path / str(len(more))
        outcome = run(learner, opened, folder, programs=tmp_path / "programs", **more)
        assert outcome.error is None
        assert learner.result() == [table[x] + 2**20 for x in range(4)]


def test_processes_that_a_coroutine_forks_in_the_client_end_when_terminated(tmp_path):
    script = (
        "import os, signal, time\n"
        "from adaptive_scheduler.client.signals import SignalThread\n"
        "SignalThread(lambda number: None, lambda: None).start()\n"
        "for number in (15, 1, 10, 12):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        time.sleep(20)\n"
        "        os._exit(0)\n"
        "    os.kill(pid, number)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["-15", "-1", "-10", "-12"]


@pytest.mark.mpi
def test_a_signal_to_all_ranks_ends_no_mpi_world(tmp_path):
    """Hydra would end rank 0 within 50 ms of the death of another; and a rank's child dies of it."""
    (tmp_path / "script.py").write_text(
        "import os, signal, subprocess, time\n"
        "import adaptive\n"
        "from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner\n"
        "from adaptive_scheduler.executors.mpi import MPI4Py\n"
        "def f(x):\n"
        "    for number in (15, 2, 1, 10, 12):\n"
        "        os.kill(os.getpid(), number)\n"
        "        child = subprocess.Popen(['sleep', '100'])\n"
        "        child.send_signal(number)\n"
        "        assert child.wait(60) == -number\n"
        "    return x\n"
        "if __name__ == '__main__':\n"
        "    pool = MPI4Py().open(3)\n"
        "    learner = adaptive.SequenceLearner(f, [1, 2, 3, 4])\n"
        "    print(run_learner(LearnerWork(learner, 'a.pickle', None, pool, 2)).error, learner.result())\n"
    )
    launcher = Path(sys.executable).with_name("mpiexec")
    command = [launcher, "-n", "3", sys.executable, "-m", "mpi4py.futures", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "None [1, 2, 3, 4]"
