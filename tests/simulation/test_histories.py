"""Whole runs in virtual time, with everything that goes wrong in them: `make simulate` does more.

What is promised: one owner per item; what was acknowledged is never undone; a stale token changes
nothing; never more than `max_jobs`; no job that works is cancelled; and left alone,
everything ends and the queue is empty.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import history_file
from tests.effort import times
from tests.planting import ROOT, Change, PlantError, planted
from tests.plants import ASKED, MORE, Plant, look_for, named
from tests.quick import usually
from tests.simulate import simulate
from tests.simulation.fault_kinds import ENOUGH, FAULT_KINDS, fault_kinds_wrong
from tests.simulation.history import play
from tests.simulation.portions import PORTION, live_through

#: It only computes, in virtual time: ten times longer where ten others do.
pytestmark = pytest.mark.timeout(1200)

#: Plants that histories near the first ones find: a sample for `make test`.
SAMPLE = ("fsync dropped", "reply before commit", "max_jobs off by one")


@pytest.mark.parametrize("start", range(0, times(usually(400, quick=100), 20_000), PORTION))
def test_no_history_breaks_a_promise(start: int) -> None:
    live_through(start)


@pytest.mark.parametrize("seed", [7, 18])
def test_a_seed_gives_the_same_history_in_any_process(seed: int) -> None:
    code = f"from tests.simulation.history import play; print(play({seed}, trace=True).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("0", "1", "4711")
    }  # fmt: skip
    assert len(digests) == 1


def test_what_a_checkpoint_prints_is_in_the_trace_and_not_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(history_file, "extend", _full)
    history = play(7, trace=True)
    assert capfd.readouterr() == ("", "")
    assert any("history is not kept" in line for line in history.lines)


def _full(folder: RunFolder, *_: object) -> None:
    raise FileError(folder.history, "No space left on device")


@pytest.mark.slow
def test_each_kind_of_fault_comes() -> None:
    """In a fifth of the histories after which it is a must."""
    tally = simulate(range(ENOUGH // 5))
    assert fault_kinds_wrong(tally.faults, ENOUGH) == []


def test_a_kind_of_fault_that_never_came_is_told() -> None:
    few = Counter({kind: 1 for kind in FAULT_KINDS if kind != "disk full"})
    assert fault_kinds_wrong(few, ENOUGH) == ["no fault of the kind 'disk full' in 1,000 histories"]
    assert fault_kinds_wrong(few, 10) == []
    assert "not listed" in fault_kinds_wrong(Counter(["earthquake"]), 10)[0]


@pytest.mark.parametrize("plant", [*ASKED, *MORE], ids=lambda plant: plant.name)
def test_each_plant_still_fits_the_code(plant: Plant) -> None:
    assert planted(plant.changes)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (Change("Appender.bring_to_disk", "statement fsync"), "no `Appender.bring_to_disk`"),
        (Change("Appender.sync", "statement fdatasync"), "no statement has: fdatasync"),
        (Change("items:step", "name item"), "is there [0-9]+ times"),
        (Change("items:step", "test is_fenced token", "kind in FENCED"), "speaks of FENCED, kind"),
        (Change("items:step", "test is_fenced token", "IT"), "the code is as it was"),
    ],
    ids=["function", "node", "ambiguous", "names", "unchanged"],
)
def test_a_plant_that_does_not_fit_says_what_is_missing(change: Change, missing: str) -> None:
    with pytest.raises(PlantError, match=missing):
        planted([change])


def test_there_are_the_plants_that_were_asked_for() -> None:
    assert len(ASKED) == 20
    assert len(MORE) >= 15
    assert len({plant.name for plant in (*ASKED, *MORE)}) == len(ASKED) + len(MORE)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_bug_is_found(name: str) -> None:
    found = look_for(named(name), most=300)
    print(f"{name}: {found.violation} after {found.histories} histories, {found.cpu:.1f} s")
    assert found.seed >= 0
