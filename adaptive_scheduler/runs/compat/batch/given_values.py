"""Values of schedulers as users give them: one, a tuple with one per learner, or callables in it."""

from __future__ import annotations

import inspect
from typing import Any

from adaptive_scheduler.errors import InputError


def is_deferred(option: str, value: Any) -> bool:
    """Whether a value is a callable that gives it; one that takes the number of workers is an executor."""
    if not callable(value):
        return False
    if option != "executor_type":
        return True
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def of_place(option: str, value: Any) -> Any:
    """Return a value; what a callable gives now."""
    return value() if is_deferred(option, value) else value


def value_at(given: Any, index: int | None) -> Any:
    """Return the value of a learner, or the one of all; a callable is called."""
    if isinstance(given, tuple):
        if index is None:
            raise InputError(f"There are {len(given)} values, one for each learner: give index=...")
        given = given[index]
    return given() if callable(given) else given


def with_exports(given: dict[str, Any]) -> dict[str, Any]:
    """Move ``extra_env_vars=["NAME=value"]`` to `extra_script`: the job's shell expands it."""
    exports = given.get("extra_env_vars")
    if not are_assignments(exports):
        return given
    kept = {key: value for key, value in given.items() if key != "extra_env_vars"}
    script = kept.get("extra_script") or ""
    if not isinstance(exports, tuple) and not isinstance(script, tuple):
        return {**kept, "extra_script": _exporting(exports, script)}
    n = len(exports) if isinstance(exports, tuple) else len(script)
    several = exports if isinstance(exports, tuple) else (exports,) * n
    scripts = script if isinstance(script, tuple) else (script,) * n
    if len(several) != len(scripts):
        raise InputError(
            f"extra_env_vars has {len(several)} entries and extra_script has {len(scripts)}: give one of each for "
            "each learner."
        )
    pairs = zip(several, scripts, strict=True)
    return {**kept, "extra_script": tuple(_exporting(one, text) for one, text in pairs)}


def are_assignments(value: Any) -> bool:
    """Whether variables were given as assignments for a shell, not as a dict."""
    some = value if isinstance(value, tuple) else (value,)
    return any(callable(one) or isinstance(one, list) for one in some)


def _exporting(assignments: Any, script: Any) -> Any:
    """Return shell lines that export, before those of `script`; later if one of both is a callable."""
    if callable(assignments) or callable(script):
        return lambda: _exporting(value_at(assignments, None), value_at(script, None))
    for one in assignments or ():
        if not isinstance(one, str) or "=" not in one:
            raise InputError(
                f"extra_env_vars: {one!r} must be a text such as 'NAME=value', which the job's shell "
                "expands, or give a dict of literal values."
            )
    return "\n".join(
        [*(f"export {one}" for one in assignments or ()), *([script] if script else [])]
    )
