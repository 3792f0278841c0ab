"""Adds this machine to a sweep that runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.core.sweeps.slots import NodeShape, read_resource
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.runs.driver.start_run import has_manager
from adaptive_scheduler.runs.sweep.folders import SweepFolder
from adaptive_scheduler.runs.sweep.places import Place, beside_jobs, on_this_machine
from adaptive_scheduler.runs.sweep.start import read_file


def find_sweep(output: str, title: str | None) -> SweepFolder:
    """Return the sweep that runs in an output folder.

    Parameters
    ----------
    output : str
    title : str, optional
        Needed only if several run.

    Raises
    ------
    RunError
        There is none, or more than one.
    """
    folder = SweepFolder(output, title)
    if title is not None:
        running = [folder.run] if folder.run.config.exists() and has_manager(folder.run) else []
    else:
        running = [one for one in folder.all_runs() if has_manager(one)]
    if not running:
        raise RunError(
            f"{output}: no sweep runs there{_others(folder)}. Start one: adaptive-scheduler sweep -o {output}."
        )
    if len(running) > 1:
        names = ", ".join(one.home.name for one in running)
        raise InputError(f"{output}: several sweeps run there: {names}. Choose one: --title.")
    return SweepFolder(output, _title_of(running[0]))


def _others(folder: SweepFolder) -> str:
    names = [one.home.name for one in folder.all_runs() if has_manager(one)]
    return f" with this title.{did_you_mean(folder.run_name, names)}" if names else ""


def _title_of(run: RunFolder) -> str | None:
    title = _record(run.home / "sweep.json").get("title")
    return None if title is None else str(title)


def place_of_joiner(folder: SweepFolder, typed: list[str]) -> Place:
    """Return the slots of this machine for a sweep that another one has started.

    Parameters
    ----------
    folder : SweepFolder
    typed : list of str
        Its own GPUs; empty: those that were typed where the sweep was started, or its file says.
    """
    record = _record(folder.record)
    resource: list[str] | NodeShape | None = read_resource(typed or record.get("resource") or None)
    if resource is None and os.path.exists(record["yaml"]):  # noqa: PTH110
        resource = read_resource(read_file(record["yaml"]).resource)
    if record.get("in_jobs") and isinstance(resource, list):
        return beside_jobs(resource, record["cores_per_slot"])
    return on_this_machine(resource, record["cores_per_slot"])


def _record(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}): start the sweep once more.") from error
    return found
