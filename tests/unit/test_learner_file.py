from __future__ import annotations

import os
import threading
import tracemalloc
from functools import partial
from pathlib import Path

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.errors import FileError, InputError, PermissionsError
from adaptive_scheduler.executors import received_code
from adaptive_scheduler.io.pickling import shared
from adaptive_scheduler.io.pickling.by_value import loads
from adaptive_scheduler.io.pickling.callables_file import read_callable, write_callables
from adaptive_scheduler.io.pickling.learner_file import (
    LearnerFile,
    write_learners,
)
from tests.quick import usually


def f(x, offset=0):
    return g(x) + offset


def g(x, depth=0):
    return x if depth == 0 else f(x)  # f and g call each other


def learners_of(n: int) -> list[adaptive.Learner1D]:
    return [adaptive.Learner1D(partial(f, offset=i), (-1, 1)) for i in range(n)]


def test_each_learner_is_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "learners"
    write_learners(path, learners_of(5))
    with LearnerFile(path) as file:
        assert len(file) == 5
        assert [file.read(i).function(1) for i in (4, 0, 2)] == [5, 1, 3]
        assert file.read(1) is not file.read(1)
        with pytest.raises(InputError, match="holds 5 learners"):
            file.read(5)


def test_thousands_of_learners_of_one_function(tmp_path: Path) -> None:
    big, n = np.ones(100_000), usually(10_000, quick=2_000)
    learners = [adaptive.Learner1D(partial(f, offset=big), (-1, 1 + i)) for i in range(n)]
    write_learners(tmp_path / "learners", learners)
    size = (tmp_path / "learners").stat().st_size
    assert size < big.nbytes + n * 420, "what they share is written once"
    assert [path.name for path in tmp_path.iterdir()] == ["learners"]
    with LearnerFile(tmp_path / "learners") as file:
        assert file.read(n - 1).bounds == (-1, n)


@pytest.mark.parametrize(
    "make",
    [
        lambda: adaptive.Learner1D(lambda x: x, (0, 1)),
        lambda: adaptive.Learner2D(lambda xy: 1.0, ((0, 1), (0, 1))),
        lambda: adaptive.LearnerND(lambda xy: 1.0, ((0, 1), (0, 1))),
        lambda: adaptive.SequenceLearner(lambda x: x, [1, 2, 3]),
        lambda: adaptive.IntegratorLearner(lambda x: x, (0, 1), 1e-3),
        lambda: adaptive.AverageLearner(lambda seed: 1.0, atol=0.1),
        lambda: adaptive.AverageLearner1D(lambda sx: 1.0, (0, 1), delta=0.05, min_samples=7),
        lambda: adaptive.DataSaver(adaptive.Learner1D(lambda x: x, (0, 1)), lambda r: r),
        lambda: adaptive.BalancingLearner([adaptive.Learner1D(lambda x: x, (0, 1))] * 2),
    ],
)
def test_learners_of_every_kind(tmp_path: Path, make) -> None:
    learner = make()
    write_learners(tmp_path / "learners", [learner])
    again = LearnerFile(tmp_path / "learners").read(0)
    assert type(again) is type(learner)
    assert again.ask(3) == learner.ask(3)
    for name in ("delta", "min_samples", "atol"):
        assert getattr(again, name, None) == getattr(learner, name, None)


def test_the_data_of_a_learner_are_stored(tmp_path: Path) -> None:
    learner = adaptive.Learner1D(f, (0, 1))
    adaptive.runner.simple(learner, npoints_goal=10)
    write_learners(tmp_path / "learners", [learner])
    assert LearnerFile(tmp_path / "learners").read(0).data == learner.data


def test_which_learner_and_which_attribute_cannot_be_pickled(tmp_path: Path) -> None:
    lock = threading.Lock()
    learners = [*learners_of(1), adaptive.Learner1D(partial(f, offset=lock), (0, 1))]
    with pytest.raises(InputError, match=r"learners\[1\] \(fname 'b'\).*keywords\['offset'\]"):
        write_learners(tmp_path / "learners", learners, ["a", "b"])
    with pytest.raises(InputError, match="variable 'lock'"):
        write_learners(tmp_path / "learners", [adaptive.Learner1D(lambda x: lock, (0, 1))])
    assert not list(tmp_path.iterdir())


def test_only_its_user_can_read_or_have_written_it(tmp_path: Path) -> None:
    path = tmp_path / "learners"
    write_learners(path, learners_of(1))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o620)
    with pytest.raises(PermissionsError, match="chmod"):
        LearnerFile(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "learners"
    write_learners(path, learners_of(3))
    os.truncate(path, path.stat().st_size - 5)
    with pytest.raises(FileError, match="not a whole file"):
        LearnerFile(path)


def test_callables_by_name(tmp_path: Path) -> None:
    path = tmp_path / "callables"
    write_callables(path, {"goal": lambda learner: learner.npoints > 3, "initializers": [f]})
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_callable(path, "initializers")[0](1) == 1
    assert read_callable(path, "goal")(learners_of(1)[0]) is False
    assert read_callable(path, "missing", 5) == 5
    with pytest.raises(InputError, match="goal cannot be pickled"):
        write_callables(path, {"goal": threading.Lock()})


def test_a_reader_forgets_shared_records_beyond_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [
        adaptive.Learner1D(partial(f, offset=np.full(50_000, float(n))), (-1, 1)) for n in range(9)
    ]
    write_learners(tmp_path / "learners", own)
    monkeypatch.setattr("adaptive_scheduler.io.pickling.learner_file._MAX_CACHED", 10**6)
    tracemalloc.start()
    with LearnerFile(tmp_path / "learners") as file:
        for n in range(len(own)):
            assert file.read(n).function.keywords["offset"][0] == n
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 10**6, "the arrays of all nine take 3.6 MB"


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ("adaptive_scheduler.io.sharing\n_hole", shared._hole),
        ("adaptive_scheduler.executors.arrival\ncode", received_code.make_code),
        ("adaptive_scheduler.executors.arrival\ncomplete", received_code.set_function_state),
        ("adaptive_scheduler.executors.arrival\nModules", received_code.Modules),
    ],
)
def test_pickles_of_version_0_2_0_find_what_was_moved_and_renamed(
    old: str, expected: object
) -> None:
    assert loads(f"c{old}\n.".encode()) is expected
