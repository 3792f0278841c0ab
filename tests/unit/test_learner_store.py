"""The store of a learner: saves are verified, only the owner saves, no point is lost."""

from __future__ import annotations

import errno
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import DataFileError, EnvironmentMismatchError, UserCodeError
from adaptive_scheduler.evaluation.learners import store as saving
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.evaluation.learners.store import (
    ChangedError,
    LearnerStore,
    LeaseLostError,
    SaveResult,
)
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import PointJournal, read_journals
from tests.unit.test_files import Failing


def names(folder):
    return [path.name for path in folder.iterdir()]


def square(x):
    return x * x


def learner(n=0):
    made = adaptive.Learner1D(square, (-1, 1))
    for i in range(n):
        made.tell(i / max(n, 1), float(i))
    return made


def test_adaptive_loads_what_we_save_and_we_load_what_adaptive_saves(tmp_path):
    fname = str(tmp_path / "new" / ("n" * 255))
    data = LearnerStore(learner(5), fname)
    data.load()
    data.save()
    theirs = learner()
    theirs.load(fname)
    assert theirs.data == data.learner.data
    other = str(tmp_path / "other.pickle")
    theirs.save(other)
    ours = learner()
    assert LearnerStore(ours, other).load().n_loaded == 5
    assert names(tmp_path / "new") == ["n" * 255]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x1f\x8b\x08garbage"])
def test_fault_03_a_data_file_that_cannot_be_read_is_kept_aside(tmp_path, content):
    path = tmp_path / ("n" * 255)
    path.write_bytes(content)
    report = LearnerStore(learner(), str(path)).load()
    (kept,) = report.kept_aside
    assert kept.read_bytes() == content
    assert ".damaged-" in kept.name
    assert str(path) in report.notes[0]
    assert not path.exists()


def test_a_file_of_another_learner_is_an_error_and_stays(tmp_path):
    path = tmp_path / "a"
    adaptive.AverageLearner(square, atol=1).save(str(path))
    with pytest.raises(DataFileError, match="does not hold the data of this Learner1D"):
        LearnerStore(learner(), path).load()
    assert path.exists()


def test_a_missing_module_is_not_damage(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(adaptive_private.compress(b"cnowhere\nat_all\n."))
    with pytest.raises(EnvironmentMismatchError, match="nowhere"):
        LearnerStore(learner(), path).load()
    assert path.exists()


def test_fault_04_a_full_disk_leaves_the_old_file_and_is_told(tmp_path, monkeypatch):
    path = tmp_path / "a"
    LearnerStore(learner(3), path).save()
    data = LearnerStore(learner(), path, token=1)
    data.load()
    data.learner.tell(0.9, 1.0)
    for n in range(1, 6):
        monkeypatch.setattr(saving.files, "operations", Failing(n))
        with pytest.raises(DataFileError, match="No space left"):
            data.save()
        monkeypatch.setattr(saving.files, "operations", saving.files.Operations())
        again = learner()
        assert LearnerStore(again, path).load().n_loaded == 3
        assert names(tmp_path) == ["a"]
    data.save()
    assert LearnerStore(learner(), path).load().n_loaded == 4


def test_without_a_lease_nothing_is_replaced(tmp_path):
    path = tmp_path / "a"
    lease = [True]
    data = LearnerStore(learner(3), path, lease_ok=lambda: lease[0])
    data.save()
    lease[0] = False
    data.learner.tell(0.9, 1.0)
    with pytest.raises(LeaseLostError):
        data.save()
    assert LearnerStore(learner(), path).load().n_loaded == 3
    assert names(tmp_path) == ["a"]


def test_what_another_process_saved_meanwhile_is_merged(tmp_path):
    path = tmp_path / "a"
    mine, other = LearnerStore(learner(3), path), LearnerStore(learner(), path)
    mine.save()
    other.load()
    other.learner.tell(0.77, 7.0)
    other.save()
    mine.learner.tell(-0.5, 5.0)
    with pytest.raises(ChangedError):
        mine.write(mine.snapshot())
    mine.save()
    again = learner()
    LearnerStore(again, path).load()
    assert again.data == {0.0: 0.0, 1 / 3: 1.0, 2 / 3: 2.0, 0.77: 7.0, -0.5: 5.0}


def replaced_by_another(path):
    other = LearnerStore(learner(1), path)
    path.unlink()
    other.save()


def deleted(path):
    path.unlink()


def damaged(path):
    path.write_bytes(b"no pickle")


@pytest.mark.parametrize("change", [replaced_by_another, deleted, damaged])
def test_a_save_writes_again_what_another_process_took_away(tmp_path, change):
    path = tmp_path / "a"
    mine = LearnerStore(learner(3), path)
    mine.save()
    change(path)
    mine.save()  # the learner has not changed since
    again = learner()
    LearnerStore(again, path).load()
    assert again.data == mine.learner.data


def test_a_name_that_the_file_system_refuses_is_an_error_of_this_learner(tmp_path):
    with pytest.raises(DataFileError, match="too long"):
        LearnerStore(learner(), tmp_path / ("n" * 300)).load()


class Own(adaptive.Learner1D):
    """Saves in its own way."""

    fails = False

    def save(self, fname):
        if self.fails:
            raise RuntimeError("my own fault")
        Path(fname).write_text(repr(dict(self.data)))

    def load(self, fname):
        for x, y in eval(Path(fname).read_text()).items():
            self.tell(x, y)


def test_a_learners_own_save_and_load_are_used(tmp_path):
    path = tmp_path / "a"
    mine = Own(square, (-1, 1))
    mine.tell(0.5, 1.0)
    data = LearnerStore(mine, path)
    data.save()
    assert path.read_text() == "{0.5: 1.0}"
    again = Own(square, (-1, 1))
    LearnerStore(again, path).load()
    assert again.data == {0.5: 1.0}
    mine.fails = True
    with pytest.raises(UserCodeError, match="my own fault"):
        data.save()
    mine.fails = False
    path.write_text("{0.1: 2.0}")
    data.save()
    (kept,) = data.report.kept_aside
    assert kept.read_text() == "{0.1: 2.0}"


def test_an_own_save_that_writes_nothing_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Own, "save", lambda self, fname: None)
    with pytest.raises(DataFileError, match="wrote nothing"):
        LearnerStore(Own(square, (-1, 1)), tmp_path / "a").save()


def test_journals_are_merged_once_and_deleted_after_the_save(tmp_path):
    path = tmp_path / "a"
    for token in (1, 2):
        journal = PointJournal(str(path), token)
        journal.add(0.25, 1.0)
        journal.add(token / 10, 2.0)
        journal.close()
    data = LearnerStore(learner(), path, token=2)
    assert data.load().n_merged == 3
    data.save()
    assert not data.delete_former_journals()
    left = sorted(name for name in names(tmp_path) if name.endswith(".points"))
    assert [name.split(".")[2] for name in left] == [f"{2:012d}"]
    assert LearnerStore(learner(), path, token=3).load().n_merged == 0


class NoFolderSync(saving.files.Operations):
    def fsync(self, fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "Input/output error")


def test_a_save_whose_folder_could_not_be_synced_is_still_known_as_our_own(tmp_path):
    class Own(adaptive.Learner1D):
        def save(self, fname, compress=True):
            super().save(fname, compress)

    made = Own(square, (-1, 1))
    data = LearnerStore(made, tmp_path / "a", token=1)
    data.load()
    for x in (0.5, 0.6):
        made.tell(x, 1.0)
        with saving.files.through(NoFolderSync()), pytest.raises(DataFileError):
            data.save()
    data.save()
    assert names(tmp_path) == ["a"], "nothing was kept aside"


class Sticky(saving.files.Operations):
    """Lets nobody delete the journal of one token."""

    def __init__(self, token):
        self.end = f".{token:012d}.points"

    def unlink(self, path):
        if str(path).endswith(self.end):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        super().unlink(path)


def test_late_points_of_one_journal_are_kept_when_the_next_cannot_be_deleted(tmp_path):
    path = tmp_path / "a"
    former = [PointJournal(str(path), token) for token in (1, 2)]
    for n, journal in enumerate(former):
        journal.keep([(n / 10, 1.0)])
    data = LearnerStore(learner(), path, token=3)
    data.load()
    data.save()
    for n, journal in enumerate(former):
        journal.keep([(n / 10 + 0.5, 2.0)])  # they think that they are the owners
    with saving.files.through(Sticky(2)), pytest.raises(DataFileError, match="Permission"):
        data.delete_former_journals()
    assert not data.delete_former_journals(), "nothing came since"
    (own,) = read_journals(path)
    assert own.points == [(0.5, 2.0), (0.6, 2.0)]
    assert data.learner.data.items() >= {0.5: 2.0, 0.6: 2.0}.items()
    assert sorted(names(tmp_path)) == [own.path.name, "a"]


def test_a_journal_is_deleted_only_when_its_late_points_are_on_disk(tmp_path):
    path = tmp_path / "a"
    zombie = PointJournal(str(path), 1)
    zombie.keep([(0.1, 1.0)])
    data = LearnerStore(learner(), path, token=3)
    data.load()
    data.save()
    zombie.keep([(0.2, 2.0)])
    with saving.files.through(Failing(2)), pytest.raises(DataFileError, match="No space left"):
        data.delete_former_journals()
    assert zombie.path.exists()
    assert data.delete_former_journals() is False
    assert not zombie.path.exists()
    fresh = learner()
    LearnerStore(fresh, path, token=4).load()
    assert fresh.data == {0.1: 1.0, 0.2: 2.0}


def test_a_journal_with_damage_inside_is_kept_aside(tmp_path):
    path = tmp_path / "a"
    journal = PointJournal(str(path), 1)
    journal.add(0.25, 1.0)
    journal.close()
    content = journal.path.read_bytes()
    journal.path.write_bytes(b"garbage" + content + content[:-1])
    data = LearnerStore(learner(), path, token=2)
    report = data.load()
    assert report.n_merged == 1
    assert len(report.notes) == 2
    data.save()
    data.delete_former_journals()
    assert [name for name in names(tmp_path) if ".damaged-" in name]


def test_temporary_files_of_killed_owners_are_deleted(tmp_path):
    path = tmp_path / "a"
    old = saving.files.temporary_name(path, "3")
    newer = saving.files.temporary_name(path, "9")
    old.write_bytes(b"")
    newer.write_bytes(b"")
    LearnerStore(learner(), path, token=5).load()
    assert (old.exists(), newer.exists()) == (False, True)


def test_a_file_that_another_process_saved_with_its_own_save_is_copied_not_moved(tmp_path):
    """A client that was stopped past its lease merges before it notices: the file is not its own."""
    path = tmp_path / "a"
    data = LearnerStore(Own(square, (-1, 1)), path, lease_ok=lambda: False)
    data.load()
    path.write_text("{0.1: 2.0}")
    data.merge()
    assert path.read_text() == "{0.1: 2.0}"
    (kept,) = data.report.kept_aside
    assert kept.read_text() == "{0.1: 2.0}"
    with pytest.raises(LeaseLostError):
        data.save()
    assert path.read_text() == "{0.1: 2.0}"


def test_points_that_are_not_taken_yet_survive_a_merge(tmp_path):
    path = tmp_path / "a"
    other = adaptive.IntegratorLearner(square, (-1, 1), tol=1e-3)
    adaptive.runner.simple(other, goal=lambda learner: learner.done())
    data = LearnerStore(adaptive.IntegratorLearner(square, (-1, 1), tol=1e-3), path)
    data.load()
    other.save(str(path))
    data.save()  # merges first
    assert data.report.memo
    assert data.report.memo | data.learner.data == other.data
    (kept,) = data.report.kept_aside
    again = adaptive.IntegratorLearner(square, (-1, 1), tol=1e-3)
    again.load(str(kept))
    assert again.data == other.data


class Budget:
    """So many seconds for the last save, and none to wait for room."""

    def __init__(self, seconds=1e9):
        self.seconds = seconds

    def allows(self, seconds):
        return seconds <= self.seconds

    def may_wait(self):
        return False


def recorded(store, points):
    for x, y in points.items():
        store.learner.tell(x, y)
        store.record(x, y)


def test_finish_saves_all_points_and_deletes_every_journal(tmp_path):
    former = PointJournal(str(tmp_path / "a"), 1)
    former.keep([(0.25, 1.0)])
    store = LearnerStore(learner(), tmp_path / "a", token=2)
    store.load()
    recorded(store, {0.5: 2.0})
    store.flush()
    former.keep([(0.75, 3.0)])  # it does not know yet that it has lost the item
    assert store.finish(Budget()) == SaveResult(is_saved=True)
    assert (names(tmp_path), store.problem) == (["a"], "")
    fresh = learner()
    LearnerStore(fresh, tmp_path / "a").load()
    assert fresh.data == {0.25: 1.0, 0.5: 2.0, 0.75: 3.0}


def test_finish_without_time_for_a_save_leaves_the_points_in_the_journal(tmp_path):
    store = LearnerStore(learner(), tmp_path / "a", token=2)
    store.load()
    recorded(store, {0.5: 2.0})
    store.save_seconds = 60.0
    assert store.finish(Budget(1.0)) == SaveResult(is_saved=False)
    (journal,) = read_journals(str(tmp_path / "a"))
    assert journal.points == [(0.5, 2.0)]
    assert not (tmp_path / "a").exists()


def test_the_store_names_what_the_disk_does_not_take_until_it_does(tmp_path):
    store = LearnerStore(learner(), tmp_path / "a", token=2)
    store.load()
    recorded(store, {0.5: 2.0})
    with saving.files.through(Failing(2)), pytest.raises(DataFileError):
        store.flush()
    assert "No space left" in store.problem
    assert store.n_unwritten == 1
    assert store.finish(Budget()).is_saved
    assert store.problem == ""


def test_an_error_of_the_learners_own_save_is_the_result_of_finish(tmp_path):
    class Broken(Own):
        def save(self, fname, compress=True):
            raise RuntimeError("not today")

    store = LearnerStore(Broken(square, (-1, 1)), tmp_path / "a", token=2)
    store.load()
    recorded(store, {0.5: 2.0})
    result = store.finish(Budget())
    assert (result.is_saved, type(result.error)) == (False, UserCodeError)
    assert "not today" in store.problem
    (journal,) = read_journals(str(tmp_path / "a"))
    assert journal.points == [(0.5, 2.0)]


class SlowOnDisk(adaptive.SequenceLearner):
    """Its data take long to load and to save."""

    SECONDS = 0.3

    def _set_data(self, data):
        time.sleep(self.SECONDS)
        super()._set_data(data)

    def save(self, *arguments, **more):
        time.sleep(self.SECONDS)
        super().save(*arguments, **more)


def test_a_run_tells_how_long_loading_and_the_last_save_took(tmp_path):
    def run():
        made = SlowOnDisk(square, [float(x) for x in range(5)])
        with ThreadPoolExecutor(1) as pool:
            work = LearnerWork(made, str(tmp_path / "data"), None, pool, 1, token=5)
            return run_learner(work)

    first, again = run(), run()  # the second one has something to load
    assert first.saved
    assert SlowOnDisk.SECONDS <= first.data_seconds <= first.seconds
    assert again.data_seconds >= 0.9 * SlowOnDisk.SECONDS
    assert again.new_points == 0
