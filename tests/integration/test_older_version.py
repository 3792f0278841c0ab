"""A run of version 0.2.0, captured while its learners ran and its manager was killed, goes on."""

from __future__ import annotations

import tarfile
from functools import partial
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.localbatch.folder import Folder
from adaptive_scheduler.localbatch.store import Store
from adaptive_scheduler.scheduler import LocalScheduler
from adaptive_scheduler.server_support import RunManager

CAPTURED = Path(__file__).resolve().parents[1] / "data" / "run-of-0.2.0.tar.gz"
OFFSETS = (0.1, 0.2, 0.3, 0.4, 0.5)
#: Points on disk of each: in the file, or in the file and the journal of a client that was killed.
POINTS = (31, 1037, 0, 1040, 0)
PLACE = b"@HERE@"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder in which it ran, as if it had run here."""
    with tarfile.open(CAPTURED) as archive:
        archive.extractall(tmp_path, filter="tar")
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and PLACE in (content := path.read_bytes()):
            path.write_bytes(content.replace(PLACE, str(tmp_path).encode()))
    return tmp_path


def h(x: float, offset: float = 0.0) -> float:
    return x + 0.01**2 / (0.01**2 + (x - offset) ** 2)


def submit_ids_begin_at(number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a batch system that has had so many submits before."""
    path.mkdir(mode=0o700)
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(path))
    store = Store(Folder(path))
    store._db.execute("INSERT INTO sqlite_sequence VALUES ('submits', ?)", (number - 1,))
    store.close()


def test_its_learners_and_data_are_found_again(place: Path) -> None:
    run = RunManager.attach(place / "run")
    assert run.snapshot().phases == {"done": 1, "running": 2, "queued": 2}
    assert [learner.npoints for learner in run.load_learners()] == list(POINTS)


def test_it_goes_on_where_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    submit_ids_begin_at(
        100, place / "localbatch", monkeypatch
    )  # not again at those of its old jobs
    learners = [adaptive.Learner1D(partial(h, offset=o), bounds=(-1, 1)) for o in OFFSETS]
    run = RunManager(
        LocalScheduler(cores=1, executor_type="process-pool"), learners,
        [str(place / "data" / f"offset_{o}") for o in OFFSETS],
        goal=lambda learner: learner.npoints >= (31 if learner.function.keywords["offset"] == 0.1 else 1100),
        folder=place / "run", interval=1,
    )  # fmt: skip
    run.start()
    run.wait(200)  # twice a lease: the new localbatch gives job ids that the old jobs had
    assert run.status() == "finished"
    assert [learner.npoints >= 1100 for learner in run.load_learners()] == [False, *[True] * 4]
