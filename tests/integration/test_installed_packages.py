"""Which modules are installed: those go to jobs by name, and the user's own by value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USER_SITE = Path(f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")

#: What a package has inside; its text is in a pickle only if it goes by value.
MODULE = 'def f(x):\n    return x, "what it holds"\n'

PICKLE = """
import sys
from adaptive_scheduler.io.pickling.by_value import dumps_by_value
print(b"what it holds" in dumps_by_value({0}, with_source=False))
"""

RUN = """
import sys
from pathlib import Path
import adaptive
sys.path.append("there/site-packages")  # a relative one, in this process alone
import package.inner
from adaptive_scheduler import RunManager
from adaptive_scheduler.scheduler import LocalScheduler

if __name__ == "__main__":
    scheduler = LocalScheduler(cores=1, executor_type="sequential")
    learner = adaptive.SequenceLearner(package.inner.f, [1, 2])
    run_manager = RunManager(scheduler, [learner], ["data"], folder="run", interval=1)
    run_manager.start().wait(200)
    print(run_manager.status(), run_manager.load_learners()[0].result())
"""


def write(folder: Path, text: str = MODULE) -> Path:
    """Make a package with a module in a folder of packages."""
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "inner.py").write_text(text)
    return folder


def goes_by_value(
    folder: Path, before: str = "", what: str = "package.inner.f", **variables: str
) -> bool:
    """Pickle a function of the package in a fresh process, which has these variables."""
    python_path = os.pathsep.join(filter(None, [str(ROOT), variables.pop("PYTHONPATH", "")]))
    (folder / "pickle_it.py").write_text(
        f"{before}\nimport package.inner\n" + PICKLE.format(what), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "pickle_it.py"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": python_path, **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("entry", "by_value"),
    [
        ("a module's lib/python3.11/site-packages", False),
        ("usr/lib/python3/dist-packages", False),
        ("opt/site-packages/", False),  # as shells complete it
        ("my code", True),
        ("site-packages-of-mine", True),
        ("site-packages/of/mine", True),  # pip installs into no folder below
    ],
)
def test_a_package_found_by_pythonpath(tmp_path: Path, entry: str, by_value: bool) -> None:
    write(tmp_path / entry)
    assert goes_by_value(tmp_path, PYTHONPATH=f"{tmp_path}/{entry}") is by_value


def test_a_link_to_a_folder_of_packages(tmp_path: Path) -> None:
    write(tmp_path / "lib" / "site-packages")
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "view").symlink_to("lib/site-packages")
    assert not goes_by_value(tmp_path, PYTHONPATH=f"{tmp_path}/lib64/site-packages")
    assert goes_by_value(tmp_path, PYTHONPATH=f"{tmp_path}/view")  # a name of the user's own


@pytest.mark.parametrize(
    ("named", "by_value"), [("another/site-packages", False), ("a project/src", True)]
)
def test_a_package_found_by_a_pth_file(tmp_path: Path, named: str, by_value: bool) -> None:
    """The second is what an editable install leaves; its sources are the user's, and are edited."""
    write(tmp_path / named)
    (tmp_path / "own" / "site-packages").mkdir(parents=True)
    (tmp_path / "own" / "site-packages" / "more.pth").write_text(f"{tmp_path / named}\n")
    add = f"import site; site.addsitedir({str(tmp_path / 'own' / 'site-packages')!r})"
    assert goes_by_value(tmp_path, add) is by_value


def test_a_package_in_the_folder_of_the_user(tmp_path: Path) -> None:
    write(tmp_path / USER_SITE)
    add = (
        "import site; site.addsitedir(site.getusersitepackages())"  # no environment does it itself
    )
    assert not goes_by_value(tmp_path, add, PYTHONUSERBASE=str(tmp_path))


def test_a_folder_of_packages_that_comes_after_the_first_pickle(tmp_path: Path) -> None:
    write(tmp_path / "late" / "site-packages")
    before = (
        "import sys\nfrom adaptive_scheduler.io.pickling.by_value import dumps_by_value\n"
        "dumps_by_value(1)\nsys.path.append('late/site-packages')"
    )
    assert not goes_by_value(tmp_path, before)


def test_a_function_of_the_user_that_asks_one_of_a_package(tmp_path: Path) -> None:
    """It goes by value, and what it asks by name."""
    write(tmp_path / "site-packages")
    (tmp_path / "beside.py").write_text("import package.inner\ndef f(x): return package.inner.f(x)")
    before, python_path = "import beside", str(tmp_path / "site-packages")
    assert not goes_by_value(tmp_path, before, "beside.f", PYTHONPATH=python_path)


@pytest.mark.timeout(280)
def test_jobs_find_the_package_where_the_notebook_found_it(tmp_path: Path) -> None:
    """A module that cannot be pickled, as those of many packages."""
    text = f"import threading\nLOCK = threading.Lock()\n{MODULE}".replace(
        "return x", "LOCK; return x"
    )
    write(tmp_path / "there" / "site-packages", text)
    (tmp_path / "script.py").write_text(RUN)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = "finished [(1, 'what it holds'), (2, 'what it holds')]"
    assert done.stdout.splitlines()[-1] == expected
