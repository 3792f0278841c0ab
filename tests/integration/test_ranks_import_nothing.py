"""The three-file way: functions travel by value, so that worker ranks import nothing of the user's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.schedulers.base import default_mpiexec

LEARNERS_FILE = """
import dataclasses, os, sys, threading
import adaptive

SCALE = 3
BALLAST = None

@dataclasses.dataclass
class Found:
    y: float
    count = 0

def helper(x):
    return SCALE * x

def h(x):
    return Found(helper(x)), "adaptive" in sys.modules

MODEL = None

def load():
    global MODEL
    MODEL = 7

def modelled(x):
    return MODEL

LOCK = threading.Lock()

def locked(x):
    with LOCK:
        return x

class Twice:
    def __init__(self, f):
        self.f = f

    def __call__(self, x):
        return 2 * self.f(x)

@Twice
def doubled(x):
    return x

loop = []
for i in range(3):
    def g(x, i=i):
        return i * x
    loop.append(g)

def weighed(x):
    return len(BALLAST), "adaptive" in sys.modules

def counted(x, calls=[]):
    calls.append(x)
    return os.getpid(), len(calls)
"""

RUN_LEARNER = """
import pickle
import learners_file
from learners_file import Found, counted, h, locked, weighed
from mpi4py import MPI
from mpi4py.futures import MPIPoolExecutor
from adaptive_scheduler.client.scripts.script import send_with_code

def main(x):  # a name that the ranks' own __main__ has, too
    return x + 1

if __name__ == "__main__":
    send_with_code()
    Found.count = 100
    learners_file.BALLAST = bytes({ballast})
    with MPIPoolExecutor(main={main}) as pool:
        found, imported = pool.submit(h, 2).result()
        assert type(found) is Found and found.y == 6, found
        assert Found.count == 100, "an answer has changed the class that rank 0 has"
        print("adaptive in the rank:", imported)
        try:
            print("long function:", *pool.submit(weighed, 0).result())
        except TypeError as error:
            print("long function by name:", error)
        print("main:", pool.submit(main, 1).result())
        print("locked:", pool.submit(locked, 5).result())
        print("decorated:", pool.submit(learners_file.doubled, 3).result())
        print("loop:", [pool.submit(f, 1).result() for f in learners_file.loop])
        calls = list(pool.map(counted, range(5)))
        print("calls of one rank:", max(n for _, n in calls))
"""

WITH_INITIALIZER = """
from learners_file import load, modelled
from mpi4py.futures import MPIPoolExecutor
from mpi4py import MPI
from adaptive_scheduler.client.scripts.script import send_with_code

if __name__ == "__main__":
    send_with_code()
    with MPIPoolExecutor(main={main}, initializer=load) as pool:
        print("set by the initializer:", pool.submit(modelled, 0).result())
"""


def printed(folder: Path, ballast: int, main: bool, script: str = RUN_LEARNER) -> str:
    (folder / "learners_file.py").write_text(LEARNERS_FILE)
    text = script.replace("{ballast}", str(ballast)).replace("{main}", str(main))
    (folder / "run_learner.py").write_text(text)
    argv = [*default_mpiexec(sys.executable), "-n", "2", sys.executable]
    done = subprocess.run(
        [*argv, "-m", "mpi4py.futures", "run_learner.py"],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.mpi
def test_a_rank_has_the_function_without_its_module(tmp_path: Path) -> None:
    said = printed(tmp_path, ballast=10, main=False)
    assert "adaptive in the rank: False" in said
    assert "long function: 10 False" in said
    assert "main: 2" in said
    assert "calls of one rank: 5" in said, "one function with one state, not one for each point"


@pytest.mark.mpi
def test_a_long_function_goes_by_name(tmp_path: Path) -> None:
    """It would travel with each point; the rank imports its module, as with mpi4py's own pickle."""
    said = printed(tmp_path, ballast=2**20, main=False)
    assert "adaptive in the rank: False" in said
    assert "long function by name: object of type 'NoneType' has no len()" in said


@pytest.mark.mpi
def test_a_rank_that_has_imported_the_module_uses_it(tmp_path: Path) -> None:
    """With ``main=True``: its globals are those that an initializer there may have set."""
    said = printed(tmp_path, ballast=10, main=True)
    assert "adaptive in the rank: True" in said
    assert "long function by name: object of type 'NoneType'" in said
    assert "calls of one rank: 5" in said


@pytest.mark.mpi
@pytest.mark.parametrize("main", [False, True])
def test_what_is_sent_is_what_is_called(tmp_path: Path, main: bool) -> None:
    """Names that lead to something else (decorators, loops), and what no pickle can hold."""
    said = printed(tmp_path, ballast=10, main=main)
    assert "locked: 5" in said
    assert "decorated: 6" in said
    assert "loop: [0, 1, 2]" in said


@pytest.mark.mpi
@pytest.mark.parametrize("main", [False, True])
def test_an_initializer_sets_the_globals_of_the_functions(tmp_path: Path, main: bool) -> None:
    said = printed(tmp_path, ballast=10, main=main, script=WITH_INITIALIZER)
    assert "set by the initializer: 7" in said
