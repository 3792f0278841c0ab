"""The widgets and what watches logs, beside real runs of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adaptive
import ipywidgets
import pytest

from adaptive_scheduler import (
    LocalScheduler,
    MultiRunManager,
    RunManager,
    SlurmExecutor,
    server_support,
    widgets,
)
from adaptive_scheduler.runs.compat.tasks.task_jobs import TaskRunManager, TaskSettings
from adaptive_scheduler.runs.compat.widgets import log_panel


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def a_run(folder: Path, function: Callable[[Any], Any], n: int = 2, **given: Any) -> RunManager:
    made = LocalScheduler(cores=1, max_cores=2, executor_type="sequential", state=folder / "batch")
    learners = [adaptive.SequenceLearner(function, [place]) for place in range(n)]
    fnames = [folder / f"data {place}.pickle" for place in range(n)]
    return RunManager(
        made,
        learners,
        fnames,
        folder=folder / "a $run",
        save_dataframe=True,
        interval=0.5,
        log_interval=0.5,
        **given,
    )


def below(widget: Any) -> Iterator[Any]:
    yield widget
    for one in getattr(widget, "children", ()):
        yield from below(one)


def press(panel: Any, text: str) -> None:
    (found,) = [one for one in below(panel) if getattr(one, "description", "") == text]
    if isinstance(found, ipywidgets.Checkbox):
        found.value = not found.value
    else:
        found.click()


def shown(panel: Any) -> str:
    return "\n".join(
        str(one.value)
        for one in below(panel)
        if isinstance(one, (ipywidgets.HTML, ipywidgets.Textarea))
    )


def outputs_with(panel: Any, words: str) -> list[str]:
    """The outputs of jobs in a panel's list of files that have some words."""
    press(panel, "update file list")
    (which,) = [one for one in below(panel) if getattr(one, "description", "") == "file"]
    outputs = [path for _, path in which.options if path.endswith(".out")]
    return [path for path in outputs if words in Path(path).read_text()]


def test_a_panel_of_a_run_before_its_start_and_after_its_end(tmp_path: Path) -> None:
    def say(x: int) -> int:
        print("a line of the function")
        return x * 11

    run = a_run(tmp_path, say)
    panel = widgets.info(run, display_widget=False)
    assert "not started" in shown(panel)
    press(panel, "show logs")
    press(panel, "show database")
    run.start()
    run.wait(600, progress=False)
    press(panel, "update info")
    assert "<th style='text-align: left'>finished</th><td>2</td>" in shown(panel)
    words = "a line of the function"
    until(lambda: bool(outputs_with(panel, words)))  # a job writes the last of it when it ends
    (which,) = [one for one in below(panel) if getattr(one, "description", "") == "file"]
    assert len(which.options) >= 2
    which.value = outputs_with(panel, words)[0]
    assert words in shown(panel)
    press(panel, "update database")
    assert "data 1.pickle" in shown(panel)
    press(panel, "show queue")
    press(panel, "show results")
    press(panel, "all in one table")
    assert "<td>11</td>" in shown(panel)
    press(panel, "show results")
    assert "<td>11</td>" not in shown(panel)
    press(panel, "load learners")
    assert [learner.data for learner in run.learners] == [{0: 0}, {0: 11}]
    both = MultiRunManager([run]).info()
    press(both, "update all")
    assert "finished" in shown(both)
    press(panel, "cleanup files")
    press(panel, "no")
    assert run.folder.config.exists()
    press(panel, "cleanup files")
    press(panel, "yes, cleanup files")
    assert not run.folder.config.exists()
    assert "removed" in shown(panel)


def test_a_panel_of_a_run_of_tasks_is_like_one_of_learners(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ended in an AttributeError from when the tasks were started, and the jobs had no logs."""

    def say(x: int) -> int:
        print("a line of a task", flush=True)
        return x * 11

    made = LocalScheduler(cores=1, max_cores=1, state=tmp_path / "batch")
    executor = SlurmExecutor(folder=tmp_path, partition="p", cores_per_node=1)
    settings = TaskSettings("tasks", tmp_path / "tasks", None, 1, 0.5)
    run = TaskRunManager(settings, made, executor._groups)
    executor._run_manager = run  # with jobs of this machine
    tasks = [executor.submit(say, 2), executor.submit(int, "no number")]
    assert "not started" in shown(MultiRunManager([run]).info())
    run.start()
    assert tasks[0].result(600) == 22
    assert isinstance(tasks[1].exception(600), ValueError)
    both = MultiRunManager([run]).info()
    assert "<th style='text-align: left'>failed</th><td>1</td>" in shown(both)
    for panel in ("show logs", "show database", "show results"):
        press(both, panel)
    assert "no number" in shown(both)
    find, database = server_support.logs_with_string_or_condition, run.database_manager
    until(lambda: bool(find("a line of a task", database)))
    assert database.fnames == []
    assert len(run.job_starting_times()) == 1
    capsys.readouterr()
    run.info(3)  # in a notebook the view of an Executor
    assert "1 failed" in capsys.readouterr().out
    executor.shutdown()


def test_a_log_is_followed_until_the_button_is_pressed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_panel, "PAUSE", 0.01)
    seen: list[int] = []

    async def main() -> None:
        button = log_panel.follow_button(lambda: seen.append(1))
        button.click()
        assert button.description == "stop tail log"
        while len(seen) < 5:
            await asyncio.sleep(0.01)
        button.click()
        await asyncio.sleep(0)
        n = len(seen)
        await asyncio.sleep(0.1)
        assert (button.description, len(seen)) == ("tail log", n)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_kill_manager_cancels_a_job_of_a_run_which_sends_another(tmp_path: Path) -> None:
    """The first try says that it is broken and hangs; the second one returns."""

    def hang_once(x: int, folder: str = str(tmp_path)) -> int:
        import time
        from pathlib import Path

        tried = Path(folder, "tried")
        if tried.exists():
            return x
        tried.touch()
        print("srun: error: I am broken", flush=True)
        time.sleep(1000)
        return -1

    run = a_run(tmp_path, hang_once, n=1)
    run.start()
    made = server_support.KillManager(
        run.scheduler, run.database_manager, interval=0.2, move_to=tmp_path / "old logs"
    )
    made.start()
    run.wait(600, progress=False)
    run.load_learners()
    assert run.learners[0].data == {0: 0}
    made.task.result(600)
    assert len(made.cancelled) == 1
    assert [path for path in (tmp_path / "old logs").iterdir() if path.suffix == ".out"]
    frame = server_support.parse_log_files(run.database_manager, run.scheduler)
    assert list(frame.npoints) == [1]


def test_a_run_that_has_failed_says_so_by_the_former_error(tmp_path: Path) -> None:
    def broken(x: int) -> int:
        raise ValueError("no")

    run = a_run(tmp_path, broken, n=1, max_fails=1, point_retries=0)
    run.start()
    run.wait(600, progress=False)
    assert isinstance(run.task.exception(), server_support.MaxRestartsReachedError)
    with pytest.raises(server_support.MaxRestartsReachedError, match="failed"):
        run.task.result()
    explorer = widgets.log_explorer(run)
    press(explorer, "only files of jobs whose learner failed")
    (which,) = [one for one in below(explorer) if getattr(one, "description", "") == "file"]
    assert which.options
