from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import client_support
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.errors import InputError
from tests.integration.client_runs import ClientRun, finish

EXAMPLES = Path(__file__).parents[2] / "examples"
ALONE = {"ADAPTIVE_SCHEDULER_CORES": "1"}


def a_run(tmp_path: Path, n: int = 2, *, combos: bool = False) -> ClientRun:
    """A run whose scripts find ``learners_file.py`` beside them."""
    text = f"""
        import adaptive
        import numpy as np
        learners = [adaptive.Learner1D(lambda x, a=a: x * x + a, (-1, 1)) for a in range({n})]
        fnames = [f"data/{{a}}" for a in range({n})]
        combos = [{{"a": np.int64(a), "b": (1.5, "x")}} for a in range({n})]
    """
    (tmp_path / "learners_file.py").write_text(textwrap.dedent(text))
    run = ClientRun(tmp_path, 10)
    rows = [{"a": a, "b": [1.5, "x"]} for a in range(n)] if combos else None
    run.fill([], [f"data/{a}" for a in range(n)], rows)
    return run


def script(run: ClientRun, text: str, job: str = "1_1", **more: str) -> tuple[int, str]:
    head = (
        "from adaptive_scheduler import client_support\nfrom learners_file import *\nurl = None\n"
    )
    path = run.path / "run_learner.py"
    path.write_text(head + textwrap.dedent(text))
    return finish(
        run.client(
            job,
            [sys.executable, str(path)],
            **{**ALONE, "ADAPTIVE_SCHEDULER_EXECUTOR": "sequential", **more},
        )
    )


COMPUTE = """
    learner, fname = client_support.get_learner(url, learners, fnames)
    adaptive.runner.simple(learner, npoints_goal=12)
    client_support.is_done(url, fname)
"""


@pytest.mark.mpi
def test_the_script_of_the_docs_has_all_points_on_disk(tmp_path: Path) -> None:
    for name in ("learners_file.py", "run_learner.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    sys.path.insert(0, str(EXAMPLES))
    try:
        import learners_file
    finally:
        sys.path.pop(0)
    run = ClientRun(tmp_path, None)
    run.fill([], learners_file.fnames[:2])
    mpiexec = str(Path(sys.executable).parent / "mpiexec")
    command = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", "run_learner.py"]
    mpi = {"ADAPTIVE_SCHEDULER_EXECUTOR": "mpi4py", "ADAPTIVE_SCHEDULER_CORES": "3"}
    with run.manage() as engine:
        code, output = finish(run.client("1_1", command, **mpi))
        assert code == 0, output
        item = engine.state.items.rows[0]
        assert (item.phase, engine.state.items.rows[1].phase) == (Phase.DONE, Phase.QUEUED)
    learner = adaptive.Learner1D(abs, (-1, 1))
    learner.load(str(tmp_path / learners_file.fnames[0]))
    assert learner.npoints == item.npoints >= 200
    assert run.has_ended("1_1")


def test_fault_32_combos_of_numpy_find_their_rows(tmp_path: Path) -> None:
    run = a_run(tmp_path, combos=True)
    by_combo = COMPUTE.replace("learners, fnames)", "learners[::-1], combos[::-1])")
    with run.manage() as engine:
        code, output = script(run, by_combo + "\n    print('a', learner.function(0))")
        assert code == 0, output
        assert engine.state.items.rows[0].phase is Phase.DONE
    assert "a 0" in output


def test_combos_need_a_database_with_combos(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.manage():
        code, output = script(run, COMPUTE.replace("learners, fnames)", "learners, combos)"))
    assert code == 1
    assert "create_empty_db(db_fname, fnames, combos)" in output


def test_another_learners_file_is_refused_and_both_are_shown(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.manage() as engine:
        text = "fnames = ['elsewhere/a', 'elsewhere/b']\n" + textwrap.dedent(COMPUTE)
        code, output = script(run, text)
        assert engine.state.items.rows[0].fails == 1
    assert code == 1
    assert "data/0" in output
    assert "elsewhere/a" in output


def test_a_script_that_raises_fails_with_its_traceback(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.manage() as engine:
        code, output = script(run, COMPUTE.replace("client_support.is_done(url, fname)", "1 / 0"))
        item = engine.state.items.rows[0]
    assert (code, item.fails, item.phase) == (1, 1, Phase.QUEUED)
    assert "ZeroDivisionError" in item.reason
    assert "run_learner.py" in item.traceback
    assert "ZeroDivisionError" in output


def test_a_script_that_forgets_is_done_fails(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.manage() as engine:
        code, _ = script(run, COMPUTE.replace("client_support.is_done(url, fname)", "pass"))
        item = engine.state.items.rows[0]
    assert (code, item.fails, item.job) == (0, 1, None)
    assert "is_done" in item.reason


def test_is_done_refuses_the_fname_of_another_process(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.manage() as engine:
        code, output = script(run, COMPUTE.replace("is_done(url, fname)", "is_done(url, 'x')"))
        assert engine.state.items.rows[0].phase is Phase.QUEUED
    assert code == 1
    assert "'x'" in output
    assert "'data/0'" in output


def test_the_url_finds_the_run_without_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = a_run(tmp_path)
    with run.manage() as engine:
        (tmp_path / "run_learner.py").write_text(
            "from adaptive_scheduler import client_support\nfrom learners_file import *\n"
            f"url = {engine.url!r}\n" + textwrap.dedent(COMPUTE)
        )
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTIVE_SCHEDULER")}
        process = subprocess.Popen(
            [sys.executable, "run_learner.py"],
            env=environ,
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        code, output = finish(process)
        assert engine.state.items.rows[0].phase is Phase.DONE, output
    assert code == 0


def test_run_runs_all_learners(tmp_path: Path) -> None:
    run = a_run(tmp_path, n=3)
    line = "if __name__ == '__main__': client_support.run(url, learners, fnames, goal=15)"
    with run.manage() as engine:
        code, output = script(run, line)
        assert code == 0, output
        assert [item.phase for item in engine.state.items.rows] == [Phase.DONE] * 3
        assert min(item.npoints for item in engine.state.items.rows) >= 15
    assert (tmp_path / "data/2").exists()


def test_run_does_not_keep_the_data_of_learners_that_are_done(tmp_path: Path) -> None:
    run = a_run(tmp_path, n=12)
    text = """
        import gc

        if __name__ == "__main__":
            client_support.run(url, learners, fnames, goal=15, points_interval=0.1)
            gc.collect()
            alive = [one for one in gc.get_objects() if type(one) is adaptive.Learner1D]
            print("with data:", sum(bool(one.npoints) for one in alive), "of", len(alive))
    """
    with run.manage() as engine:
        code, output = script(run, text)
        assert code == 0, output
        assert min(item.npoints for item in engine.state.items.rows) >= 15
    n_with_data, n = map(int, output.partition("with data: ")[2].split(" of "))
    assert n >= 12
    assert n_with_data <= 1, "the last one may be in the hands of the client"


@pytest.mark.parametrize("name", ["save_interval", "points_interval", "log_interval"])
def test_run_refuses_intervals_that_are_not_lengths_of_time(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}=0 must be longer than zero seconds"):
        client_support.run(None, [], [], goal=1, **{name: 0})
