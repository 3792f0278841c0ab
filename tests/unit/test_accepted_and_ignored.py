"""Each parameter of adaptive-scheduler 2 that is accepted without effect says so: once, and only if it was meant."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler import PBS, SLURM, LocalScheduler, RunManager, SlurmExecutor, slurm_run
from adaptive_scheduler.runs.compat.learners import accepted
from adaptive_scheduler.runs.compat.tasks import slurm_executor


def manager(tmp_path: Path, **given: Any) -> RunManager:
    learners, made = [adaptive.SequenceLearner(abs, [1])], LocalScheduler(cores=1)
    return RunManager(made, learners, [tmp_path / "x"], folder=tmp_path / "run", **given)


def by_slurm_run(tmp_path: Path, **given: Any) -> RunManager:
    more = {"folder": tmp_path, "partition": "p", "cores_per_node": 1, **given}
    return slurm_run([adaptive.SequenceLearner(abs, [1])], [tmp_path / "x"], **more)


def executor(tmp_path: Path, **given: Any) -> SlurmExecutor:
    return SlurmExecutor(folder=tmp_path, **given)


def slurm(_: Path, **given: Any) -> Any:
    return SLURM(cores=1, **given)


def pbs(_: Path, **given: Any) -> Any:
    return PBS(cores=1, **given)


def script(_: Path, **given: Any) -> Any:
    return SLURM(cores=1).job_script(given.get("options"))


def mapped(tmp_path: Path, **given: Any) -> Any:
    return executor(tmp_path).map(abs, [1], **given)


#: What is called, a keyword, a value that was meant, and the one by default.
OF_RUNS: list[tuple[str, Any, Any]] = [
    ("cleanup_first", True, False),
    ("db_fname", "x.json", None),
    ("job_manager_kwargs", {"max_fails_per_job": 3}, None),
    ("kill_interval", 30, 60),
    ("kill_manager_kwargs", {"move_to": "x"}, None),
    ("kill_on_error", len, "srun: error:"),
    ("loky_start_method", "spawn", "loky"),
    ("move_old_logs_to", "x", "old_logs"),
    ("quiet", True, False),
]
OF_TASKS: list[tuple[str, Any, Any]] = [
    *((name, value, usual) for name, value, usual in OF_RUNS
      if name not in ("db_fname", "move_old_logs_to", "cleanup_first", "quiet")),
    ("dataframe_format", "csv", "pickle"),
    ("executor_type", ("process-pool", "loky"), ("process-pool", "sequential")),
    ("extra_run_manager_kwargs", {"goal": 1}, None),
    ("goal", 10, None),
    ("log_interval", 10, 300),
    ("max_fails_per_job", 3, 50),
    ("max_log_lines", 10, 500),
    ("runner_kwargs", {"ntasks": 2}, {"retries": 2}),
    ("save_dataframe", True, False),
    ("save_interval", 10, 300),
    ("url", "tcp://127.0.0.1:4000", None),
]  # fmt: skip
CASES: list[tuple[Callable[..., Any], str, Any, Any]] = [
    *((manager, *one) for one in OF_RUNS),
    *((by_slurm_run, *one) for one in OF_RUNS
      if one[0] not in ("db_fname", "move_old_logs_to", "cleanup_first", "quiet")),
    *((executor, *one) for one in OF_TASKS),
    (mapped, "chunksize", 10, 1),
    (slurm, "batch_folder", "there", ""),
    (pbs, "batch_folder", "there", ""),
    (script, "options", {"--n": 1}, {}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "_said", set())


@pytest.mark.parametrize(
    ("call", "name", "value", "usual"), CASES, ids=[f"{one[0].__name__}-{one[1]}" for one in CASES]
)
def test_it_says_so_once_and_not_by_default(
    call: Callable[..., Any], name: str, value: Any, usual: Any, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(tmp_path)
        call(tmp_path, **{name: usual})
    with pytest.warns(UserWarning, match=f"{name}= has no effect in this package: .") as found:
        call(tmp_path, **{name: value})
    assert len(found) == 1
    assert "docs/migrating.md" in str(found[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(tmp_path, **{name: value})


def test_every_one_of_them_is_tried_here() -> None:
    assert {one[0] for one in OF_RUNS} == accepted.USUAL.keys() - accepted.KEPT
    asks_for_nothing = {"check_goal_on_start", "cleanup_first", "overwrite_db", "quiet"}
    tried = {one[0] for one in OF_TASKS} - {"runner_kwargs", "executor_type"}
    assert tried == slurm_executor._IGNORED.keys() - asks_for_nothing


def test_what_asks_for_nothing_needs_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        executor(
            tmp_path,
            check_goal_on_start=False,
            overwrite_db=False,
            cleanup_first=False,
            quiet=False,
        )
        manager(tmp_path, kill_on_error=None, max_log_lines=20)
        assert by_slurm_run(tmp_path, max_log_lines=20).max_log_lines == 20
