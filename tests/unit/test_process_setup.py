"""Modules whose import a client delays until they are used."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from adaptive_scheduler.io.system.postponed import postponed

BODY = "import sys\nsys.loaded.append(__name__)\nanswer = 42\n"


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the modules of this test that were really loaded: `heavy`, `heavy.part`, `user`."""
    for name, text in {
        "heavy/__init__.py": BODY + "from heavy.part import answer as other\n",
        "heavy/part.py": BODY,
        "user.py": "import heavy\n",
        "asker.py": "from heavy import answer\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "loaded", [], raising=False)
    for name in ("heavy", "heavy.part", "user", "asker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield sys.loaded
    for name in ("heavy", "heavy.part", "user", "asker"):
        sys.modules.pop(name, None)


def test_a_postponed_module_is_imported_once_at_the_first_access(loaded: list[str]) -> None:
    with postponed("heavy"):
        import user
    assert (loaded, "heavy" in sys.modules) == ([], False)
    assert user.heavy.answer == 42
    import heavy

    assert (user.heavy.other, heavy.answer) == (42, 42)
    assert loaded == ["heavy", "heavy.part"]


def test_a_postponed_module_can_be_used_inside_the_with(loaded: list[str]) -> None:
    with postponed("heavy"):
        import asker
    assert (asker.answer, loaded) == (42, ["heavy", "heavy.part"])
    assert sys.modules["heavy"].other == 42


def test_what_is_only_called_later_as_a_rule_may_be_called_inside_the_with(
    loaded: list[str],
) -> None:
    """By another package that is imported meanwhile; it ended in a RecursionError."""
    with postponed("heavy", called={"heavy": {"answer"}}):
        import asker

        assert loaded == []
        assert asker.answer.real == 42
        import heavy
    assert (heavy.answer, loaded) == (42, ["heavy", "heavy.part"])


def test_after_the_with_a_module_is_imported_as_usual(loaded: list[str]) -> None:
    with postponed("heavy"):
        import user
    from heavy.part import answer

    assert (answer, user.heavy.answer, loaded) == (42, 42, ["heavy", "heavy.part"])


def test_a_module_that_is_imported_already_is_not_postponed(loaded: list[str]) -> None:
    import heavy

    with postponed("heavy"):
        import user
    assert user.heavy is heavy


def test_a_module_that_is_not_installed_cannot_be_imported_as_usual() -> None:
    with postponed("no_such_module"), pytest.raises(ModuleNotFoundError):
        import no_such_module  # noqa: F401


def test_a_missing_attribute_raises_the_error_of_the_module(loaded: list[str]) -> None:
    with postponed("heavy"):
        import user
    with pytest.raises(AttributeError, match="module 'heavy' has no attribute 'nothing'"):
        _ = user.heavy.nothing


PROGRAM = """
import json, sys
from adaptive_scheduler.client.learners import process_setup as imports
imports.prepare_process()
heavy = [name for name in imports.SELDOM_USED if name in sys.modules]
import adaptive
learner = adaptive.AverageLearner1D(lambda pair: pair[1], (-1, 1), min_samples=3)
for seed in range(5):
    for x in (-1.0, 0.0, 1.0):
        learner.tell((seed, x), x * seed)
learner.tell((9, 0.0), 0.1)
print(json.dumps([heavy, bool(learner.error[0.0] > 0), len(learner.to_dataframe())]))
"""


def test_a_placeholder_is_pickled_as_its_module(loaded: list[str]) -> None:
    with postponed("heavy"):
        import user
    assert pickle.loads(pickle.dumps(user.heavy)) is sys.modules["heavy"]


def test_a_module_that_another_thread_imports_just_now_is_not_postponed(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`find_spec` takes long enough for that: it imports the package that a module is in."""
    half_made = ModuleType("heavy")

    def slow_find_spec(name: str) -> object:
        sys.modules[name] = half_made
        return object()

    monkeypatch.setattr("adaptive_scheduler.io.system.postponed.find_spec", slow_find_spec)
    with postponed("heavy"):
        assert sys.modules["heavy"] is half_made
    assert sys.modules["heavy"] is half_made


ADAPTIVES_OWN = """
import gc, json, sys, weakref
from adaptive_scheduler.client.learners import process_setup as imports
imports.prepare_process()
import adaptive
frozen = gc.get_freeze_count(), any(adaptive.Learner1D is one for one in gc.get_objects())
import pandas.core.frame
from scipy.stats import norm
from scipy.stats.distributions import norm as same
import scipy.stats, pandas
users = norm is same is scipy.stats.norm, pandas.DataFrame is pandas.core.frame.DataFrame

class Cycle:
    def __init__(self):
        self.itself = self

left = []
for seconds in (0.1, 2.0):
    gone = weakref.ref(Cycle())
    imports.collect_garbage(seconds)
    left.append(gone() is not None)
settings = gc.isenabled(), gc.get_threshold()[0], sys.getswitchinterval()
print(json.dumps([frozen, users, left, settings]))
"""


def test_a_process_is_prepared() -> None:
    """In a process of its own: what is frozen stays so."""
    done = subprocess.run(
        [sys.executable, "-c", ADAPTIVES_OWN], capture_output=True, text=True, check=True
    )
    (frozen, is_looked_at), users, left, settings = json.loads(done.stdout)
    assert frozen > 10_000
    assert not is_looked_at
    assert users == [True, True]
    assert left == [False, False]
    assert settings == [True, 20_000, 0.0003]


def test_adaptive_works_with_postponed_modules() -> None:
    """The names are adaptive's; where it uses one earlier, this is where it shows."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], True, 16]


BEFORE_POINTS = """
import json, sys
from adaptive_scheduler.client.learners import process_setup as imports
imports.prepare_process()
import adaptive
from adaptive_scheduler.io.learner_data import adaptive_private

triangles = adaptive.learner.learner1D.triangle_loss
average = adaptive.AverageLearner1D(max, (-1, 1), min_samples=3)
LEARNERS = {
    "sequence": lambda: adaptive.SequenceLearner(abs, [1]),
    "1d": lambda: adaptive.Learner1D(abs, (-1, 1)),
    "triangles": lambda: adaptive.Learner1D(abs, (-1, 1), loss_per_interval=triangles),
    "average": lambda: adaptive.BalancingLearner([adaptive.DataSaver(average, None)]),
    "2d": lambda: adaptive.Learner2D(abs, ((-1, 1), (-1, 1))),
    "nd": lambda: adaptive.LearnerND(abs, ((-1, 1), (-1, 1))),
    "integrator": lambda: adaptive.IntegratorLearner(abs, (-1, 1), tol=1e-3),
}
adaptive_private.prepare(LEARNERS[sys.argv[1]]())
print(json.dumps([name for name in imports.SELDOM_USED if name in sys.modules]))
"""


@pytest.mark.parametrize(
    ("learner", "needed"),
    [
        ("sequence", None), ("1d", None), ("triangles", "scipy.spatial"), ("average", "scipy.stats"),
        ("2d", "scipy.interpolate"), ("nd", "scipy.spatial"), ("integrator", "scipy.linalg"),
    ],
)  # fmt: skip
def test_a_learner_that_needs_a_postponed_module_has_it_before_its_first_point(
    learner: str, needed: str | None
) -> None:
    """A point that came while it was imported was in no journal for 0.6 s, and a kill lost it."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_POINTS, learner], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = json.loads(done.stdout)
    assert imported == [] if needed is None else needed in imported


EVERY_LEARNER = """
import json, pickle, sys
from adaptive_scheduler.client.learners import process_setup as imports
imports.prepare_process()
import adaptive, cloudpickle
from adaptive.learner import learner1D, learner2D, learnerND

def f(x):
    return sum(x) if isinstance(x, tuple) else x * x

two, many = ((-1, 1), (-1, 1)), ((-1, 1), (-1, 1), (-1, 1))
learners = [
    adaptive.Learner1D(f, (-1, 1), loss_per_interval=learner1D.curvature_loss_function()),
    adaptive.Learner1D(lambda x: [x, x**2], (-1, 1), loss_per_interval=learner1D.triangle_loss),
    adaptive.Learner2D(f, two), adaptive.Learner2D(f, two, learner2D.resolution_loss_function()),
    adaptive.LearnerND(f, two), adaptive.LearnerND(f, many, learnerND.curvature_loss_function()),
    adaptive.IntegratorLearner(f, (-1, 1), tol=1e-6), adaptive.AverageLearner(lambda seed: seed, 0.1),
]
learners = [cloudpickle.loads(cloudpickle.dumps(one)) for one in learners]
for learner in learners:
    done = getattr(learner, "done", bool)  # an integral is
    adaptive.runner.simple(learner, goal=lambda it: it.npoints >= 40 or done())
at = [one(0.1, 0.2).item() for one in (learners[2].interpolator(), learners[4]._ip())]
print(json.dumps([
    [learner.npoints >= 33 for learner in learners], [round(one, 6) for one in at],
    round(learners[6].igral, 6), len(learners[2].to_dataframe()) >= 40,
]))
"""


def test_every_learner_works_with_postponed_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERY_LEARNER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[True] * 8, [0.3, 0.3], 0.666667, True]


ANOTHER_CLASS = """
from adaptive_scheduler.client.learners.process_setup import CALLED
from adaptive_scheduler.io.system.postponed import postponed
with postponed(*CALLED, called=CALLED):
    import scipy.spatial
    from scipy.interpolate import LinearNDInterpolator as later
    from scipy.linalg import norm as later_norm
from scipy.interpolate import LinearNDInterpolator
from scipy.linalg import norm
from scipy.spatial import Delaunay
import numpy as np
corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
assert isinstance(LinearNDInterpolator, type) and isinstance(Delaunay, type)
assert type(later(Delaunay(corners), [0, 1, 1, 2])) is LinearNDInterpolator
assert later_norm([3, 4]) == norm([3, 4]) == 5
"""


def test_after_the_import_of_adaptive_names_are_the_real_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_CLASS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


LOG = """
import io, json, sys
from adaptive_scheduler.io.system import logs
import structlog
heavy = sorted({"asyncio", "rich.console", "rich.pretty", "rich.traceback"} & set(sys.modules))
printed = io.StringIO()
log = structlog.wrap_logger(structlog.PrintLogger(printed), processors=[structlog.dev.ConsoleRenderer()])
try:
    reason = 7
    1 / 0
except ZeroDivisionError:
    log.error("failed", exc_info=True)
    frames = structlog.processors.ExceptionDictTransformer()(sys.exc_info())
found = ["ZeroDivisionError" in printed.getvalue(), "\u256d" in printed.getvalue()]
import rich.pretty, asyncio
print(json.dumps([heavy, found, frames[0]["frames"][0]["locals"]["reason"], asyncio.iscoroutine(1)]))
"""


def test_structlog_has_rich_and_asyncio_when_it_uses_them() -> None:
    """They are not imported by clients and managers, whose logs are JSON; a user's own log has them."""
    done = subprocess.run([sys.executable, "-c", LOG], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], [True, True], "7", False]


POINTS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import adaptive
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
before = adaptive.runner.with_distributed, adaptive.runner.with_ipyparallel
learner = adaptive.SequenceLearner(lambda x: 2 * x, [1, 2])
with ThreadPoolExecutor(1) as pool:
    outcome = run_learner(LearnerWork(learner, sys.argv[1], None, pool, 1))
imported = sorted({"distributed", "ipyparallel"} & set(sys.modules))
after = adaptive.runner.with_distributed, adaptive.runner.with_ipyparallel
print(json.dumps([learner.result(), imported, before, after]))
"""


def test_a_learner_is_run_without_the_import_of_dask_and_ipyparallel(tmp_path: Path) -> None:
    """Both are installed here; adaptive imports them to ask whether it was given a pool of theirs."""
    command = [sys.executable, "-c", POINTS, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[2, 4], [], [True, True], [True, True]]
