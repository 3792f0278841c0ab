"""Checks on the folder of a run: settings, keys, lock, manager, disk."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.doctor.findings import Finding, fine, wrong
from adaptive_scheduler.core.doctor.folders import judge_folders
from adaptive_scheduler.core.doctor.observations import LockSeen, UrlTried
from adaptive_scheduler.core.doctor.runs import (
    judge_files,
    judge_lock,
    judge_manager,
    judge_versions,
)
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Status
from adaptive_scheduler.errors import AdaptiveSchedulerError, ManagerUnreachableError
from adaptive_scheduler.io.doctor.folders import try_folder
from adaptive_scheduler.io.doctor.network import try_url
from adaptive_scheduler.io.doctor.run_files import see_lock, see_private_files
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.runs.doctor.guard import make_checks
from adaptive_scheduler.runs.manager_client import ManagerClient, snapshot_on_disk
from adaptive_scheduler.runs.start.environment import versions

#: Seconds that a manager may take to answer at each of its addresses.
_PATIENCE = 5.0


def look_at_run(folder: RunFolder) -> list[Finding]:
    """Make all checks of a run's folder; nothing is changed but for files that are tried and removed."""
    found = make_checks(
        {
            "run": lambda: _settings(folder),
            "keys": lambda: judge_files(see_private_files(folder), os.getuid()),
        }
    )
    if any(one.check == "run" and not one.ok for one in found):
        return found
    locks: list[LockSeen] = []
    found += make_checks(
        {"lock": lambda: _lock(folder, locks), "run-folder": lambda: _folders(folder)}
    )
    if locks and locks[0].alive:
        found += make_checks({"manager": lambda: _manager(folder, locks[0])})
    return found


def _settings(folder: RunFolder) -> list[Finding]:
    try:
        config = read_config(folder)
    except AdaptiveSchedulerError as error:
        return [wrong("run-unreadable", why=error)]
    if config.environment is None:
        return [fine("run", "its settings can be read")]
    then = {"Python": config.environment.python, **config.environment.versions}
    now = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}", **versions()}
    return judge_versions(then, now, _python(folder))


def _python(folder: RunFolder) -> str:
    """The Python of the last manager; "" if none has begun."""
    try:
        return folder.python.read_text(errors="replace").strip()
    except OSError:
        return "that of the start"


def _lock(folder: RunFolder, seen: list[LockSeen]) -> Finding:
    """Judge the lock, and append what was seen of it."""
    seen.append(see_lock(folder, over=snapshot_on_disk(folder, "none").over))
    return judge_lock(seen[-1], shlex.quote(str(folder.home)))


def _manager(folder: RunFolder, lock: LockSeen) -> Finding:
    """Ask the manager that holds the lock at each of its addresses."""
    assert lock.holder is not None
    tried: list[UrlTried] = []
    with suppress(ManagerUnreachableError):  # it has not said yet where it listens
        tried = [try_url(url) for url in read_address(folder).urls]
        if any(one.outcome == "mute" for one in tried):
            tried.append(_ask(folder))
    return judge_manager(tried, *lock.holder, shlex.quote(str(folder.home)))


def _ask(folder: RunFolder) -> UrlTried:
    with ManagerClient(folder, _PATIENCE) as client:
        try:
            client.ask(Status("none"))
        except ManagerUnreachableError as error:
            return UrlTried("any of them", "mute", str(error))
    return UrlTried(read_address(folder).urls[0], "answered")


def _folders(folder: RunFolder) -> list[Finding]:
    config = read_config(folder)
    places = [folder.home, folder.folder, Path(config.log_folder)]
    there = [place for place in dict.fromkeys(places) if place.exists()]
    found = judge_folders("run-folder", [try_folder(place) for place in there])
    return [*found, *_begin(config)]


def _begin(config: RunConfig) -> list[Finding]:
    where = config.environment.cwd if config.environment is not None else None
    if where is None or Path(where).is_dir():
        return []
    return [wrong("cwd-missing", folder=where)]
