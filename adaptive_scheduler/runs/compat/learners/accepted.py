"""Keywords of adaptive-scheduler 2 that `RunManager` takes without effect, and what there is instead."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from adaptive_scheduler.core.options.aliases import ALIASES, REPLACED

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Keyword -> the value that says nothing: adaptive-scheduler's own default.
USUAL: Mapping[str, Any] = {
    "cleanup_first": False,
    "db_fname": None,
    "job_manager_kwargs": None,
    "kill_interval": 60,
    "kill_manager_kwargs": None,
    "kill_on_error": "srun: error:",
    "loky_start_method": "loky",
    "max_log_lines": 500,
    "move_old_logs_to": "old_logs",
    "quiet": False,
}
_said: set[str] = set()


def take_former(given: Mapping[str, Any], usual: Mapping[str, Any] = USUAL) -> dict[str, Any]:
    """Return keywords without those that have no effect here; a warning names each of these once.

    Parameters
    ----------
    given : mapping
    usual : mapping
        Keyword to the value that is not worth a warning.
    """
    kept = {name: value for name, value in given.items() if name not in usual}
    for name in given.keys() - kept.keys():
        if given[name] != usual[name] and given[name]:
            say_once(name, REPLACED.get(name, "it has no effect here"))
    return kept


def say_once(name: str, instead: str) -> None:
    """Warn that a keyword has no effect, once in the life of this process."""
    if name in _said:
        return
    _said.add(name)
    warnings.warn(
        f"{name}= has no effect in this package: {instead}. See docs/migrating.md.", stacklevel=5
    )


def accepts_former(init: _Function) -> _Function:
    """Make an ``__init__`` take `USUAL` too; its signature stays its own."""

    @functools.wraps(init)
    def accepting(self: Any, *args: Any, **given: Any) -> None:
        init(self, *args, **take_former(given))
        self._given = {ALIASES.get(name, name): value for name, value in given.items()}

    return accepting  # type: ignore[return-value]
