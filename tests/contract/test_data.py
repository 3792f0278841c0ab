"""Every kind of learner: what is on disk is what who looks at the run's data gets, in mid-run too."""

from __future__ import annotations

import threading

import pytest

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import PointJournal
from adaptive_scheduler.runs import load_data
from adaptive_scheduler.runs.start.fnames import absolute_fnames
from tests.contract.learner_kinds import count, fname_of, kinds

KINDS = list(kinds())


def computed(name, in_flight=1, most=10_000):
    """A learner at its goal (or with `most` points), and its points in the order they were told."""
    make, goal = kinds()[name]
    learner, told, asked = make(), [], []
    adaptive_private.prepare(learner)
    while len(told) < most and (goal is None or not goal(learner)):
        asked += adaptive_private.ask(learner, in_flight - len(asked))
        if not asked:
            break
        x = asked.pop(0)
        y = learner.function(x)
        told.append((x, y))
        learner.tell(x, y)
    return learner, told


def write_journal(learner, fname, token, points, torn=b""):
    journal = PointJournal(fname if isinstance(fname, str) else fname[0], token)
    for x, y in points:
        journal.add(adaptive_private.compact(learner, x), y)
    journal.close()
    with journal.path.open("ab") as file:
        file.write(torn)
    return journal.path


def held(learner):
    return dict(adaptive_private.points_of(learner, learner._get_data()))


def contents(folder):
    """Everything that a reader could have disturbed."""
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def loaded(name, fname):
    learner = kinds()[name][0]()
    found = load_data.load_learners([learner], [fname], progress=False)
    return learner, found


# ------------------------------------------------------------------------ in mid-run


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize("name", KINDS)
def test_before_the_first_save_the_journals_points_are_loaded(name, in_flight, tmp_path):
    done, points = computed(name, in_flight)
    fname = fname_of(name, tmp_path)
    write_journal(done, fname, 3, points)
    before = contents(tmp_path)
    learner, found = loaded(name, fname)
    assert found == 1
    assert held(learner) == dict(points)
    assert count(learner) == count(done)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", KINDS)
def test_a_file_and_the_journals_of_several_owners_are_joined(name, tmp_path):
    """The data file, one former owner's journal, and that of who works now, in mid-write."""
    done, points = computed(name)
    fname = fname_of(name, tmp_path)
    third = len(points) // 3
    LearnerStore(computed(name, most=third)[0], fname, 1).save()
    write_journal(done, fname, 2, points[: 2 * third])
    torn = PointJournal(str(tmp_path / "elsewhere"), 1)
    torn.add(0.123, 4.5)
    torn.close()
    write_journal(done, fname, 3, points[2 * third :], torn=torn.path.read_bytes()[:-3])
    torn.path.unlink()
    before = contents(tmp_path)
    learner, _ = loaded(name, fname)
    assert held(learner) == dict(points)
    assert contents(tmp_path) == before
    # again into the same one, as a notebook does
    load_data.load_learners([learner], [fname], progress=False)
    assert held(learner) == dict(points)


def test_an_integrator_learner_asks_again_for_points_that_were_in_flight(tmp_path):
    done, points = computed("IntegratorLearner", 8)
    fname = fname_of("IntegratorLearner", tmp_path)
    in_flight = points[40:48]
    write_journal(done, fname, 1, points[:40] + points[48:100])
    learner, _ = loaded("IntegratorLearner", fname)
    assert held(learner) == dict(points[:40] + points[48:100])
    asked, _ = learner.ask(60)
    assert {x for x, _ in in_flight} <= set(asked)


def test_no_point_is_missed_if_a_journal_is_deleted_while_it_is_read(tmp_path):
    """Its owner saves and begins anew, again and again: no look shows less than was there before."""
    fname = str(tmp_path / "data")
    name = "Learner1D"
    owner = kinds()[name][0]()
    written, stop = [0], threading.Event()

    def work():
        store = LearnerStore(owner, fname, 7)
        store.load()
        journal = store._journal
        for i in range(100_000):
            x = i / 100_000
            owner.tell(x, x)
            journal.add(x, x)
            journal.flush()
            written[0] += 1
            if i % 7 == 6:
                store.save()
                journal.discard()
            if stop.is_set():
                break

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(60):
            least = written[0]
            learner, _ = loaded(name, fname)
            assert learner.npoints >= least
    finally:
        stop.set()
        worker.join()
    assert owner.npoints == written[0]
    assert loaded(name, fname)[0].npoints == owner.npoints


def test_a_folder_is_listed_once_however_many_learners_it_holds(tmp_path, monkeypatch):
    from adaptive_scheduler.io.disk import files

    listed = []

    class Counting(files.Operations):
        def names(self, folder, most=None):
            listed.append(folder)
            return super().names(folder, most)

    monkeypatch.setattr(files, "operations", Counting())
    learners = [kinds()["Learner1D"][0]() for _ in range(50)]
    fnames = [str(tmp_path / f"{i % 2}" / f"data-{i}") for i in range(50)]
    assert load_data.load_learners(learners, fnames, progress=False) == 0
    assert len(listed) == 2
    assert list(tmp_path.iterdir()) == []


def test_one_journal_that_cannot_be_read_is_named_and_the_others_are_loaded(tmp_path):
    done, points = computed("Learner1D")
    fnames = [str(tmp_path / name) for name in "ab"]
    write_journal(done, fnames[0], 1, points).chmod(0o666)
    write_journal(done, fnames[1], 1, points)
    learners = [kinds()["Learner1D"][0]() for _ in fnames]
    with pytest.raises(DataFileError, match=r"points: .*chmod go-w"):
        load_data.load_learners(learners, fnames, progress=False)
    assert [learner.npoints for learner in learners] == [0, len(points)]


def test_journals_beside_a_damaged_file_are_loaded(tmp_path):
    done, points = computed("Learner1D")
    fname = str(tmp_path / "data")
    (tmp_path / "data").write_bytes(b"no gzip")
    write_journal(done, fname, 1, points)
    learner = kinds()["Learner1D"][0]()
    with pytest.raises(DataFileError, match="data: cannot be read"):
        load_data.load_learners([learner], [fname], progress=False)
    assert held(learner) == dict(points)


def test_points_of_another_learner_are_reported_and_the_others_are_loaded(tmp_path):
    line, points = computed("Learner1D")
    plane, points_2d = computed("Learner2D")
    fnames = [str(tmp_path / name) for name in "ab"]
    write_journal(plane, fnames[0], 1, points_2d)
    write_journal(line, fnames[1], 1, points)
    learners = [kinds()["LearnerND"][0](), kinds()["Learner1D"][0]()]
    write_journal(line, fnames[0], 2, points[:5])
    with pytest.raises(DataFileError, match=r"the LearnerND of .*a does not take 5 of the"):
        load_data.load_learners(learners, fnames, progress=False)
    assert held(learners[0]) == dict(points_2d)
    assert held(learners[1]) == dict(points)


# ------------------------------------------------------------- every form of a name


FORMS = {
    "str": lambda folder, n: str(folder / "one"),
    "path": lambda folder, n: folder / "one",
    "list of str": lambda folder, n: [str(folder / f"{i}") for i in range(n)],
    "list of path": lambda folder, n: [folder / f"{i}" for i in range(n)],
    "tuple": lambda folder, n: tuple(str(folder / f"{i}") for i in range(n)),
}


#: Only a BalancingLearner has several files.
NAMES_AND_FORMS = [
    (name, form)
    for name in KINDS
    for form in FORMS
    if name.startswith("Balancing") or form in ("str", "path")
]


@pytest.mark.parametrize(("name", "form"), NAMES_AND_FORMS)
def test_data_saved_by_a_job_load_for_every_form_of_fname(name, form, tmp_path):
    done, points = computed(name)
    given = FORMS[form](tmp_path, 3)
    (fname,) = absolute_fnames([given], [done])
    LearnerStore(done, fname, 1).save()
    assert held(loaded(name, fname)[0]) == dict(points)
    again = kinds()[name][0]()
    LearnerStore(again, given, 2).load()
    assert held(again) == dict(points)
    if not name.startswith("Balancing") or form not in (
        "str",
        "path",
    ):  # else adaptive takes its letters for names
        theirs = kinds()[name][0]()
        theirs.load(fname)
        assert held(theirs) == dict(points)
