"""`MultiRunManager(max_jobs=)` with real runs: one limit that all share."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import LocalScheduler, MultiRunManager, RunManager, start_one_by_one
from adaptive_scheduler.errors import NoObservation


class Watch:
    """Lists the queue all the time, and keeps the most jobs that were there at once."""

    def __init__(self, scheduler: LocalScheduler) -> None:
        self._scheduler, self._end, self.most = scheduler, threading.Event(), 0
        self.now: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.is_set():
            try:
                queue = self._scheduler.queue()
            except NoObservation:  # the machine is busy
                continue
            self.now = Counter(job["job_name"] for job in queue.values())
            self.most = max(self.most, self.now.total())

    def until(self, is_so: Callable[[Counter[str]], bool]) -> None:
        deadline = time.monotonic() + 600
        while not is_so(self.now):
            assert time.monotonic() < deadline, self.now
            time.sleep(0.05)

    def close(self) -> None:
        self._end.set()
        self._thread.join()


def gated(folder: Path, name: str) -> RunManager:
    """A run of three learners, each of which waits for its gate."""

    def wait(place: int, gates: str = str(folder)) -> int:
        import time
        from pathlib import Path

        while not Path(gates, f"{name}{place}").exists():
            time.sleep(0.02)
        return place

    made = LocalScheduler(cores=1, max_cores=8, executor_type="sequential", state=folder / "batch")
    learners = [adaptive.SequenceLearner(wait, [place]) for place in range(3)]
    fnames = [folder / f"{name}-{place}.pickle" for place in range(3)]
    return RunManager(
        made, learners, fnames, name=name, folder=folder / f"run {name}", interval=0.5
    )


def test_a_limit_is_shared_fairly_and_what_one_does_not_need_another_has(tmp_path: Path) -> None:
    runs = {name: gated(tmp_path, name) for name in "abc"}
    several = MultiRunManager([runs["a"], runs["b"]], max_jobs=3)
    watch = Watch(runs["a"].scheduler)
    several.start_all()
    watch.until(lambda now: sorted(now.values()) == [1, 2])  # both want three
    for place in range(3):
        (tmp_path / f"a{place}").touch()
    watch.until(lambda now: now == {"b": 3})  # what a does not need any more
    several.add_run_manager(runs["c"], start=True)  # no room: it waits for a job of b to leave
    assert not runs["c"].is_started
    (tmp_path / "b0").touch()
    watch.until(lambda now: now == {"b": 2, "c": 1})
    for name in ("b1", "b2", "c0", "c1", "c2"):
        (tmp_path / name).touch()
    for run in runs.values():
        assert run.wait(600, progress=False).phases == {"done": 3}
    watch.close()
    assert watch.most == 3
    assert runs["c"].max_jobs == 100  # its own limit, for another start


def test_the_third_run_waits_for_the_second_also_while_that_is_starting(tmp_path: Path) -> None:
    """It saw the folder of the second one before its manager was there, and gave up."""
    runs = [gated(tmp_path, name) for name in "def"]
    for name in "def":
        for place in range(3):
            (tmp_path / f"{name}{place}").touch()
    runs[0].start()
    together, starts = start_one_by_one(*runs, interval=0.2)
    assert together.result(600) is None
    assert [one.result(0) for one in starts] == [None, None]
    assert [str(run.status()) for run in runs[:2]] == ["finished", "finished"]
    assert runs[2].wait(600, progress=False).phases == {"done": 3}


@pytest.mark.parametrize("most", [None, 1])
def test_in_another_session_start_all_carries_on_what_has_ended(
    tmp_path: Path, most: int | None
) -> None:
    """It left out a run that had ended in a former session, whatever its goal is now."""

    def session(goal: int) -> RunManager:
        made = LocalScheduler(cores=1, executor_type="sequential", state=tmp_path / "batch")
        learner = adaptive.Learner1D(lambda x: x, (0, 1))
        fname, folder = tmp_path / "data", tmp_path / "run"
        run = RunManager(made, [learner], [fname], goal=goal, folder=folder, interval=0.5)
        several = MultiRunManager([run], max_jobs=most)
        several.start_all()
        assert run.wait(600, progress=False).phases == {"done": 1}
        several.start_all()  # that of this session has ended, and stays so
        assert not run.awaits_start
        return run

    assert session(3).load_learners()[0].npoints < 30
    assert session(30).load_learners()[0].npoints >= 30
