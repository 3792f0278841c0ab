"""How a single learner of a run is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import Host
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.snapshot import item_views
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.runs.retry import places
from adaptive_scheduler.runs.run_item import RunItem, place_of
from adaptive_scheduler.runs.views import log_entries
from adaptive_scheduler.runs.views.status import RunSnapshot
from adaptive_scheduler.scheduler import PBS, LocalScheduler
from adaptive_scheduler.server_support import RunManager

NAMES = ["/data/x=1/a", "/data/x=2/a", "/data/x=2/b", ["/data/two/c", "/data/two/d"]]


@pytest.mark.parametrize(
    ("named", "place"),
    [
        (0, 0), (3, 3), (-1, 3), (np.int64(2), 2),
        ("/data/x=2/a", 1), (Path("/data/x=2/b"), 2), ("x=1/a", 0), ("./x=1/a", 0), ("b", 2),
        (["/data/two/c", "/data/two/d"], 3), ("d", 3),
    ],
)  # fmt: skip
def test_a_learner_is_found_by_its_number_its_fname_or_the_end_of_it(
    named: Any, place: int
) -> None:
    assert place_of(named, NAMES) == place


def test_a_relative_fname_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of("data/../a", [str(tmp_path / "b"), str(tmp_path / "a")]) == 1


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (4, r"no learner 4: they are 0 to 3"),
        (-5, r"no learner -5: they are 0 to 3"),
        (1.5, r"1\.5 names no learner: give a number from 0 to 3, or an fname"),
        ("a", r"'a' is the end of 2 fnames, of learners 0, 1: give a number"),
        ("x=1/aa", r"no learner 'x=1/aa'.*Did you mean a\?"),
        ("zzz", r"no learner 'zzz' in this run\. Give a number from 0 to 3, an fname"),
        ("ata/x=1/a", "no learner"),
        (["/data/two/c"], "no learner"),
        ([], "names no learner: give a number from 0 to 3, or an fname"),
        ([1, 2], "names no learner"),
        (True, "True names no learner"),
    ],
)
def test_an_unknown_learner_is_refused_with_near_names(named: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        place_of(named, NAMES)


def test_a_name_is_found_among_many() -> None:
    names = [f"/data/{os.urandom(4).hex()}/{n}" for n in range(20_000)]
    assert place_of("19999", names) == 19_999


def test_a_retry_takes_one_learner_or_a_list() -> None:
    learners = [object() for _ in NAMES]
    item = RunItem.__new__(RunItem)
    item.place = 2
    for wanted, found in [
        (1, [1]), (np.int64(1), [1]), ("b", [2]), (learners[3], [3]), (item, [2]),
        ([0, "b", learners[1], item, Path("/data/x=1/a")], [0, 2, 1, 2, 0]), ([], []),
    ]:  # fmt: skip
        assert places(wanted, learners, NAMES) == found


@pytest.mark.parametrize("wanted", [1.5, b"x", object()])
def test_a_retry_of_what_is_no_learner_is_refused(wanted: Any) -> None:
    with pytest.raises(InputError, match="names no learner"):
        places(wanted, None, NAMES)


def learner(tmp_path: Path) -> RunItem:
    learners = [adaptive.SequenceLearner(abs, [1])]
    run = RunManager(LocalScheduler(1), learners, [str(tmp_path / "a")], folder=tmp_path / "run")
    return run[0]


def test_a_learner_of_a_run_that_was_not_started_shows_itself(tmp_path: Path) -> None:
    item = learner(tmp_path)
    assert item.status == "not started"
    assert "not started" in item._repr_html_()


def test_the_events_of_a_learner_are_shown_as_the_command_line_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = learner(tmp_path)
    item._run._row_of = [0]
    config = RunConfig(run="r", shapes=[], job_names=["n"], log_folder=str(tmp_path))
    item._run.folder.folder.mkdir(parents=True)
    write_config(item._run.folder, config)
    row = Item(0, str(tmp_path / "a"), Phase.DONE)
    picture = RunSnapshot(run="r", database="d", time=0.0, items=item_views([row], {}, "all"))
    monkeypatch.setattr(item._run, "snapshot", lambda rows: picture)
    line = {"timestamp": "2026-01-01T00:00:02Z", "event": "progress", "item": 0, "loss": 1 / 3}
    (tmp_path / "7.log").write_text(json.dumps(line) + '\n{"torn')
    assert item.logs() == "2026-01-01 00:00:02  7  progress  loss=0.3333"
    (entry,) = log_entries.entries_of([tmp_path / "7.log"], 0)
    assert log_entries.entry_line(entry).plain == item.logs()
    for lines in (0, -1, "x"):
        with pytest.raises(InputError, match=r"lines=.* must be a whole number of at least 1"):
            item.logs(lines)  # type: ignore[arg-type]


def test_a_snapshot_of_unknown_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows='failed' must be 'all', 'active' or 'none'"):
        learner(tmp_path)._run.snapshot("failed")  # type: ignore[arg-type]


def test_attach_takes_a_path() -> None:
    with pytest.raises(InputError, match="folder=3 must be a str or a path"):
        RunManager.attach(3)  # type: ignore[arg-type]


def test_the_script_that_a_run_shows_is_for_the_hosts_that_the_cluster_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners = [adaptive.SequenceLearner(abs, [1])]
    pbs_run = RunManager(PBS(4), learners, [str(tmp_path / "a")], folder=tmp_path / "run")
    for hosts, line in [
        ((Host("n1", 8),), "#PBS -l select=1:ncpus=4:mpiprocs=4:ompthreads=1"),
        ((Host("n1", 2),), "#PBS -l select=4:ncpus=1:mpiprocs=1:ompthreads=1"),
    ]:
        monkeypatch.setattr("adaptive_scheduler.runs.run.Hosts.of", lambda *_, found=hosts: found)
        assert line in pbs_run.job_script().splitlines()
