"""examples/ranked_queue, as a user runs it: on this machine and in jobs of it, killed, with bad input."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.emews_queue import RankedQueue
from tests.integration.test_driver_deaths import kill_all, processes_of, wait_for

POOL = {"type": "local", "CFG_NODES": 1, "CFG_PPN": 2, "CFG_PROCS": "$(( CFG_NODES * CFG_PPN ))"}
HERE = {"type": "local", "scheduler": "here", "CFG_PROCS": 2}
SMALL = {"search_space_size": 40, "num_guesses": 30, "retrain_after": 6}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path
    kill_all(tmp_path)


def queue(home: Path, pools: dict[str, Any], **changes: Any) -> RankedQueue:
    return RankedQueue(home / "a folder", home / "ledger", pools, **changes)


def test_the_example_in_jobs_adds_pools_is_killed_and_goes_on(home: Path) -> None:
    made = queue(home, {"p1": POOL, "p2": POOL, "p3": {**POOL, "CFG_BATCH_SIZE": 2}})
    driver = made.start()
    wait_for(lambda: made.computed.total() >= 30)
    made.kill(driver)
    printed = made.run()
    assert printed.splitlines()[:3] == ["NUM GUESSES: 100", "RETRAIN AFTER: 20", "FTS: 120"]
    assert re.findall(r"^pool added: (\S+)$", printed, re.MULTILINE) == ["p2", "p3"]
    made.assert_complete(printed)


def test_the_example_on_this_machine_refits_on_a_pool(home: Path) -> None:
    # so many that most wait still when enough have a value
    many = {**SMALL, "search_space_size": 800, "runtime": 0.3, "runtime_var": 0.01}
    made = queue(home, {"one": HERE}, reprioritize_endpoint="one", **many)
    printed = made.run()
    completed = [int(n) for n in re.findall(r"^tasks completed: (\d+)$", printed, re.MULTILINE)]
    assert completed[0] >= 6, "more, if they were done when the last one was submitted"
    assert completed == sorted(completed)
    made.assert_complete(printed)
    assert "pool added" not in printed
    # when all is done there is nothing to do; for more of them, those that were cancelled are told
    computed = made.computed
    made.config["num_guesses"] = 800
    made.write()
    printed = made.run(code=1)
    assert "were cancelled: adaptive-scheduler retry e1" in printed
    assert f"tasks completed: {len(computed)}\n" in printed
    assert made.computed == computed


def test_the_example_with_a_learner_goes_on_after_a_kill(home: Path) -> None:
    made = queue(home, {"p1": POOL, "p2": POOL}, **SMALL)
    driver = made.start("learner.py")
    wait_for(lambda: made.computed.total() >= 10)
    made.kill(driver)
    printed = made.run(program="learner.py")
    # none, if all was computed while there was no driver
    assert re.findall(r"^pool added: (\S+)$", printed, re.MULTILINE) in ([], ["p2"])
    made.assert_complete(printed)


def test_a_model_that_raises_is_told_at_once_and_what_waited_is_brought_back(home: Path) -> None:
    # longer than a driver is waited for
    made = queue(home, {"one": HERE}, **{**SMALL, "search_space_size": 5000, "runtime": 0.2})
    program = made.home / "run.py"
    good = program.read_text()
    assert "RankingModel(points)" in good
    program.write_text(good.replace("RankingModel(points)", "(lambda numbers, values: 1 / 0)"))
    driver = made.start()
    printed, _ = driver.communicate(timeout=250)
    assert driver.returncode == 1
    assert printed.splitlines()[-1].startswith("ZeroDivisionError")
    assert "what waits is cancelled" in printed
    (hint,) = re.findall(r"go on by: adaptive-scheduler (retry .*), and this program", printed)
    program.write_text(good)
    command = [Path(sys.executable).with_name("adaptive-scheduler"), *shlex.split(hint)]
    subprocess.run(command, cwd=made.home, check=True, timeout=120)
    before = made.computed.total()
    made.assert_complete(made.run())
    assert made.computed.total() > before


@pytest.mark.parametrize(
    ("pools", "changes", "words"),
    [
        ({"p1": {**POOL, "CFG_PROCS": "$(( $(touch x) ))"}}, {}, "is more than arithmetic"),
        ({"p1": POOL}, {"retrain_aftr": 5}, "no key 'retrain_aftr'. Did you mean retrain_after?"),
    ],
)  # fmt: skip
def test_bad_input_ends_it_with_code_2_and_nothing_is_started(
    home: Path, pools: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    made = queue(home, pools, **changes)
    before = sorted(made.home.iterdir())
    assert words in " ".join(made.run(code=2, PYTHONDONTWRITEBYTECODE="1").split())
    assert sorted(made.home.iterdir()) == before
    assert processes_of(home) == []


def test_an_experiment_that_names_no_folder_is_refused(home: Path) -> None:
    made = queue(home, {"p1": POOL})
    assert "EXPERIMENT_ID '../x' names a folder" in made.run(code=2, experiment="../x")
