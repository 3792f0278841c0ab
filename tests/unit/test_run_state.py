"""The state of a run, made of what a database holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.io.storage import row_codec

CONFIG = RunConfig("run", [Resources()], ["job"], "/logs")


@pytest.mark.parametrize("tokens", [(4, 7), (7, 4)])
def test_of_two_items_of_one_job_the_one_claimed_last_is_kept(
    tmp_path: Path, tokens: tuple[int, int]
) -> None:
    """One turn: it finished 0 and was given 1, a person wanted 0 again; half of that was written."""
    owner = Owner("1", 0, 0, "a")
    rows = [
        Item(row, f"f{row}", Phase.RUNNING, job="1", owner=owner, token=token, crashes=1)
        for row, token in enumerate(tokens)
    ]
    rows.append(Item(2, "f2", Phase.RUNNING, job="2", owner=Owner("2", 0, 0, "b"), token=5))
    tables = row_codec.new_tables(rows, None)
    run = row_codec.open_state(tables, RunFolder(tmp_path / "x"), CONFIG, 0.0)
    items, jobs = run.items, run.jobs
    kept, freed = (1, 0) if tokens[1] > tokens[0] else (0, 1)
    assert items.rows[kept].phase is Phase.RUNNING
    assert (items.rows[freed].phase, items.rows[freed].crashes) == (Phase.QUEUED, 1)
    assert items.held_by("1") is items.rows[kept]
    assert items.rows[2].phase is Phase.RUNNING
    assert list(items.changed) == [freed], "the next line of the journal says so"
    assert len(jobs.live) == 2


def test_an_item_that_was_queued_by_hand_is_not_held_by_its_former_job(tmp_path: Path) -> None:
    """Its job and owner were left in it."""
    owner = Owner("1", 0, 0, "a")
    rows = [
        Item(0, "f0", Phase.QUEUED, job="1", owner=owner, token=4),
        Item(1, "f1", Phase.RUNNING, job="1", owner=owner, token=7),
    ]
    tables = row_codec.new_tables(rows, None)
    items = row_codec.open_state(tables, RunFolder(tmp_path / "x"), CONFIG, 0.0).items
    assert [row.phase for row in items.rows] == [Phase.QUEUED, Phase.RUNNING]
    assert not items.changed
