"""Checks on the folder of a run: settings, keys, lock, manager, disk."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.doctor.findings import Finding, fine, wrong
from adaptive_scheduler.core.doctor.folders import judge_folders
from adaptive_scheduler.core.doctor.observations import UrlTried
from adaptive_scheduler.core.doctor.runs import (
    judge_files,
    judge_lock,
    judge_manager,
    judge_versions,
)
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Status
from adaptive_scheduler.errors import AdaptiveSchedulerError, ManagerUnreachableError
from adaptive_scheduler.io.disk.lock import holder, is_alive
from adaptive_scheduler.io.doctor.folders import try_folder
from adaptive_scheduler.io.doctor.network import try_url
from adaptive_scheduler.io.doctor.run_files import see_lock, see_private_files
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.runs.doctor.guard import make_check
from adaptive_scheduler.runs.manager_client import ManagerClient, snapshot_on_disk
from adaptive_scheduler.runs.start.environment import versions

#: Seconds that a manager may take to answer at each of its addresses.
_PATIENCE = 5.0


def look_at_run(folder: RunFolder) -> list[Finding]:
    """Make all checks of a run's folder; nothing is changed but for files that are tried and removed."""
    found = [
        *make_check("run", lambda: _settings(folder)),
        *make_check("keys", lambda: judge_files(see_private_files(folder), os.getuid())),
    ]
    if any(one.check == "run" and not one.ok for one in found):
        return found
    return [
        *found,
        *make_check("lock", lambda: _lock(folder)),
        *make_check("manager", lambda: _manager(folder)),
        *make_check("run-folder", lambda: _folders(folder)),
    ]


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


def _lock(folder: RunFolder) -> Finding:
    seen = see_lock(folder, over=snapshot_on_disk(folder, "none").over)
    return judge_lock(seen, shlex.quote(str(folder.home)))


def _manager(folder: RunFolder) -> list[Finding]:
    """Ask the manager at each of its addresses; nothing if none lives."""
    found = holder(folder.lock)
    if found is None or not is_alive(folder.lock, found):
        return []
    try:
        address = read_address(folder)
    except ManagerUnreachableError:
        return [judge_manager([], found.host, found.pid, shlex.quote(str(folder.home)))]
    tried = [try_url(url) for url in address.urls]
    if any(one.outcome == "mute" for one in tried):
        tried = [*tried, _ask(folder)]
    return [judge_manager(tried, found.host, found.pid, shlex.quote(str(folder.home)))]


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
