"""examples/campaign as a user runs it: on the LocalScheduler, and on the private Slurm while it is killed."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adaptive_scheduler import Executor
from adaptive_scheduler.cli import app
from tests.integration.test_driver_deaths import wait_for
from tests.optimiser_campaign.__main__ import MANY
from tests.optimiser_campaign.verdict import CampaignVerdict
from tests.optimiser_campaign.world import EXAMPLE, ROOT, CampaignWorld

TASKS = 8


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CampaignWorld]:
    """On one core each: the larger evaluations are calls of one rank, too."""
    world = CampaignWorld(
        tmp_path, None, scheduler="local", cores=1, ranks=1, max_jobs=2, at_once=4, seconds=0.1,
        seed=1, walltime="5m",
    )  # fmt: skip
    yield world
    world.end()


def typed(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.timeout(800)
def test_a_campaign_is_killed_and_goes_on_where_it_was(world: CampaignWorld) -> None:
    world.start_driver(MANY)
    wait_for(lambda: len(world.told()) >= 2, 120)
    world.kill_driver()
    world.start_driver(TASKS)
    world.finish()
    verdict = CampaignVerdict(world)
    assert not verdict.wrong
    values, failed = verdict.figures["told with a value"], verdict.figures["told as failed"]
    assert values + failed >= TASKS  # more, if it was killed late
    assert failed, "a large lr diverges"

    home = world.run.home
    executor = Executor.attach(home)
    try:
        lost = executor.tasks(state="failed", tag="model=line")
        rows = executor.tasks(tag="model=cubic")
        others = {future.task: future for future in executor.futures}
        large = next(others[row["task"]] for row in rows if row["state"] == "done"
                     and row["name"].startswith("eval"))  # fmt: skip
        assert {row["state"] for row in lost} == {"failed"}
        times = ("created", "handed_out", "begun", "ended", "collected")
        for row in [*lost, *rows]:
            assert [row[name] for name in times] == sorted(row[name] for name in times), row
        # its folder has its inputs, its JSON, its output and its result
        assert large.folder is not None
        names = {path.name for path in large.folder.iterdir()}
        assert names >= {"base.dat", "params.json", "result.dat", "checkpoint.json"}
        given = json.loads((large.folder / "params.json").read_text())
        assert given["data"].endswith("scaled.dat")
        assert json.loads(large.read("result.dat"))["loss"] == large.result(10)
    finally:
        executor.shutdown()
    listed = typed("tasks", home, "--tag", "model=cubic", "--json").splitlines()
    assert [json.loads(line)["task"] for line in listed] == [row["task"] for row in rows]
    shown = typed("task", home, str(large.task))
    assert "told to a driver" in shown
    assert "waits for" in shown, "its parent is named"


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--tasks", "0"], "--tasks must be at least 1"),
     (["--at-once", "0"], "--at-once must be at least 1"),
     (["--seconds", "-1"], "must be 0 or more"),
     (["--ranks", "5", "--cores", "4"], "--ranks 5 need as many --cores, which are 4"),
     (["--nodes", "2"], "need --scheduler slurm, not here"),
     (["--scheduler", "slrum"], "invalid choice"),
     (["--scheduler", "local", "--walltime", "soon"], "walltime"),
     (["--task-walltime", "soon"], "walltime"),
     (["--method", "rndom"], "rndom"),
     (["--tsaks", "3"], "unrecognized arguments")],
)  # fmt: skip
def test_bad_input_is_said_and_nothing_is_started(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["driver.py", *words])
    with pytest.raises(SystemExit) as ended:
        _driver().main()
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_the_page_and_the_driver_show_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "campaign.md").read_text()
    driver = _driver()
    lines = re.findall(r"python driver\.py *([^#\n]*)", page + driver.__doc__)
    assert len(lines) == 5
    for line in lines:
        words = line.split("  ")[0].split() if line.startswith("-") else []
        monkeypatch.setattr(sys, "argv", ["driver.py", *words])
        options = driver.typed()
        jobs = driver.jobs_of(options)
        assert options.tasks > 0
        assert (options.scheduler == "slurm") == (type(jobs).__name__ == "SLURM")


def _driver() -> Any:
    spec = importlib.util.spec_from_file_location("campaign_driver", EXAMPLE / "driver.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.mpi
@pytest.mark.timeout(1000)
def test_no_evaluation_is_lost_when_driver_head_and_manager_are_killed() -> None:
    """A shorter form of what `make test-all` does: no walltime comes."""
    campaign = subprocess.Popen(
        [sys.executable, "-m", "tests.optimiser_campaign", "--kills", "4", "--walltimes", "0"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = campaign.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        campaign.send_signal(signal.SIGTERM)  # it ends what it has started
        out, _ = campaign.communicate(timeout=40)
    print(out)
    assert campaign.returncode == 0, out
