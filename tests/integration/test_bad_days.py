"""Limits, a controller that is away, full disks: the run waits, says so, and goes on by itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.core.jobs import submit_policy
from adaptive_scheduler.io.system import submit
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.server_support import RunManager
from tests.clusters.slurm import PrivateSlurm
from tests.effort import times
from tests.integration.accidents import Accidents
from tests.integration.engine_here import EngineHere

#: Seconds; how long the batch system, or the disk, is of no use.
AWAY = times(8, 300)
FULL = times(4, 60)
MAX_JOBS, MAX_ARRAY = 40, 4


class Until:
    """A goal: until a file is there."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def __call__(self, learner):
        return os.path.exists(self.path)  # noqa: PTH110  the class travels by value


def square(x):
    time.sleep(0.05)
    return x**2


def learners(n):
    return [adaptive.Learner1D(square, (-1, 1)) for _ in range(n)]


@pytest.fixture(scope="module")
def narrow_slurm() -> Iterator[PrivateSlurm]:
    """A Slurm with small limits that forgets ended jobs soon (they count)."""
    settings = {"MaxJobCount": str(MAX_JOBS), "MaxArraySize": str(MAX_ARRAY), "MinJobAge": "2"}
    cluster = PrivateSlurm(nodes=2, settings=settings)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


class Day:
    """One run on a Slurm with a bad day; what `status` says is looked at as people do."""

    def __init__(self, cluster: PrivateSlurm, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.here: EngineHere

    def make(self, n: int, options: dict[str, Any] | None = None, **more: Any) -> EngineHere:
        settings = {"goal": 5, "interval": 1, "max_jobs": 1, **more}
        run = RunManager(
            SLURM(cores=1, executor_type="process-pool", **(options or {})), learners(n),
            [self.folder / "data" / str(place) for place in range(n)],
            folder=self.folder / "run", **settings,
        )  # fmt: skip
        self.here = EngineHere(run, beat=0.5, grace=3.0)
        return self.here

    def says(self, *words: str, timeout: float = 60) -> None:
        """Wait until `status` says all of this."""
        self.here.until(lambda: all(word in self.text() for word in words), timeout)
        told = [line for line in self.text().splitlines() if words[0] in line]
        print(f"\nstatus: {told[:1]}")

    def text(self) -> str:
        return self.here.run.status().text

    def ends_well(self, n: int) -> None:
        self.here.wait(120)
        assert self.here.run.snapshot("none").phases == {"done": n}


@pytest.fixture
def day(narrow_slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    return day_at(narrow_slurm, tmp_path, monkeypatch)


def day_at(cluster: PrivateSlurm, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    """A bad day on this cluster, with short patience."""
    monkeypatch.setattr(submit_policy, "FIRST_WAIT", 1.0)
    monkeypatch.setattr(submit, "TIMEOUT", 6.0)
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    return Day(cluster, folder)


@pytest.mark.slurm
def test_an_array_that_is_too_long_is_submitted_in_parts(day: Day) -> None:
    with day.make(5, max_jobs=5).serving():
        day.ends_well(5)
    said = day.here.run.folder.manager_log.read_text()
    assert said.count("smaller_arrays") >= 1
    assert "Invalid job array" in said


FULL_QUEUE = "temporarily unable to accept job"
FEW_JOBS = 6


@pytest.fixture
def full_slurm() -> Iterator[PrivateSlurm]:
    """A Slurm whose queue is full of jobs that are held.

    A cluster of its own: jobs that ended count until slurmctld purges them, once a minute, and
    then there is room again.
    """
    settings = {"MaxJobCount": str(FEW_JOBS)}
    cluster = PrivateSlurm(nodes=1, settings=settings)
    try:
        cluster.start()
        said = b""
        while FULL_QUEUE.encode() not in said:
            try:
                cluster.run("sbatch", "--hold", "--wrap", "true", timeout=4)
            except subprocess.TimeoutExpired as error:
                said = error.stderr or b""
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.slurm
def test_a_queue_that_takes_no_more_jobs(
    full_slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At MaxJobCount sbatch does not fail, it hangs: asked again when there is room."""
    day = day_at(full_slurm, tmp_path, monkeypatch)
    with day.make(2).serving():
        day.says(FULL_QUEUE, "waiting for the batch system", "again in")
        full_slurm.settings["MaxJobCount"] = str(MAX_JOBS)
        full_slurm.reconfigure()
        day.ends_well(2)
    assert day.here.run.snapshot("none").submitted <= 2


@pytest.mark.slurm
def test_a_user_who_may_submit_no_more_jobs(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's words for MaxSubmitJobs, which needs slurmdbd: src/common/slurm_errno.c,
    ESLURM_ACCOUNTING_POLICY, behind the reason that slurmctld gives."""
    sbatch, limit = day.folder / "bin" / "sbatch", day.folder / "limit"
    sbatch.parent.mkdir()
    limit.touch()
    sbatch.write_text(
        f'#!/bin/sh\nif [ -e "{limit}" ]; then\n'
        "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2\n"
        "echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
        "(job submit limit, user'\\''s size and/or time limits)' >&2\n"
        f'exit 1\nfi\nexec {shutil.which("sbatch")} "$@"\n'
    )
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    with day.make(2).serving():
        day.says("AssocMaxSubmitJobLimit", "it goes on by itself when jobs have ended")
        assert day.here.run.status() == "running", "not held"
        limit.unlink()
        day.ends_well(2)


@pytest.mark.slurm
@pytest.mark.timeout(AWAY + 250)
def test_a_controller_that_is_away(day: Day) -> None:
    enough = day.folder / "enough"
    with day.make(2, goal=Until(enough), max_jobs=2).serving() as here:
        here.until(lambda: sum(i.npoints > 0 for i in here.run.snapshot("all").items) == 2, 60)
        day.cluster.stop_controller()
        try:
            day.says("the queue cannot be listed", "jobs go on")
            before = here.run.snapshot("none").points
            time.sleep(AWAY)
            computed = here.run.snapshot("none").points - before
        finally:
            day.cluster.start_controller()
        print(f"away for {AWAY} s: {computed} points meanwhile")
        assert computed > 0
        enough.touch()
        day.ends_well(2)
    assert [item.attempts for item in here.run.snapshot("all").items] == [1, 1]


@pytest.mark.slurm
def test_jobs_that_slurm_takes_but_will_never_start(day: Day) -> None:
    """A partition of one minute, and EnforcePartLimits=NO, which is the default."""
    with day.make(2, {"partition": "minute", "walltime": 600}).serving():
        day.says("1 job in the queue will not start (PartitionTimeLimit)", "a shorter walltime=")
        (job,) = day.here.run.snapshot().jobs
        assert "walltime=" in job.remedy


# ------------------------------------------------------------------- full disks


class SmallDisk:
    """A file system of a few megabytes, mounted where a test wants it."""

    def __init__(self, path: Path, megabytes: int) -> None:
        path.mkdir(parents=True)
        self.path = path
        self.filler = path / "filler"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(path)],
            check=True, timeout=30,
        )  # fmt: skip

    def fill(self) -> None:
        with self.filler.open("ab", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                return

    def free(self) -> None:
        self.filler.unlink()

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True, timeout=30)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[SmallDisk]]:
    """Small disks that a test appends to."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    made: list[SmallDisk] = []
    yield made
    for disk in made:
        disk.unmount()


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Accidents:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Accidents(tmp_path)


@pytest.mark.parametrize("where", ["data", "run"])
def test_a_disk_that_is_full_for_a_while(
    accidents: Accidents, disks: list[SmallDisk], where: str
) -> None:
    """The data folder's, or the one that the manager and the logs write to."""
    n = 3 if where == "data" else 40  # enough transitions to fill the last page of the journal
    disk = SmallDisk(accidents.folder / where, 8)
    disks.append(disk)
    enough = accidents.folder / "enough"
    run = accidents.make(learners(n), goal=Until(enough), save_interval=0.5, points_interval=0.2)
    words = "No space left" if where == "data" else "the database cannot be written"
    with EngineHere(run, beat=0.5).serving() as here:
        here.until(lambda: sum(i.npoints > 5 for i in run.snapshot("all").items) >= 2, 60)
        disk.fill()
        if where == "run":
            enough.touch()  # learners end, others are claimed: the database has to say so
        here.until(lambda: words in run.status().text, 60)
        here.until(lambda: any(one.explain().cause == "disk full" for one in run), 60)
        begin = time.monotonic()
        while time.monotonic() - begin < FULL:
            time.sleep(0.5)
            disk.fill()
        (line, *_) = here.until(
            lambda: [line for line in run.status().text.splitlines() if words in line], 60
        )
        print(f"\nstatus after {FULL} s: {line}")
        assert "by itself" in line
        assert run.status() == "running"
        disk.free()
        enough.touch()
        here.wait(120)
    snapshot = run.snapshot("all")
    assert snapshot.phases == {"done": n}
    assert [(item.fails, item.crashes) for item in snapshot.items] == [(0, 0)] * n
    loaded = run.load_learners(progress=False)
    assert [learner.npoints for learner in loaded] == [item.npoints for item in snapshot.items]


# ------------------------------------------------------------------- damaged data, new functions


def test_damaged_data_that_were_kept_aside_are_shown(accidents: Accidents) -> None:
    data = accidents.folder / "data" / "1"
    data.parent.mkdir()
    data.write_bytes(b"\x1f\x8b not what it was")
    run = accidents.make(learners(2), check_goal_on_start=False)
    with EngineHere(run).serving() as here:
        here.until(lambda: "damaged data were kept aside: learner 1: " in run.status().text, 60)
        here.wait(60)
    (kept,) = data.parent.glob("*damaged*")
    item = run.snapshot("all").items[1]
    assert (item.phase, item.kept_aside) == ("done", str(kept))
    assert f"learner 1: {kept}" in run.status().text, "after the end too"
    assert kept.read_bytes() == b"\x1f\x8b not what it was"


def raises(x):
    raise ValueError("the first version")


def test_a_retry_gives_clients_that_run_the_new_function_and_goal(accidents: Accidents) -> None:
    """One job only: the client that saw the old function uses the new one from its next claim on."""
    enough = accidents.folder / "enough"
    waits = adaptive.Learner1D(square, (-1, 1))
    run = accidents.make(
        [adaptive.Learner1D(raises, (-1, 1)), waits],
        goal=Until(enough), max_jobs=1, max_fails=0, point_timeout=60,
    )  # fmt: skip
    with EngineHere(run).serving() as here:
        here.until(lambda: run.snapshot("all").items[0].phase == "failed", 60)
        here.until(lambda: run.snapshot("all").items[1].npoints > 2, 60)
        renewed = RunManager(
            run._plan.scheduler, learners(2), run.fnames, goal=7, folder=accidents.folder / "run"
        )
        renewed.retry([0])
        enough.touch()  # the old goal of the learner that runs
        here.wait(60)
    items = run.snapshot("all").items
    assert [item.phase for item in items] == ["done", "done"]
    assert run.snapshot("none").submitted == 1
    assert 7 <= items[0].npoints <= 7 + 2, "the new goal, and what was in flight"
