"""How a task is to be run: what `Executor.options` takes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from adaptive_scheduler.core.tasks.resources import TaskResources, as_checked
from adaptive_scheduler.core.tasks.retry_policy import NO_RETRIES, RetryPolicy
from adaptive_scheduler.core.times import seconds
from adaptive_scheduler.errors import InputError

#: Letters of a tag, a name and a key, and times that a task may be tried again.
LONGEST_TEXT, MOST_RETRIES = 10_000, 1_000_000


@dataclass(frozen=True)
class Settings:
    """How a task is to be run; `Executor.options` describes each."""

    priority: float = 0.0
    tag: str = ""
    name: str = ""
    key: str = ""
    resources: TaskResources | None = None
    policy: RetryPolicy = NO_RETRIES
    timeout: float | None = None
    after: tuple[Any, ...] = ()
    is_command: bool = False  # known of tasks that were submitted before

    def with_options(self, options: dict[str, Any]) -> Settings:
        """Return these settings with others; raises InputError that names what is wrong."""
        policy = {name: value for name, value in options.items() if name in _OF_POLICY}
        others = {name: value for name, value in options.items() if name not in _OF_POLICY}
        new = {**self.__dict__, **others, "policy": _checked_policy(self.policy, policy)}
        new["priority"] = checked_priority(new["priority"])
        for name in ("tag", "name", "key"):
            if not isinstance(new[name], str):
                raise InputError(f"{name}={new[name]!r} must be a text.")
            if len(new[name]) > LONGEST_TEXT or not _is_unicode(new[name]):
                raise InputError(
                    f"{name}={new[name]!r:.100} must be a text of Unicode, of at most {LONGEST_TEXT:,} "
                    "letters."
                )
        if new["resources"] is not None:
            new["resources"] = as_checked(new["resources"])
        if new["timeout"] is not None:
            new["timeout"] = seconds(new["timeout"], "timeout")
        if not isinstance(new["after"], Iterable):
            raise InputError(f"after={new['after']!r} must be a list of futures: after=[future].")
        new["after"] = tuple(new["after"])
        return Settings(**new)


#: Options that are kept together.
_OF_POLICY = ("retries", "max_crashes", "delay")


def _checked_policy(policy: RetryPolicy, options: dict[str, Any]) -> RetryPolicy:
    if "delay" in options:
        options["delay"] = seconds(options["delay"], "delay", zero=True)
    for name, value in options.items():
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if name != "delay" and not (is_whole and 0 <= value <= MOST_RETRIES):
            raise InputError(
                f"{name}={value!r} must be a whole number, 0 or more, at most {MOST_RETRIES:,}."
            )
    return msgspec.structs.replace(policy, **options) if options else policy


def _is_unicode(text: str) -> bool:
    """Whether it can be sent: names of files may have letters that are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_priority(value: Any) -> float:
    """Return a priority as a float; NaN has no place in an order, and the manager takes no infinity."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number):
        raise InputError(f"priority={value!r} must be a number, and finite.")
    return number
