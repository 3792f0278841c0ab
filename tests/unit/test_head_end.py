"""When a head leaves: what of the walltime is for tasks, for their end, and for the manager."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from adaptive_scheduler.client.deadline import Deadline
from adaptive_scheduler.client.tasks.head import head as head_module
from adaptive_scheduler.client.tasks.head.head import CONFIRM, GRACE, HeadEnd, HeadProcess
from adaptive_scheduler.client.tasks.messages import TaskEnd
from adaptive_scheduler.core.wire.tasks import EndKind


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock: it stands still unless a test moves it, however long this machine does."""
    now = [1000.0]
    monkeypatch.setattr(head_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def end(now: list[float]) -> Callable[[float | None], HeadEnd]:
    """Makes the end of a head whose job has so many seconds left."""
    return lambda seconds: HeadEnd(Deadline(lambda: seconds, lambda: now[0]))


def test_without_a_walltime_there_is_no_end(end: Any) -> None:
    one = end(None)
    assert one.seconds_left is None
    assert not one.has_come
    assert one.begin("a signal", GRACE) == GRACE


@pytest.mark.parametrize(("walltime", "kept"), [(3600.0, GRACE + CONFIRM), (50.0, 10.0)])
def test_what_is_kept_of_a_walltime_for_the_end(end: Any, walltime: float, kept: float) -> None:
    assert end(walltime).seconds_left == pytest.approx(walltime - kept)


def test_nothing_is_left_for_tasks_once_it_leaves(end: Any) -> None:
    one = end(3600.0)
    one.begin("it has no work", GRACE)
    assert one.seconds_left == 0.0
    assert one.reason == "it has no work"


@pytest.mark.parametrize("left", [0.0, 1.0, 2.0, 3.5])
def test_all_ends_before_the_walltime_does(end: Any, now: list[float], left: float) -> None:
    """The grace of tasks, and the time for the manager to confirm, fit into what is left."""
    one = end(20.0)  # four seconds of it are kept
    one.deadline = Deadline(lambda: left, lambda: now[0])
    assert one.has_come
    grace = one.begin("its walltime ends", GRACE)
    assert grace == pytest.approx(max(0.0, left - 4 / 3))


def test_it_waits_less_for_a_manager_that_is_away(end: Any, now: list[float]) -> None:
    one = end(None)
    one.begin("a signal", 0.0)
    assert not one.is_over(is_away=True)
    now[0] += 2
    assert one.is_over(is_away=True)
    assert not one.is_over(is_away=False)
    now[0] += CONFIRM - 2
    assert one.is_over(is_away=False)


#: What was seen in a campaign on Slurm 22.05, after the death of a slurmstepd.
GONE = (
    "could not be started: srun ended with status 1: srun: Check SLURM_JOB_ID environment variable. "
    "Expired or invalid job 26725707"
)


class Noted:
    """Notes how a head's session is told of an end."""

    def __init__(self) -> None:
        self.ends: list[tuple[EndKind, bool]] = []
        self.can_wait = True

    def end(self, _token: int, kind: EndKind, *, begun: bool, **_facts: Any) -> list[Any]:
        self.ends.append((kind, begun))
        return []


@pytest.mark.parametrize(
    ("text", "told", "leaves"),
    [
        (GONE, (EndKind.BACK, False), ["the batch system has ended its job"]),
        ("could not be started: srun: error: Unable to create step", (EndKind.UNABLE, True), []),
    ],
)
def test_a_head_whose_job_is_gone_leaves_and_its_task_loses_no_try(
    text: str, told: tuple[EndKind, bool], leaves: list[str]
) -> None:
    """It tried three tasks 21 times each within a second: all their tries were used up."""
    head = HeadProcess.__new__(HeadProcess)
    left: list[str] = []
    vars(head).update(_session=(session := Noted()), leave=left.append, _soon=lambda _seconds: None)
    head.task_ended(TaskEnd(1, EndKind.UNABLE, text=text))
    assert (session.ends, left) == ([told], leaves)
