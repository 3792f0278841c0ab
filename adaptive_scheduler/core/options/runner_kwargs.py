"""The ``runner_kwargs`` that users may give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adaptive_scheduler.core.options.keywords import close_names
from adaptive_scheduler.core.times import optional_seconds
from adaptive_scheduler.errors import InputError


def _is_length(value: Any) -> bool:
    try:
        optional_seconds(value, "grace", zero=True)
    except InputError:
        return False
    return True


#: What each must be; all else of a runner is decided by the scheduler and the run.
RUNNER_KWARGS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "retries": (
        "a whole number, 0 or more",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    ),
    "raise_if_retries_exceeded": ("True or False", lambda value: isinstance(value, bool)),
    "grace": ("a length of time (seconds, '30s') or None", _is_length),
    "log": ("True or False", lambda value: isinstance(value, bool)),
}
_ELSEWHERE = {
    "goal": "give goal= to RunManager",
    "executor": "give executor_type= to the scheduler",
    "ntasks": "give cores= to the scheduler",
}


def check_runner_kwargs(given: Any, name: str) -> Mapping[str, Any] | None:
    """Return them; InputError names what is wrong."""
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"{name}={given!r} must be a mapping such as {{'retries': 2}}.")
    for key, value in (given or {}).items():
        if key not in RUNNER_KWARGS:
            raise InputError(f"{name}: {key!r} cannot be given here: {_remedy(key)}.")
        what, is_right = RUNNER_KWARGS[key]
        if not is_right(value):
            raise InputError(f"{name}: {key}={value!r} must be {what}.")
    return given


def _remedy(key: Any) -> str:
    near = close_names(str(key), RUNNER_KWARGS)
    known = f"nown are {', '.join(sorted(RUNNER_KWARGS))}"
    return _ELSEWHERE.get(key, f"did you mean {near}? K{known}" if near else f"k{known}")
