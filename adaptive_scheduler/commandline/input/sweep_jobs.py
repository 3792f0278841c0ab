"""What a sweep's file and options say of its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adaptive_scheduler.core.suggestions import keys_instead
from adaptive_scheduler.errors import InputError


def job_settings(
    written: Mapping[Any, Any], typed: Mapping[str, Any], known: Sequence[str]
) -> dict[str, Any]:
    """Return the settings of jobs, those that were typed before those of the file.

    Parameters
    ----------
    written : mapping
        ``job:`` of the file.
    typed : mapping
    known : sequence of str

    Raises
    ------
    InputError
        There is no such setting, or there are settings but no scheduler.
    """
    found: dict[str, Any] = {}
    for key, value in written.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise InputError(f"job: there is no {key}.{keys_instead(name, known)}")
        if name in ("cores", "gpus", "max_jobs", "max_cores") and (
            type(value) is not int or value < 1
        ):
            raise InputError(f"job: {key}: {value!r} must be a whole number of at least 1.")
        pairs = name == "extra_env_vars" and isinstance(value, dict)
        found[name] = [f"{one}={its}" for one, its in value.items()] if pairs else value
    found |= typed
    if found and "scheduler" not in found:
        raise InputError(
            f"{', '.join(found)}: without a scheduler there are no jobs. Give --scheduler slurm, or "
            "`job: {scheduler: slurm}` in the file."
        )
    return found
