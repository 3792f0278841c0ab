"""A limit of jobs that several runs share: never exceeded, fair, and nothing lies idle."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import ManagerUnreachableError
from adaptive_scheduler.runs.compat.learners import shared_limit
from adaptive_scheduler.runs.compat.learners.shared_limit import SharedLimit, SharingRun
from adaptive_scheduler.runs.compat.learners.shares import Share, fair_parts, next_limits


@pytest.mark.parametrize(
    ("limit", "wants", "parts"),
    [
        (6, [9, 9, 9], [2, 2, 2]),
        (6, [1, 9, 9], [1, 3, 2]),
        (6, [1, 1, 1], [1, 1, 1]),
        (2, [5, 5, 5], [1, 1, 0]),
        (3, [0, 5], [0, 3]),
        (5, [], []),
    ],
)
def test_parts_are_equal_up_to_what_each_wants(
    limit: int, wants: list[int], parts: list[int]
) -> None:
    assert fair_parts(limit, [Share(one) for one in wants]) == parts


def test_those_that_were_started_come_before_those_that_were_not() -> None:
    assert fair_parts(1, [Share(5), Share(5, granted=1, has=1)]) == [0, 1]


def test_what_is_taken_from_one_is_given_a_round_later() -> None:
    first = [Share(4, granted=4, has=4), Share(4)]
    assert next_limits(4, first) == [2, 0]
    assert next_limits(4, [Share(4, 2, 4), Share(4)]) == [2, 0]  # its jobs are still there
    assert next_limits(4, [Share(4, 2, 3), Share(4)]) == [2, 1]
    assert next_limits(4, [Share(4, 2, 2), Share(4, 1, 1)]) == [2, 2]
    assert next_limits(4, [Share(0, 2, 1), Share(4, 2, 2)]) == [
        2,
        3,
    ]  # it has ended, and one job is left


@dataclass
class Run:
    """A run as bad as it may be: it fills its limit at once, and lets jobs go when it likes."""

    own: int
    left: int
    granted: int = 0
    has: int = 0

    def live(self, rng: random.Random) -> None:
        self.has = max(self.has, min(self.granted, self.left))
        if self.has and rng.random() < 0.5:  # a learner ends
            self.left -= 1
            self.has -= self.has > min(self.granted, self.left)

    def share(self) -> Share:
        return Share(min(self.own, self.left), self.granted, self.has)


@pytest.mark.parametrize("seed", range(200))
def test_all_together_never_have_more_and_all_of_it_is_used(seed: int) -> None:
    rng = random.Random(seed)
    limit = rng.randint(1, 9)
    runs = [Run(rng.randint(1, 9), rng.randint(1, 30)) for _ in range(rng.randint(1, 5))]
    for _ in range(2000):
        for run, n in zip(runs, next_limits(limit, [one.share() for one in runs]), strict=True):
            if rng.random() < 0.8:  # a manager may not answer
                run.granted = n
        for run in runs:
            run.live(rng)
        assert sum(run.has for run in runs) <= limit
        if not any(run.left for run in runs):
            break
    assert all(run.left == 0 for run in runs)


@pytest.mark.parametrize("seed", range(50))
def test_what_nobody_changes_comes_to_rest_at_fair_parts(seed: int) -> None:
    rng = random.Random(seed)
    limit = rng.randint(2, 12)
    runs = [Run(rng.randint(1, 9), 10**6) for _ in range(rng.randint(1, limit))]
    for _ in range(20):
        limits = next_limits(limit, [one.share() for one in runs])
        for run, n in zip(runs, limits, strict=True):
            run.granted = run.has = n
    expected = fair_parts(limit, [one.share() for one in runs])
    assert [run.granted for run in runs] == expected
    assert sum(expected) == min(limit, sum(run.own for run in runs))


@dataclass
class Known:
    """A `RunManager`, as far as the limit looks at it."""

    folder: RunFolder
    is_started: bool
    awaits_start: bool
    max_jobs: int = 4
    starts: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return 4

    def start_with(self, most: int) -> None:
        self.starts.append(most)
        self.awaits_start = False


class Client:
    """Stands for the client of a manager that takes what it is told."""

    def __init__(self, _: Any) -> None: ...

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None: ...

    def limit_jobs(self, n: int) -> int:
        return n


def test_a_run_whose_folder_was_removed_leaves_its_part_to_the_others(tmp_path: Path) -> None:
    """`cleanup()` right after its end came before the next round: it kept its jobs for ever."""
    gone = SharingRun(Known(RunFolder(tmp_path), False, True), 4, granted=2, has=2)
    assert gone.observe() == Share(0)
    assert gone.is_closed


def test_a_run_whose_manager_has_died_is_started_again_when_it_is_added_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limit, "ManagerClient", Client)
    run, shared = Known(RunFolder(tmp_path), False, True), SharedLimit(3)
    shared.add(run)
    shared.step()
    run.is_started = run.awaits_start = True
    shared.add(run)
    shared.step()
    assert run.starts == [3, 3]


class Silent(Client):
    """Stands for the client of a manager that has begun, and does not answer in time."""

    def limit_jobs(self, _: int) -> int:
        raise ManagerUnreachableError("no answer within 10 s")


def test_a_run_whose_manager_does_not_answer_after_its_start_keeps_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left out as one that could not be started, and its jobs were given to the others, too."""
    monkeypatch.setattr(shared_limit, "ManagerClient", Silent)
    run, shared = Known(RunFolder(tmp_path), False, True), SharedLimit(3)
    shared.add(run)
    shared.step()
    assert (run.starts, shared._runs[0].granted, shared._runs[0].is_closed) == ([3], 3, False)


class OfAnotherDisk:
    """A run whose disk is away, as a stale NFS mount is."""

    max_jobs, is_started, awaits_start = 4, True, False

    def __init__(self, folder: Path) -> None:
        self.folder = RunFolder(folder)
        self.folder.config.parent.mkdir()
        self.folder.config.touch()


def test_a_disk_that_is_away_for_a_moment_does_not_end_the_sharing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = shared_limit.SharedLimit(4)
    limit.add(OfAnotherDisk(tmp_path))
    limit._runs[0].granted = 4
    rounds = []

    def look(*_: object) -> None:
        rounds.append(1)
        if len(rounds) == 3:  # it is there again, and the run has ended
            limit._runs[0].is_closed = True
        raise OSError(errno.ESTALE, "stale file handle")

    monkeypatch.setattr(shared_limit, "ManagerClient", look)
    monkeypatch.setattr(shared_limit, "PAUSE", 0.0)
    limit.begin()
    thread = limit._thread
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()
    assert len(rounds) == 3
    assert not limit._runs
