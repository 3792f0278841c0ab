"""A run script for adaptive-scheduler 2: its `get_learner` is given no learners."""

from __future__ import annotations

import textwrap
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.client_support import get_learner
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.scheduler import LocalScheduler

SCRIPT = """
    import adaptive
    from adaptive_scheduler import client_support

    learner, fname, initializer = client_support.get_learner(None, "a log", "7", "a name")
    initializer()
    learner.load(fname)
    adaptive.runner.simple(learner, npoints_goal=3)
    client_support.tell_done(None, fname)
"""


@pytest.mark.timeout(300)
def test_its_script_runs_the_learners_of_the_run(tmp_path: Path) -> None:
    called = tmp_path / "called"
    script = tmp_path / "my script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    made = LocalScheduler(
        cores=1, executor_type="sequential", max_cores=2, state=tmp_path / "state"
    )
    run_manager = RunManager(
        made, [adaptive.SequenceLearner(lambda x: 2 * x, [1, 2, 3])], [tmp_path / "a b.pickle"],
        run_script=script, folder=tmp_path / "run", interval=1, initializers=[lambda: called.touch()],
    )  # fmt: skip
    assert run_manager.start() is run_manager
    assert run_manager.wait(200).over
    assert str(run_manager.status()) == "finished"
    assert called.exists()
    assert run_manager.load_learners()[0].data == {0: 2, 1: 4, 2: 6}
    assert run_manager.task is not None
    assert run_manager.task.done()
    (row,) = run_manager.database_manager.as_dicts()
    assert (row["is_done"], row["npoints"]) == (True, 3)
    run_manager.cleanup()
    assert str(run_manager.status()) == "not started"
    assert not (tmp_path / "run").exists()
    run_manager.remove_existing_data()
    assert not (tmp_path / "a b.pickle").exists()


def test_without_a_run_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADAPTIVE_SCHEDULER_RUN", raising=False)
    with pytest.raises(InputError, match="this process runs in none"):
        get_learner(None, "a log", "7", "a name")
