"""Which site a folder means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.options.checks import optional, path
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.ssh.far_place import is_far, read_url
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.runs.sites.local import LocalSite
from adaptive_scheduler.runs.sites.site import Site
from adaptive_scheduler.runs.views import notebook
from adaptive_scheduler.schedulers.here import Here

if TYPE_CHECKING:
    from adaptive_scheduler.runs.views.page.session import RunViews


def site_for(folder: Any, name: str, where: Any, python: str | None) -> Site:
    """Return the site of a run that is begun, or carried on.

    Parameters
    ----------
    folder : path-like or str, optional
        A path, or a url of ssh; default: by the run's name.
    name : str
        Of the run.
    where : Here or Scheduler
        Where its tasks run.
    python : str, optional
        On another host.

    Raises
    ------
    InputError, FarHostError
    """
    if not is_far(folder):
        refuse_python(python)
        return LocalSite(run_folder(optional(path)(folder, "folder"), name))
    refuse_here(where, folder)
    return _remote(folder, python, begins=True)


def site_of(folder: Any, python: str | None) -> Site:
    """Return the site of a run that exists."""
    if is_far(folder):
        return _remote(folder, python, begins=False)
    refuse_python(python)
    folder = path(folder, "folder")
    is_private = os.fspath(folder).endswith(".run")
    return LocalSite(RunFolder(folder) if is_private else run_folder(folder, ""))


def _remote(url: str, python: str | None, *, begins: bool) -> Site:
    from adaptive_scheduler.runs.sites.remote import RemoteSite  # seldom

    return RemoteSite(read_url(url), optional(path)(python, "python"), begins=begins)


@contextmanager
def closed_if_refused(site: Site) -> Iterator[None]:
    """Close a site if something raises in this block."""
    try:
        yield
    except BaseException:
        site.close()
        raise


def refuse_here(where: Any, name: str) -> None:
    """Raise InputError if tasks of a run on another host would run on this machine."""
    if isinstance(where, Here) and is_far(name):
        raise InputError(
            f"{where!r} runs tasks on this machine, which does not see the disks of {name}. Give a "
            "scheduler of there, such as SLURM(...), or LocalScheduler(cores=...) for that machine "
            "itself."
        )


def refuse_python(python: Any) -> None:
    """Raise InputError if a Python is named for a run on this machine."""
    if python is not None:
        raise InputError(
            f"python={python!r} is for a run on another host: folder='ssh://host/path'."
        )


def views_of(site: Site, interval: float) -> RunViews:
    """Return what opens views of the run at a site.

    Parameters
    ----------
    site : Site
    interval : float
        Seconds between two questions to the manager.
    """
    if isinstance(site, LocalSite):
        return notebook.local_views(site.folder, interval)
    from adaptive_scheduler.runs.sites.remote import RemoteSite  # seldom

    assert isinstance(site, RemoteSite)
    return site.views()
