"""``save_dataframe=True``: jobs save the table of a learner beside its data."""

from __future__ import annotations

from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager, utils
from adaptive_scheduler.scheduler import LocalScheduler


@pytest.mark.timeout(900)
def test_jobs_save_tables_beside_the_data(tmp_path: Path) -> None:
    made = LocalScheduler(
        cores=1, executor_type="sequential", max_cores=2, state=tmp_path / "state"
    )
    fname = tmp_path / "$x.pickle"
    run_manager = RunManager(
        made, [adaptive.SequenceLearner(lambda x: {"a": x}, [1, 2])], [fname],
        folder=tmp_path / "run", interval=1, save_dataframe=True, dataframe_format="csv",
    )  # fmt: skip
    run_manager.start().wait(600)
    assert utils.fname_to_dataframe(fname, "csv").read_text().splitlines()[0] == "i,x,y.a"
    frame = run_manager.load_dataframes()
    assert list(frame["y.a"]) == [1, 2]
    assert set(frame["fname"]) == {str(fname)}
