"""Records where `start()` was called: folder, Python path and versions, for the jobs."""

from __future__ import annotations

import importlib.metadata
import os
import sys

import msgspec

from adaptive_scheduler.core.config import Environment
from adaptive_scheduler.errors import EnvironmentMismatchError
from adaptive_scheduler.io.system import commands

#: Packages whose pickles may differ between versions.
PACKAGES = ("adaptive", "cloudpickle", "numpy")
#: Seconds that Python may take to start on a slow file system.
_TIMEOUT = 120.0


def record_environment() -> Environment:
    """Return the working directory, the user's additions to ``sys.path``, and versions.

    Raises
    ------
    EnvironmentMismatchError
        This Python cannot be started again.
    """
    return Environment(
        cwd=os.getcwd(),
        sys_path=foreign_entries(sys.path, own_entries(), os.getcwd()),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        versions=versions(),
    )


def foreign_entries(entries: list[str], own: list[str], cwd: str) -> list[str]:
    """Return the entries of a ``sys.path`` that are not its environment's own, made absolute."""
    absolute = [os.path.normpath(os.path.join(cwd, entry)) for entry in entries]  # noqa: PTH118
    return [entry for entry in dict.fromkeys(absolute) if entry not in own]


def own_entries() -> list[str]:
    """Return ``sys.path`` of a fresh ``python -I`` of this environment."""
    code = "import json, sys; print(json.dumps(sys.path))"
    result = commands.run([sys.executable, "-I", "-c", code], _TIMEOUT)
    try:
        return msgspec.json.decode(result.stdout, type=list[str])
    except msgspec.MsgspecError as error:
        raise EnvironmentMismatchError(
            f"{sys.executable} cannot be started a second time (exit status {result.rc}): "
            f"{result.stderr.strip()}"
        ) from error


def versions() -> dict[str, str]:
    """Return the versions of `PACKAGES`, without those that are not installed."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
