"""More histories, for the other worker: tests are handed out file by file."""

from __future__ import annotations

import pytest

from tests.effort import times
from tests.simulation.portions import PORTION, live_through

#: It only computes, in virtual time: ten times longer where ten others do.
pytestmark = pytest.mark.timeout(1200)

FIRST = 50_000


@pytest.mark.parametrize("start", range(FIRST, FIRST + times(600, 30_000), PORTION))
def test_no_history_breaks_a_promise(start: int) -> None:
    live_through(start)
