"""The command ``search``, and examples/async_search, as a user runs them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.clusters.pbs import PrivatePBS
from tests.clusters.slurm import PrivateSlurm
from tests.contract.test_optimizers import theirs
from tests.integration.test_driver_deaths import kill_all, processes_of, wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text()
BIN = Path(sys.executable).parent
NEW = {
    "space": {"x": {"range": [0, 1]}}, "task": "echo value {x}", "value": {"regex_value": r"value (\S+)"},
    "points_init": 2, "points_max": 4,
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A copy of the example, with a blank in its path."""
    folder = tmp_path / "a folder" / "async_search"
    shutil.copytree(ROOT / "examples" / "async_search", folder)
    yield folder
    kill_all(tmp_path)


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTIVE_SCHEDULER")}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHON": sys.executable, **more}


def begin(program: list[str], folder: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        program, cwd=folder, env=environment(**more), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, process_group=0,
    )  # fmt: skip


def run(program: list[str], folder: Path, code: int = 0, **more: str) -> str:
    done = begin(program, folder, **more)
    printed, _ = done.communicate(timeout=200)
    assert done.returncode == code, printed
    assert "Traceback" not in printed
    return printed


def search(
    folder: Path, *words: str, code: int = 0, file: dict[str, Any] | None = None, **more: str
) -> str:
    if file is not None:
        (folder / "new.yaml").write_text(yaml.safe_dump(file))
    name = "search.yaml" if file is None else "new.yaml"
    return run(["adaptive-scheduler", "search", name, *words], folder, code, **more)


def losses(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "output").glob("val_loss-*.txt"))


def points_of(home: Path) -> dict[str, tuple[float, int]]:
    """The points, as each task that has begun has printed them, by the names of their files."""
    found = {}
    for path in sorted((home / "output").glob("0*.txt")):
        said = re.findall(r'"drop": (\S+), "batch_size": (\d+)', path.read_text())
        if said:
            found[path.name] = float(said[-1][0]), int(said[-1][1])
    return found


def asked(home: Path) -> list[tuple[float, int]]:
    """The points of all tasks, in their order."""
    return list(points_of(home).values())


# ------------------------------------------------------------------- the example


def test_the_example_runs_to_its_end_and_says_what_such_a_workflow_says(home: Path) -> None:
    printed = run(["./main.sh", "1", "4", "12"], home)
    lines = printed.splitlines()
    assert lines[0].startswith("search start: ")
    assert lines[-1] == "Workflow complete!"
    # of one that has ended by the time it is looked at no process is known
    started = re.findall(r"^started: (\d+|for a moment only) on ", printed, re.MULTILINE)
    assert len(started) == 12
    assert any(map(str.isdecimal, started))
    running = [int(n) for n in re.findall(r"^tasks_running: (\d+)$", printed, re.MULTILINE)]
    assert (running[:4], max(running), running[-1]) == ([1, 2, 3, 4], 4, 0)
    assert losses(home) == [f"val_loss-{n:04d}.txt" for n in range(12)]
    assert asked(home)[:10] == theirs(10)
    # run again with more points it goes on
    again = run(["./main.sh", "1", "4", "14"], home)
    assert (again.count("\ndone: "), again.count("\nstarted: ")) == (14, 2)
    assert "usage" in run(["./main.sh", "1"], home, code=2)


@pytest.mark.parametrize("typed", [("1", "2"), ("2", "0"), ("x", "1"), ("", "1")])
def test_submit_sh_refuses_numbers_that_leave_no_task(home: Path, typed: tuple[str, str]) -> None:
    assert "give two numbers" in run(["./submit.sh", *typed], home, code=2)
    assert not (home / "output").exists()


def test_the_example_that_is_killed_goes_on(home: Path) -> None:
    file = {**yaml.safe_load((home / "search.yaml").read_text()), "method": "random"}
    del file["options"]
    (home / "search.yaml").write_text(yaml.safe_dump(file))
    first = begin(["./main.sh", "1", "3", "12"], home)
    wait_for(lambda: len(losses(home)) >= 4)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    before = points_of(home)  # some may just begin
    assert len(before) >= 4
    printed = run(["./main.sh", "1", "3", "12"], home)
    assert printed.splitlines()[-1] == "Workflow complete!"
    assert printed.count("\ndone: ") == 12, "what is known is shown, too"
    assert before.items() <= points_of(home).items()
    assert len(asked(home)) == 12


def test_a_ctrl_c_ends_the_programs_and_says_how_to_go_on(home: Path) -> None:
    long = {**NEW, "task": "echo $$ >> pids; sleep 100"}
    (home / "new.yaml").write_text(yaml.safe_dump(long))
    driver = begin(["adaptive-scheduler", "search", "new.yaml"], home)
    wait_for(lambda: (home / "pids").exists() and len((home / "pids").read_text().split()) == 2)
    os.kill(driver.pid, signal.SIGINT)
    printed, _ = driver.communicate(timeout=180)
    assert driver.returncode == 130, printed
    assert "To go on" in printed
    pids = (home / "pids").read_text().split()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


# ------------------------------------------------------------------- the page


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "page.py").write_text(code)
    printed = run([sys.executable, "page.py"], tmp_path)
    assert printed.splitlines()[-1].endswith(" 20 []")


def test_the_page_has_each_key_of_the_file_and_each_option() -> None:
    from adaptive_scheduler.commandline.input.search_file import SearchFile

    for name in [*SearchFile.__dataclass_fields__, "job", "points_init", "points_max"]:
        assert f"`{name}`" in PAGE, name
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert set(yaml.safe_load(text)) <= {
        *SearchFile.__dataclass_fields__,
        "points_init",
        "points_max",
    }


# ------------------------------------------------------------------- nodes, plug-ins, options


def test_as_many_tasks_run_as_the_nodes_allow(home: Path) -> None:
    file = {**NEW, "task": "sleep 0.3; echo value {_nodes}", "points_max": 7}
    del file["points_init"]
    printed = search(home, "--nodes", "9", "--parallelism", "2", file=file)
    assert "4 at once, then 4;" in printed
    assert "best: 2 with" in printed


@pytest.mark.parametrize(
    ("said", "environment", "at_once"),
    [
        ({}, {}, None),
        ({"nodes": 9, "parallelism": 2}, {}, 4),
        ({"nodes": 9, "concurrency": 3}, {}, 3),
        ({"nodes": 9}, {"NODES": "4", "PARALLELISM": "2"}, 2),
        ({}, {"NODES": "3", "CONCURRENCY": "7"}, 7),
    ],
)  # fmt: skip
def test_what_is_in_the_environment_goes_before_the_file(said, environment, at_once) -> None:
    from adaptive_scheduler.commandline.input.search_file import SearchFile
    from adaptive_scheduler.commandline.tasks.search import _concurrency, _of_environment

    assert _concurrency(SearchFile(**{**said, **_of_environment(environment)})) == at_once


def test_nodes_that_are_none_are_refused() -> None:
    from adaptive_scheduler.commandline.input.search_file import SearchFile
    from adaptive_scheduler.commandline.tasks.search import _concurrency, _of_environment
    from adaptive_scheduler.errors import InputError

    with pytest.raises(InputError, match=r"\$NODES is 'x'"):
        _of_environment({"NODES": "x"})
    with pytest.raises(InputError, match="parallelism=3"):
        _concurrency(SearchFile(nodes=2, parallelism=3))


def test_problem_and_task_are_plug_ins(home: Path) -> None:
    file = {"problem": "problem:space", "task": "task:value", "points_max": 3, "initial": 2,
            "name": "plug", "output": "out", "log": "log.{_index}"}  # fmt: skip
    printed = search(home, file=file)
    assert "search complete: 3 tasks done, 0 failed" in printed
    rows = run(["adaptive-scheduler", "tasks", "out/.adaptive-scheduler/plug", "--json"], home)
    assert [name in rows for name in ("plug-0000", "plug-0002")] == [True, True]


def test_failures_end_it_with_status_1_unless_it_is_told_to_go_on(home: Path) -> None:
    file = {**NEW, "task": "test {_index} != 1 || { echo it hurts; exit 3; }; echo value {x}"}
    printed = search(home, "--on-failure", "continue", file=file)
    assert "3 tasks done, 1 failed" in printed
    assert "it hurts" in printed
    printed = search(home, file=file, code=1)  # run again, it knows that it had failed
    assert "number 1" in printed


# ------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spaec": 3}, "no key 'spaec'. Did you mean space"),
        ({"space": {"x": [3]}}, "only one point"),
        ({"space": {"x": []}}, "no values"),
        ({"space": {"x": 3}}, "neither a range"),
        ({"space": None}, "give either space or problem"),
        ({"problem": "problem:space"}, "give either space or problem"),
        ({"space": None, "problem": "problem:spce"}, "problem has no spce. Did you mean space"),
        ({"space": None, "problem": "nothing:space"}, "no module nothing"),
        ({"task": ""}, "nothing to run"),
        ({"task": {}}, "nothing to run"),
        ({"task": "task:vale"}, "value is for a command"),
        ({"task": "task:vale", "value": None}, "task has no vale. Did you mean value"),
        ({"task": "echo {y}"}, "{y}"),
        ({"value": None}, "where is the result"),
        ({"value": {"float_fiel": "x"}}, "must be {float_file: NAME}"),
        ({"value": {"float_file": "loss-{y}.txt"}}, "{y}"),
        ({"value": {"regex_value": "("}}, "regex_value"),
        ({"method": "skopt:XX"}, "GP, RF"),
        ({"method": "rndom"}, "there are 'random'"),
        ({"options": {"seed": 3}}, "key of its own"),
        ({"options": {"acq_func": "LCB"}}, "no option of method='random'"),
        ({"points_max": 0}, "at least 1"),
        ({"points_max": None}, "no max_tasks (or points_max)"),
        ({"points_init": "x"}, "initial"),
        ({"on_failure": "stop"}, "drain"),
        ({"penalty": 3}, "penalty"),
        ({"log": "same.txt"}, "all tasks would write to it"),
        ({"resources": {"cpus": 3}}, "resources has no 'cpus'"),
        ({"resources": {"threads_per_rank": 0}}, "threads_per_rank"),
        ({"timeout": "x"}, "timeout"),
        ({"job": {"cores": 3}}, "give --scheduler"),
        ({"job": {"scheduler": "local", "coers": 3}}, "Did you mean `cores`"),
        ({"job": {"scheduler": "lokal"}}, "Did you mean local"),
        ({"gpus": "x,y"}, "gpus"),
        ({"resources": {"nodes": 2}}, "2 nodes, 1 core on each, but here one node has"),
        ({"resources": {"threads_per_rank": 4}, "slots": 3}, "Ask for less, give more `slots`"),
        ({"resources": {"gpus_per_rank": 2}, "gpus": 1}, "none could ever begin"),
        ({"resources": {"memory": "900TB"}}, "none could ever begin"),
        ({"output": "new.yaml/out"}, "new.yaml is no folder. Give another one"),
        ({"job": {"scheduler": "local", "log_foldr": 3}}, "Did you mean `log_folder`"),
        ({"space": {}}, "space has no parameters. Give it some"),
        ({"value": {"regex": "x"}}, "{regex_value: PATTERN}, exit_code"),
    ],
)  # fmt: skip
def test_bad_input_is_an_error_of_one_sentence_and_nothing_is_started(
    change: dict[str, Any], words: str, home: Path
) -> None:
    file = {key: value for key, value in {**NEW, **change}.items() if value is not None}
    printed = typed_in_process(home, yaml.safe_dump(file))
    assert words in printed
    assert not (home / ".adaptive-scheduler").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [("- a\n- b\n", "must be a mapping"), ("", "must be a mapping"), ("a: [1\n", "is no YAML"), ("task: a\ntask: b\n", "line 2: 'task'"),
     ("a: !!python/object:os.system x\n", "is no YAML")],
)  # fmt: skip
def test_a_file_that_is_no_search_is_refused(text: str, words: str, home: Path) -> None:
    assert words in typed_in_process(home, text)


def typed_in_process(home: Path, text: str) -> str:
    """Refused with status 2; without a process of its own, which takes seconds."""
    from typer.testing import CliRunner

    from adaptive_scheduler.cli import app

    (home / "new.yaml").write_text(text)
    before, modules, path = Path.cwd(), set(sys.modules), list(sys.path)
    os.chdir(home)
    try:
        done = CliRunner().invoke(app, ["search", "new.yaml"])
    finally:
        os.chdir(before)
        sys.path[:] = path
        for name in ("problem", "task"):
            if name not in modules:
                sys.modules.pop(name, None)
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


def test_a_task_that_no_job_can_hold_is_refused_when_it_is_submitted(home: Path) -> None:
    file = {**NEW, "job": {"scheduler": "local", "cores": 1, "max_cores": 2},
            "resources": {"threads_per_rank": 3}}  # fmt: skip
    printed = search(home, file=file, code=2, XDG_STATE_HOME=str(home / "state"))
    assert "no pool can ever hold it" in printed


def test_a_file_that_is_not_there(home: Path) -> None:
    assert "cannot be read" in run(["adaptive-scheduler", "search", "nothing.yaml"], home, code=2)


# ------------------------------------------------------------------- a real Slurm


@pytest.mark.slurm
def test_submit_sh_runs_the_example_inside_an_allocation(home: Path, slurm: PrivateSlurm) -> None:
    printed = run(["./submit.sh", "1", "1"], home, **slurm.env, POINTS_MAX="3", WALLTIME="00:05:00")
    assert "Submitted batch job" in printed
    wait_for(lambda: len(losses(home)) == 3, 120)

    def output() -> str:
        return "".join(path.read_text() for path in (home / "output").glob("search-*.out"))

    wait_for(lambda: "search complete: 3 tasks done" in output(), 60)
    assert "1 at once, then 1;" in output()
    assert len(asked(home)) == 3


def without_slurm(path: str, folder: Path) -> str:
    """A PATH in which there is no sbatch, which `submit.sh` would take; other programs are links."""
    folder.mkdir()
    folders = [Path(one) for one in path.split(":")]
    for one in [one for one in folders if (one / "sbatch").exists()]:
        for program in one.iterdir():
            if program.name != "sbatch" and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return ":".join([*(str(one) for one in folders if not (one / "sbatch").exists()), str(folder)])


def test_submit_sh_runs_the_example_on_pbs(home: Path) -> None:
    with PrivatePBS(home / "pbs") as pbs:
        path = f"{BIN}:{without_slurm(pbs.env['PATH'], home.parent / 'bin')}"
        printed = run(["./submit.sh", "1", "1"], home, **{**pbs.env, "PATH": path}, POINTS_MAX="3")
        assert re.fullmatch(r"\d+\.\w+", printed.strip())

        def output() -> str:
            found = (home / "output").glob("*.OU")
            return "".join(path.read_text() for path in found)

        wait_for(lambda: "search complete: 3 tasks done" in output(), 120)
        assert "1 at once, then 1;" in output()
    assert len(asked(home)) == len(losses(home)) == 3


@pytest.mark.slurm
@pytest.mark.timeout(400)
def test_a_search_in_jobs_of_slurm_outlives_its_driver_a_head_and_its_manager(
    home: Path, slurm: PrivateSlurm
) -> None:
    file = {**NEW, "task": "echo {_index} >> begun; sleep 2; echo {_index} >> ended; echo value {x}",
            "points_max": 12, "job": {"scheduler": "slurm", "cores": 2, "max_jobs": 1}}  # fmt: skip
    (home / "new.yaml").write_text(yaml.safe_dump(file))

    def ended() -> int:
        return len((home / "ended").read_text().split()) if (home / "ended").exists() else 0

    driver = begin(["adaptive-scheduler", "search", "new.yaml"], home, **slurm.env)
    for n, kind in enumerate(("driver", "head", "manager"), start=1):
        wait_for(lambda n=n: ended() >= 2 * n, 120)
        kill(kind, driver, home)
        if kind == "driver":
            driver.communicate(timeout=60)
            driver = begin(["adaptive-scheduler", "search", "new.yaml"], home, **slurm.env)
    printed, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, printed
    assert "12 tasks done, 0 failed" in printed
    begun = sorted(map(int, (home / "begun").read_text().split()))
    assert sorted(set(begun)) == list(range(12))
    assert len(begun) <= 12 + 2, "only what ran when the head was killed has begun again"


def kill(kind: str, driver: subprocess.Popen[str], home: Path) -> None:
    words = {"head": "adaptive_scheduler.client", "manager": "adaptive_scheduler.manager"}
    if kind == "driver":
        driver.kill()
        return
    for process in processes_of(home):
        with suppress(psutil.NoSuchProcess):  # it has just ended by itself
            line = " ".join(process.cmdline())
            if words[kind] in line and "node" not in line:
                process.kill()
                return
    raise AssertionError(kind)


@pytest.mark.slurm
@pytest.mark.full
@pytest.mark.timeout(400)
def test_a_walltime_of_slurm_cuts_tasks_and_the_next_job_runs_them(
    home: Path, slurm: PrivateSlurm
) -> None:
    """A minute of walltime; each task of 25 s: some are cut, and begin again in the next job."""
    file = {**NEW, "task": "echo {_index} >> begun; sleep 25; echo value {x}", "points_max": 6,
            "job": {"scheduler": "slurm", "cores": 2, "max_jobs": 1, "walltime": "1m"}}  # fmt: skip
    begun = time.monotonic()
    printed = search(home, file=file, **slurm.env)
    assert "6 tasks done, 0 failed" in printed
    print(f"{time.monotonic() - begun:.0f} s; begun: {(home / 'begun').read_text().split()}")
    assert set((home / "begun").read_text().split()) == set(map(str, range(6)))
