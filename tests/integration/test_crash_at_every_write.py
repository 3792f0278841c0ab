"""At each call that a file needs the process dies, or the call fails: nothing is lost.

Six kinds of file: the database (journal and fold), facts, the data file, the point
journal, ``manager.json``, the job scripts. What was acknowledged is there
afterwards; each error names its file; who goes on after an error loses nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from adaptive_scheduler.io.disk.syscalls import Operations
from tests.crashes import fact_works, works
from tests.crashes.broken_disk import CHANGING, ERRORS, FEW_ERRORS, LOOKING
from tests.crashes.trial import Trials, Work
from tests.effort import FULL, times


def test_every_call_can_be_broken() -> None:
    calls = {name for name in vars(Operations) if not name.startswith("_")}
    assert calls == {*CHANGING, *LOOKING}


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("work", [*works.ALL, fact_works.OfFacts()], ids=lambda work: work.name)
def test_crash_at_every_write(work: Work, tmp_path: Path) -> None:
    trials = Trials(work, tmp_path)
    trials.die_everywhere()
    errors = ERRORS if FULL else FEW_ERRORS
    trials.fail_everywhere(errors, times(2, len(errors)))
    trials.cut_everywhere()
    print(trials.report())
    assert trials.untried(errors) == []
