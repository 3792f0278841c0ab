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
#: Of these, what says something elsewhere: how much `log_explorer` shows of a file.
KEPT = frozenset(["max_log_lines"])
_said: set[str] = set()


def take_former(
    given: Mapping[str, Any],
    usual: Mapping[str, Any] = USUAL,
    instead: Mapping[str, str] = REPLACED,
    kept: frozenset[str] = KEPT,
) -> dict[str, Any]:
    """Return keywords without those that have no effect here; a warning names each of these once.

    Parameters
    ----------
    given : mapping
    usual : mapping
        Keyword to the value that is not worth a warning; nor is one that only asks for nothing, such as None.
    instead : mapping
        Keyword to what to do instead.
    kept : frozenset of str
        Those that are not worth a warning, whatever they are.
    """
    for name in sorted((given.keys() & usual.keys()) - kept):
        if given[name] and not _is_usual(given[name], usual[name]):
            say_once(name, instead.get(name, "it has no effect here"))
    return {name: value for name, value in given.items() if name not in usual}


def _is_usual(value: Any, usual: Any) -> bool:
    """Whether a value, or each of a tuple, is the one by default."""
    some = value if isinstance(value, tuple) else (value,)
    return all(one is usual or bool(one == usual) for one in some)


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
