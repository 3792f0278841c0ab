"""Names of adaptive-scheduler 2 that need no batch system: schedulers by hand, learners, functions, logs, panels."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import adaptive
import cloudpickle
import pytest

from adaptive_scheduler import PBS, SLURM, client_support, scheduler, server_support, utils
from adaptive_scheduler.errors import InputError, PermissionsError, RunError
from adaptive_scheduler.runs.compat.learners import accepted
from adaptive_scheduler.runs.compat.logs import former_files
from adaptive_scheduler.runs.compat.widgets.log_choice import LogFile, chosen
from adaptive_scheduler.runs.compat.widgets.run_info import size_text, total_size
from adaptive_scheduler.runs.compat.widgets.table_panels import thinned

# -------------------------------------------------------------------------------- schedulers


def test_every_scheduler_has_the_members_of_their_base_class() -> None:
    for made in (SLURM(cores=2), PBS(cores=2), scheduler.LocalScheduler(cores=1)):
        assert isinstance(made, scheduler.BaseScheduler)
        assert made.single_job_script
        assert made.batch_fname("a b").name == f"a b{made.ext}"
        assert made.output_fnames("x")[0] == made.log_fname("x").with_suffix(".out")
        assert "export OMP_NUM_THREADS=1" in made.extra_env_vars()
    assert (SLURM(cores=1).submit_cmd, PBS(cores=1).submit_cmd) == ("sbatch", "qsub")
    assert PBS.sanatize_job_id("91722.hpc05.hpc") == "91722"
    assert SLURM.sanatize_job_id("91722_3") == "91722_3"


def test_the_lines_of_a_script_are_those_of_one_learner() -> None:
    made = SLURM(
        cores=(1, lambda: 3), extra_scheduler=(["--time=1"], ["--time=2"]), num_threads=2,
        extra_env_vars=(["A=$HOME"], lambda: ["A=x"]), extra_script=("one", lambda: "two"),
    )  # fmt: skip
    assert {"#SBATCH --ntasks=3", "#SBATCH --time=2"} <= set(
        made.extra_scheduler(index=1).split("\n")
    )
    assert made.extra_env_vars(index=0).startswith("export A=$HOME\n")
    assert "export OMP_NUM_THREADS=2" in made.extra_env_vars(index=1)
    assert [made.extra_script(index=n) for n in range(2)] == ["one", "two"]
    for call in (made.extra_scheduler, made.extra_env_vars, made.extra_script):
        with pytest.raises(InputError, match="index"):
            call()
    with pytest.raises(InputError, match="Give index=0 to index=1"):
        made.extra_scheduler(index=2)
    with pytest.raises(InputError, match="extra_env_vars has 2 entries and extra_script has 3"):
        SLURM(cores=1, extra_env_vars=(["A=1"], ["A=2"]), extra_script=("a", "b", "c"))
    assert SLURM(cores=1, extra_env_vars={"A": "x y"}).extra_env_vars().startswith("export A='x y'")


def test_a_script_is_written_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "_said", set())
    with pytest.warns(UserWarning, match="batch_folder= has no effect.*write_job_script"):
        made = SLURM(cores=(1, 2), batch_folder=tmp_path / "a $b")
    made.write_job_script("x", {}, index=1)
    script = tmp_path / "a $b" / "x.sbatch"
    assert "#SBATCH --ntasks=2" in script.read_text()
    with pytest.raises(InputError, match="only a run fills in"):
        made.start_job("x-1", index=1)
    with pytest.raises(InputError, match=r"there is no script .*y\.sbatch"):
        made.start_job("y", index=0)


def test_a_class_of_the_users_own_says_what_a_run_never_calls() -> None:
    with pytest.warns(
        UserWarning, match="Mine has its own job_script, queue, which a run does not"
    ):

        class Mine(SLURM):  # type: ignore[misc, valid-type]
            def job_script(self, options: Any = None, *, index: int | None = None) -> str:
                return str(super().job_script(options, index=index)) + "# mine\n"

            @staticmethod
            def queue(*, me_only: bool = True) -> dict[str, dict[str, str]]:
                return {"7": {"job_name": "a"}, "8": {"job_name": "b"}} if me_only else {}

    made = cloudpickle.loads(cloudpickle.dumps(Mine(cores=3, partition="p")))
    assert made.job_script().endswith("# mine\n")
    assert made.job_names_to_job_ids("b", "none") == ["8"]
    assert list(made.queue_df().index) == ["7", "8"]
    with pytest.raises(TypeError, match="abstract"):
        type("Own", (scheduler.BaseScheduler,), {})(cores=1)


# ------------------------------------------------------------------------ learners, functions


def test_pickled_learners_come_back_with_their_initializers(tmp_path: Path) -> None:
    learners = [adaptive.SequenceLearner(lambda x, n=n: x + n, range(3)) for n in range(2)]
    learners[0].tell((0, 0), 5)
    fnames = [tmp_path / "a $b" / "x.pickle", [tmp_path / "y.pickle", tmp_path / "z.pickle"]]
    size, seconds = utils.cloudpickle_learners(learners, fnames, initializers=[None, lambda: 7])
    files = [utils.fname_to_learner_fname(one) for one in fnames]
    assert [path.name for path in files] == [".learner.x.pickle", ".00000002_learners.y.pickle"]
    assert size == sum(path.stat().st_size for path in files)
    assert seconds >= 0
    found = utils.fname_to_learner(fnames[0])
    assert (found.npoints, found.function((1, 1))) == (0, 1)
    _, initializer = client_support.fname_to_learner(fnames[1], return_initializer=True)
    assert initializer() == 7
    utils.cloudpickle_learners(learners, fnames, empty_copies=False)
    assert utils.fname_to_learner(str(fnames[0])).npoints == 1
    with pytest.raises(InputError, match=r"run_manager\.learners"):
        utils.fname_to_learner(tmp_path / "none")
    with pytest.raises(InputError, match="2 learners, 1 fnames and 2 initializers"):
        utils.cloudpickle_learners(learners, fnames[:1])
    files[0].chmod(0o666)
    with pytest.raises(PermissionsError):
        utils.fname_to_learner(fnames[0])


@pytest.mark.parametrize("mode", ["random_id", "memory", "file"])
def test_a_wrapped_function_works_in_a_process_that_never_saw_it(mode: str) -> None:
    offset = 3
    wrapped = utils.WrappedFunction(lambda x, *, y=0: x + y + offset, mode=mode)
    assert wrapped(1, y=1) == 5
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(wrapped, (1,), {"y": 2}) == 6
    if mode == "file":
        Path(wrapped._source).unlink()
    with pytest.raises(InputError, match="mode='x' must be one of"):
        utils.WrappedFunction(abs, mode="x")


def test_methods_note_their_times(capsys: pytest.CaptureFixture[str]) -> None:
    class Slow:
        def wait(self) -> int:
            time.sleep(0.02)
            return 1

        def _hidden(self) -> None: ...

        @property
        def broken(self) -> int:
            raise AttributeError

    slow, times = Slow(), {"Slow.wait": [9.0]}
    assert utils.add_timing_to_object(slow, times, include_private=False) is times
    assert slow.wait() == 1
    slow._hidden()
    assert list(times) == ["Slow.wait"]
    assert times["Slow.wait"][1] >= 0.02
    assert re.search(r"Slow\.wait: \d+\.\d+", capsys.readouterr().out)


# ------------------------------------------------------------------------------------- logs


def test_a_script_that_runs_a_learner_itself_logs_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a b.log"
    client_support.add_log_file_handler(path)
    monkeypatch.delenv("ADAPTIVE_SCHEDULER_N", raising=False)

    async def main() -> None:
        learner = adaptive.BalancingLearner(
            [adaptive.SequenceLearner(abs, range(3)) for _ in range(2)], strategy="cycle"
        )
        runner = adaptive.AsyncRunner(
            learner, goal=lambda one: one.npoints >= 4 if hasattr(one, "npoints") else
            sum(each.npoints for each in one.learners) >= 4, executor=adaptive.runner.SequentialExecutor(),
        )  # fmt: skip
        client_support.log_now(runner, 0)
        task = client_support.log_info(runner, interval=0.01)
        await runner.task
        await task

    try:
        asyncio.run(main())
        client_support.log_exception(client_support.log, "it broke", ValueError("why"))
        client_support.args_to_env(argparse.Namespace(n=3, name=None))
    finally:
        for handler in logging.getLogger("adaptive_scheduler.client").handlers[:]:
            logging.getLogger("adaptive_scheduler.client").removeHandler(handler)
            handler.close()
    assert os.environ.pop("ADAPTIVE_SCHEDULER_N") == "3"
    assert "ADAPTIVE_SCHEDULER_NAME" not in os.environ
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(next(iter(line)) == "event" for line in lines)
    status = [line for line in lines if line["event"] == "current status"]
    assert status[-1]["npoints"] >= 4
    assert {"elapsed_time", "overhead", "cpu_usage", "mem_usage", "nlearners"} <= status[-1].keys()
    assert (
        "ValueError: why"
        in next(line for line in lines if line["event"] == "it broke")["exception"]
    )


class Database:
    """Two jobs, of which one has ended."""

    def __init__(self, folder: Path) -> None:
        self.is_over = False
        self.rows = [
            {"job_id": str(n), "job_name": "run", "log_fname": str(folder / f"{n}.log"),
             "output_logs": [str(folder / f"{n}.out")]} for n in (7, 8)
        ]  # fmt: skip
        self.rows.append({"job_id": None, "job_name": None, "log_fname": None, "output_logs": []})

    def as_dicts(self) -> list[dict[str, Any]]:
        return self.rows

    def is_done(self) -> bool:
        return self.is_over


def test_jobs_are_found_by_what_their_logs_say(tmp_path: Path) -> None:
    (tmp_path / "8.out").write_bytes(b"one\n\xff srun: error: died\n")
    database = Database(tmp_path)
    find = server_support.logs_with_string_or_condition
    files = [str(tmp_path / "8.out"), str(tmp_path / "8.log")]
    assert find("srun: error:", database) == [("run", files)]
    assert find(lambda lines: len(lines) == 2, database) == [("run", files)]
    assert find("nothing", database) == []
    with pytest.raises(InputError, match="error=3 must be a text, or a function"):
        find(3, database)


class Cancelled:
    def __init__(self, database: Database) -> None:
        self.database, self.jobs = database, []

    def cancel_ids(self, jobs: list[str], max_tries: int) -> None:
        assert max_tries == 2
        self.jobs += jobs
        self.database.is_over = True


@pytest.mark.parametrize("has_loop", [True, False])
def test_a_kill_manager_cancels_a_job_once_and_moves_its_files(
    tmp_path: Path, has_loop: bool
) -> None:
    (tmp_path / "8.out").write_text("srun: error: died")
    database = Database(tmp_path)
    batch = Cancelled(database)
    made = server_support.KillManager(
        batch, database, interval=0.01, max_cancel_tries=2, move_to=tmp_path / "old logs"
    )
    assert (made.is_started, made.cancel()) == (False, None)

    async def main() -> None:
        await made.start().task

    if has_loop:
        asyncio.run(main())
    else:
        made.start().task.result(60)
    assert batch.jobs == made.cancelled == ["8"]
    assert made.deleted == [str(tmp_path / "8.out")]
    assert (tmp_path / "old logs" / "8.out").exists()
    with pytest.raises(RunError, match="started before"):
        made.start()
    assert made.cancel() is False


def test_what_goes_on_in_a_thread_can_be_stopped() -> None:
    class Endless(server_support.BaseManager):  # type: ignore[misc, valid-type]
        async def _manage(self) -> None:
            await asyncio.sleep(1000)

    made = Endless()
    made.start()
    assert made.cancel() is True
    deadline = time.monotonic() + 60
    while not made.task.cancelled():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_files_of_former_jobs_are_removed_by_the_names_of_the_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "_said", {"batch_folder"})
    made = SLURM(cores=1, log_folder=tmp_path, batch_folder=tmp_path)
    goes = ["run-0-123.log", "run-0-123_4.out", "run.sbatch"]
    stays = ["run-0-notes.log", "run-01-5.log", "123.log", "run-0-1.txt"]
    for name in [*goes, *stays]:
        (tmp_path / name).write_text("x")
    server_support.cleanup_scheduler_files(["run-0"], made, move_to=tmp_path / "old logs")
    assert sorted(path.name for path in (tmp_path / "old logs").iterdir()) == goes
    assert all((tmp_path / name).exists() for name in stays)
    (tmp_path / goes[0]).write_text("x")
    server_support.cleanup_scheduler_files(["run-0"], made)
    assert not (tmp_path / goes[0]).exists()


class Alive:
    def queue(self) -> dict[str, dict[str, str]]:
        return {"7": {}}


def test_profiles_of_jobs_that_have_left_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("profile_adaptive_scheduler_7", "profile_adaptive_scheduler_8", "profile_mine"):
        (tmp_path / ".ipython" / name).mkdir(parents=True)
    cleaner = server_support.periodically_clean_ipython_profiles(Alive(), interval=0.01)
    deadline = time.monotonic() + 60
    while (tmp_path / ".ipython" / "profile_adaptive_scheduler_8").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cleaner.cancel()
    left = sorted(path.name for path in (tmp_path / ".ipython").iterdir())
    assert left == ["profile_adaptive_scheduler_7", "profile_mine"]
    assert former_files.is_id("12_3")
    assert not former_files.is_id("notes")


# ------------------------------------------------------------------------------------- panels


def test_log_files_are_chosen_and_sorted() -> None:
    logs = [
        LogFile("/x/8.log", "8", runs=True, text="srun: error", figures={"npoints": 3}),
        LogFile("/x/7.log", "7", failed=True, figures={"npoints": 5, "latest_loss": float("nan")}),
        LogFile("/x/7.out", "7", failed=True),
    ]
    assert [path for _, path in chosen(logs)] == ["/x/7.log", "/x/7.out", "/x/8.log"]
    assert chosen(logs, only_running=True) == [("8.log", "/x/8.log")]
    assert [path for _, path in chosen(logs, only_failed=True)] == ["/x/7.log", "/x/7.out"]
    assert [path for _, path in chosen(logs, contains="srun")] == ["/x/8.log"]
    assert [label for label, _ in chosen(logs, order="npoints")] == [
        "5 points: 7.log",
        "3 points: 8.log",
        "?: 7.out",
    ]
    assert chosen(logs, order="Loss")[0][0].startswith("?")


def test_figures_are_those_that_people_read(tmp_path: Path) -> None:
    import pandas as pd

    (tmp_path / "a").write_bytes(b"12345")
    assert total_size([tmp_path / "a", [str(tmp_path / "a"), tmp_path / "none"]]) == 10
    assert [size_text(n) for n in (5, 1500, 2e6, 3e15)] == ["5 B", "1.5 kB", "2.0 MB", "3000.0 TB"]
    frame = pd.DataFrame({"x": range(10)})
    assert list(thinned(frame, 3).x) == [0, 4, 9]
    assert list(thinned(frame, 1).x) == [0]
    assert len(thinned(frame, 10)) == 10
    from adaptive_scheduler import widgets

    info = widgets.RunManagerInfo(
        "running", 1, 2, 3, 4, 5, timedelta(seconds=60), 1500, mean_starting_time=2.0
    )
    assert repr(info).splitlines()[:2] == [
        "status:               running",
        "running jobs:         1",
    ]
    assert "jobs waited:          2.0 s ± 0.0 s" in repr(info)


def test_panels_say_what_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "from adaptive_scheduler import widgets\n"
        "try: widgets.results_widget([], 'pickle')\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'adaptive-scheduler[notebook]'" in done.stdout
