"""The public `PBS` beside a PBS that runs real jobs: it lists, cancels, and submits scripts by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adaptive_scheduler import PBS
from adaptive_scheduler.errors import InputError, NoObservation
from tests.clusters.pbs import PrivatePBS


@pytest.fixture
def pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivatePBS]:
    with PrivatePBS(cores=2) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        folder = tmp_path / "a $b"
        folder.mkdir()
        monkeypatch.chdir(folder)
        yield cluster


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_script_by_hand_is_submitted_listed_and_cancelled(
    pbs: PrivatePBS, tmp_path: Path
) -> None:
    made = PBS(
        cores=2, cores_per_node=2, log_folder=tmp_path, extra_env_vars=["WHERE=$PBS_O_WORKDIR/said"],
        extra_script="echo prepared",
    )  # fmt: skip
    assert made.queue() == {}
    assert made.queue_df().empty
    with pytest.raises(InputError, match="there is no script"):
        made.start_job("job-0")
    made.write_job_script("job", {})
    with pytest.raises(InputError, match="only a run fills in"):
        made.start_job("job-0")
    made.batch_fname("job").write_text(
        '#!/bin/sh\n#PBS -m n\necho here > "$WHERE"\nexec sleep 600\n'
    )
    jobs = {name: made.start_job(name) for name in ("job-0", "job-1")}
    until(lambda: sorted(job["state"] for job in made.queue().values()) == ["Q", "R"])
    queue = made.queue()
    assert {job: facts["job_name"] for job, facts in queue.items()} == {
        job: name for name, job in jobs.items()
    }
    assert made.job_names_to_job_ids("job-1", "none") == [jobs["job-1"]]
    assert list(made.queue_df().index) == list(queue)
    assert set(PBS.queue(me_only=False)) == set(queue)
    until(lambda: Path("said").exists() and Path("said").read_text() == "here\n")
    assert (tmp_path / f"{jobs['job-0']}.out").read_text() == "prepared\n"
    assert PBS.sanatize_job_id(jobs["job-0"]).isdigit()
    made.cancel(["job-1", "none"])
    assert list(made.queue()) == [jobs["job-0"]]
    PBS.cancel_jobs("job", dry=True)
    assert list(made.queue()) == [jobs["job-0"]]
    PBS.cancel_jobs("job")
    until(lambda: made.queue() == {})
    made.cancel(["job-0"])  # it has left: nothing to do
    pbs.change(down=True)
    with pytest.raises(NoObservation, match="PBS does not answer"):
        made.queue()
