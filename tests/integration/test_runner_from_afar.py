"""`Runner` on a run on another host: its learner and data are here, its points are computed there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import Executor, Runner
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from tests.clusters.sshd import PrivateSshd
from tests.integration.noted import noted, noted_in
from tests.integration.test_driver_deaths import wait_for
from tests.integration.test_remote import PATIENCE, ROOT, jobs, own_ssh

#: A driver that is killed, and run again.
PROGRAM = """
import sys
from functools import partial
import adaptive
from adaptive_scheduler import Executor, Runner
from tests.integration.noted import noted
from tests.integration.test_remote import jobs

url, python, ledger = sys.argv[1:]
learner = adaptive.Learner1D(partial(noted, 0.1, ledger), (-1, 1))
with Executor(jobs(), folder=url, python=python) as executor:
    Runner(learner, executor, 25).run()
print(learner.npoints)
"""


@pytest.fixture(scope="module")
def executor(session_sshd: PrivateSshd) -> Iterator[Executor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTIVE_SCHEDULER_SSH", session_sshd.ssh)
        url = session_sshd.url(session_sshd.home / "points")
        with Executor(jobs(), folder=url, python=str(session_sshd.python)) as made:
            yield made


@pytest.fixture
def ledger(sshd: PrivateSshd, request: pytest.FixtureRequest) -> str:
    """A file there, in which points write that they were computed."""
    path = sshd.home / request.node.name
    path.touch()
    path.chmod(0o666)
    return os.fspath(path)


def test_points_are_computed_there_and_saved_here(
    executor: Executor, ledger: str, tmp_path: Path
) -> None:
    fname = os.fspath(tmp_path / "data.pickle")
    learner = adaptive.Learner1D(partial(noted, 0.05, ledger), (-1, 1))
    runner = Runner(learner, executor, 20, fname=fname, refit_every=4, name="there").start()
    wait_for(lambda: runner.status()["slots"] == 2)
    outcome = runner.wait(PATIENCE)
    assert (outcome.reason, outcome.saved) == ("goal", True)
    begun = noted_in(ledger, "begin")
    assert len(begun) == len(set(begun)) >= learner.npoints >= 20
    loaded = adaptive.Learner1D(abs, (-1, 1))
    LearnerStore(loaded, fname).load()
    assert loaded.data == learner.data


def test_points_go_on_while_the_connection_is_away(
    executor: Executor, sshd: PrivateSshd, ledger: str
) -> None:
    learner = adaptive.Learner1D(partial(noted, 0.1, ledger), (-1, 1))
    runner = Runner(learner, executor, 30, ahead=6, name="away").start()
    wait_for(lambda: len(noted_in(ledger, "end")) >= 5)
    sshd.stop()
    for one in own_ssh():
        one.kill()
    threading.Timer(2.0, sshd.start).start()
    assert runner.wait(PATIENCE).npoints >= 30
    begun = noted_in(ledger, "begin")
    assert len(begun) == len(set(begun))


def test_a_driver_that_is_killed_computes_no_point_twice(sshd: PrivateSshd, ledger: str) -> None:
    argv = [sys.executable, "-c", PROGRAM, sshd.url(sshd.home / "again"), str(sshd.python), ledger]
    first = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(noted_in(ledger, "end")) >= 8)
    finally:
        first.kill()
        first.wait()
    again = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert again.returncode == 0, again.stderr
    begun = noted_in(ledger, "begin")
    assert len(begun) == len(set(begun)) >= int(again.stdout) >= 25
