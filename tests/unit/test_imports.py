"""Modules that a client imports only when somebody asks them for something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.client.imports import postponed

BODY = "import sys\nsys.loaded.append(__name__)\nanswer = 42\n"


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
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


def test_it_is_loaded_once_and_when_it_is_asked(loaded: list[str]) -> None:
    with postponed("heavy"):
        import user
    assert (loaded, "heavy" in sys.modules) == ([], False)
    assert user.heavy.answer == 42
    import heavy

    assert (user.heavy.other, heavy.answer) == (42, 42)
    assert loaded == ["heavy", "heavy.part"]


def test_asked_too_early_it_is_there(loaded: list[str]) -> None:
    with postponed("heavy"):
        import asker
    assert (asker.answer, loaded) == (42, ["heavy", "heavy.part"])
    assert sys.modules["heavy"].other == 42


def test_afterwards_it_is_imported_as_ever_its_parts_first(loaded: list[str]) -> None:
    with postponed("heavy"):
        import user
    from heavy.part import answer

    assert (answer, user.heavy.answer, loaded) == (42, 42, ["heavy", "heavy.part"])


def test_one_that_is_there_already_is_left_alone(loaded: list[str]) -> None:
    import heavy

    with postponed("heavy"):
        import user
    assert user.heavy is heavy


def test_one_that_is_not_installed_is_missing_as_ever() -> None:
    with postponed("no_such_module"), pytest.raises(ModuleNotFoundError):
        import no_such_module  # noqa: F401


def test_what_it_lacks_it_says_itself(loaded: list[str]) -> None:
    with postponed("heavy"):
        import user
    with pytest.raises(AttributeError, match="module 'heavy' has no attribute 'nothing'"):
        _ = user.heavy.nothing


PROGRAM = """
import json, sys
from adaptive_scheduler.client import imports
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


def test_adaptive_works_without_them_and_has_them_when_it_needs_them() -> None:
    """The names are adaptive's; where it uses one earlier, this is where it shows."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], True, 16]
