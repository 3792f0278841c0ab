"""What TAB shows of the public modules: public names, and nothing that they import."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

import adaptive_scheduler
from tests.requirements import locked

MODULES = (
    "",
    ".scheduler",
    ".server_support",
    ".client_support",
    ".errors",
    ".sweeps",
    ".emews",
    ".utils",
    ".widgets",
)


@pytest.mark.parametrize("module", MODULES)
def test_a_public_module_shows_its_public_names_alone(module: str) -> None:
    public = importlib.import_module(f"adaptive_scheduler{module}")
    assert dir(public) == sorted(public.__all__)
    for name in public.__all__:
        assert getattr(public, name) is not None


@pytest.mark.parametrize("module", MODULES)
def test_a_name_that_is_not_there_is_an_attribute_error(module: str) -> None:
    public = importlib.import_module(f"adaptive_scheduler{module}")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = public.nothing


def test_every_error_is_a_public_name() -> None:
    errors = [
        name for name, value in vars(adaptive_scheduler.errors).items() if inspect.isclass(value)
    ]
    assert sorted(errors) == dir(adaptive_scheduler.errors)


def test_the_modules_are_attributes_of_the_package() -> None:
    code = (
        "import sys, json, adaptive_scheduler; before = list(sys.modules); "
        "print(json.dumps([name for name in before if name.startswith('adaptive_scheduler')])); "
        "print(adaptive_scheduler.errors.InputError.__name__, adaptive_scheduler.widgets.info.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, names = done.stdout.splitlines()
    assert json.loads(before) == ["adaptive_scheduler"]
    assert names == "InputError info"


def test_the_groups_are_the_same_wherever_they_are_found() -> None:
    for name in ("Limits", "Network", "Saving", "RunManager"):
        assert getattr(adaptive_scheduler, name) is getattr(adaptive_scheduler.server_support, name)


def test_the_signature_of_a_run_manager_completes_and_is_typed() -> None:
    signature = inspect.signature(adaptive_scheduler.RunManager)
    kinds = {one.kind for one in signature.parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert inspect.Parameter.VAR_POSITIONAL not in kinds
    untyped = [one.name for one in signature.parameters.values() if one.annotation is one.empty]
    assert untyped == []


def test_what_users_import_runs_nothing_of_asyncio() -> None:
    """The modules that each job or notebook imports first are cheap."""
    code = (
        "import sys, adaptive_scheduler.server_support, adaptive_scheduler.client_support; "
        "print({'asyncio', 'numpy', 'adaptive', 'zmq', 'msgspec'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("imported", "unneeded"),
    [
        (
            "from adaptive_scheduler.scheduler import SLURM",
            ["importlib.metadata", "adaptive_scheduler.executors.registry"],
        ),
        (
            "from adaptive_scheduler.server_support import RunManager",
            ["html", "difflib", "adaptive_scheduler.runs.check"],
        ),
        (
            "import adaptive_scheduler.cli",
            ["hashlib", "json", "rich.live", "adaptive_scheduler.runs.views.render"],
        ),
    ],
)
def test_what_is_seldom_needed_is_imported_when_it_is(imported: str, unneeded: list[str]) -> None:
    code = f"import sys; before = set(sys.modules); {imported}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not (set(unneeded) - _imported_by_old_packages()) & set(done.stdout.split())


def _imported_by_old_packages() -> set[str]:
    """What msgspec and rich import themselves, before the versions that are locked."""
    has_old = any(
        Version(importlib.metadata.version(name)) < min(locked()[name])
        for name in ("msgspec", "rich")
    )
    return {"html", "json"} if has_old else set()


def test_all_public_modules_are_packaged() -> None:
    folder = Path(adaptive_scheduler.__file__).parent
    assert all((folder / f"{module[1:]}.py").exists() for module in MODULES if module)
