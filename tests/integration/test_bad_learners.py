"""Learners whose functions do all that functions should not do; a good one is not harmed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adaptive
import pytest

from tests.integration.accidents import Accidents


def raises(x):
    raise ValueError(f"no value at {x}")


def segfaults(x):
    os.kill(os.getpid(), signal.SIGSEGV)


def exits(x):
    sys.exit(3)


def returns_a_lock(x):
    return threading.Lock()


def imports_what_is_not_there(x):
    import no_such_module

    return no_such_module.f(x)


def asks_the_terminal(x):
    return float(input())


def prints_much(x):
    print("x" * 1_000_000)
    return x


def is_good(x):
    return x**2


TOLD = {
    raises: "your function raised ValueError: no value at",
    exits: "your function raised SystemExit: 3",
    returns_a_lock: "cannot be pickled",
    imports_what_is_not_there: "ModuleNotFoundError: No module named 'no_such_module'",
    asks_the_terminal: "EOFError",
}


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accidents]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Accidents(tmp_path)
    yield one
    one.run.cancel()
    one.run.wait(60)


@pytest.mark.parametrize(
    "executor", ["process-pool", pytest.param("mpi4py", marks=pytest.mark.mpi)]
)
def test_each_fails_by_itself_with_its_reason(accidents: Accidents, executor: str) -> None:
    functions: list[Callable[[Any], Any]] = [*TOLD, segfaults, prints_much, is_good]
    run = accidents.make(
        [adaptive.Learner1D(function, (-1, 1)) for function in functions],
        {"executor_type": executor},
        max_fails_per_job=0, max_crashes=1,
    )  # fmt: skip
    run.start()
    run.wait(90)
    items = dict(zip(functions, run.snapshot("all").items, strict=True))
    for function, told in TOLD.items():
        assert (items[function].phase, items[function].fails) == ("failed", 1), function
        assert told in items[function].reason
        assert items[function].crashes == 0
    dead = items[segfaults]
    assert (dead.phase, dead.fails, dead.crashes) == ("failed", 0, 2)
    assert "died" in dead.reason
    assert [items[f].phase for f in (prints_much, is_good)] == ["done", "done"]


def bad_goal(learner):
    raise KeyError("goal")


def bad_initializer():
    raise OSError("no licence")


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"goal": bad_goal}, "your goal raised KeyError: 'goal'"),
     ({"initializers": [bad_initializer]}, "OSError: no licence")],
)  # fmt: skip
def test_other_code_of_the_user_that_raises(
    accidents: Accidents, settings: dict[str, Any], told: str
) -> None:
    run = accidents.make([adaptive.Learner1D(is_good, (-1, 1))], max_fails_per_job=0, **settings)
    run.start()
    assert run.wait(40).phases == {"failed": 1}
    assert told in run.status().text
