"""All schedulers by name; a new one is added here, with a line in `BUILT_IN`.

Other packages add theirs with an entry point instead::

    [project.entry-points."adaptive_scheduler.schedulers"]
    flux = "my_package:Flux"
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.paths import SYSTEM_VARIABLE
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.schedulers.base import Scheduler

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: The group of entry points.
GROUP = "adaptive_scheduler.schedulers"

#: Name -> module and class, imported on first use. How to write the class: see
#: `schedulers.base.Scheduler`, and "Add a scheduler" in CONTRIBUTING.md.
BUILT_IN: Mapping[str, tuple[str, str]] = {
    "slurm": ("adaptive_scheduler.schedulers.slurm.scheduler", "SLURM"),
    "pbs": ("adaptive_scheduler.schedulers.pbs.scheduler", "PBS"),
    "local": ("adaptive_scheduler.schedulers.local", "LocalScheduler"),
}


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


def known_names() -> list[str]:
    """Return the names of all schedulers, those of this package first."""
    return [*BUILT_IN, *sorted(_entry_points())]


def scheduler_class(name: str) -> type[Scheduler]:
    """Return the class of a scheduler.

    Parameters
    ----------
    name : str
        ``"slurm"``, ``"pbs"``, ``"local"`` or a name that another package added.

    Raises
    ------
    InputError
        There is none of this name, or that of another package cannot be used.
    """
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        return _checked(getattr(importlib.import_module(module), attribute), name)
    point = _entry_points().get(name)
    if point is None:
        raise InputError(f"There is no scheduler {name!r}. Known: {', '.join(known_names())}.")
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"The scheduler {name!r} ({point.value}) cannot be imported: {error}. Mend or "
            f"uninstall the package that has it{_package(point)}."
        ) from error
    return _checked(found, f"{name}{_package(point)}")


def _package(point: EntryPoint) -> str:
    return "" if point.dist is None else f" ({point.dist.name})"


def _checked(found: Any, name: str) -> type[Scheduler]:
    if not isinstance(found, type) or not issubclass(found, Scheduler):
        raise InputError(
            f"The scheduler {name} is {found!r}, which is not a subclass of Scheduler."
        )
    return found


def detect(environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> str:
    """Return the name of this machine's batch system.

    Parameters
    ----------
    environ : mapping
        ``$ADAPTIVE_SCHEDULER_SYSTEM`` decides, if it is set.
    which : callable
        Gives the path of a program, or None.

    Raises
    ------
    InputError
        The variable names no scheduler, or Slurm and PBS are both here, or neither is.
    """
    chosen = environ.get(SYSTEM_VARIABLE)
    if chosen:
        if chosen not in known_names():
            known = ", ".join(known_names())
            raise InputError(f"${SYSTEM_VARIABLE}={chosen!r} is no scheduler. Known: {known}.")
        return chosen
    programs = {"slurm": "sbatch", "pbs": "qsub"}
    found = [name for name, program in programs.items() if which(program)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            "Both Slurm (sbatch) and PBS (qsub) are on PATH. Choose one: "
            f"scheduler=SLURM(...) or PBS(...), or ${SYSTEM_VARIABLE}=slurm or pbs."
        )
    raise InputError(
        "Neither Slurm (sbatch) nor PBS (qsub) is on PATH. To use this machine alone, give "
        f"scheduler=LocalScheduler(cores=...), or set ${SYSTEM_VARIABLE}=local."
    )
