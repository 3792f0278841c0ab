"""The options of schedulers: how they are named, and how each value is checked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from adaptive_scheduler.core.options.aliases import ALIASES
from adaptive_scheduler.core.options.checks import count, flag, optional
from adaptive_scheduler.core.options.keywords import resolve
from adaptive_scheduler.core.resources import (
    Resources,
    parse_environment,
    parse_executor_type,
    parse_memory,
    parse_walltime,
)
from adaptive_scheduler.core.texts import check_argument, check_line
from adaptive_scheduler.errors import InputError

Init = TypeVar("Init", bound=Callable[..., None])


def named_options(init: Init) -> Init:
    """Let an ``__init__`` accept other names of its options (`ALIASES`), and refuse unknown ones.

    The signature stays as it is written, so that an editor or a notebook completes it.
    """
    names = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **given: Any) -> None:
        options = resolve(given, names, type(self).__name__)
        others = {ALIASES[typed]: typed for typed in given if typed not in names}
        self.typed_names = {**self.typed_names, **others}
        init(self, *args, **options)

    return checked  # type: ignore[return-value]


def text(value: object, name: str) -> str:
    """Return a text that a shell can run, or raise InputError."""
    if not isinstance(value, str):
        raise InputError(f"{name}={value!r} must be a text.")
    return check_argument(value, name)


def line(value: object, name: str) -> str:
    """Return a text for a directive line of a job script, or raise InputError."""
    return check_line(text(value, name), name)


def words(value: object, name: str) -> tuple[str, ...]:
    """Return texts; a single text is a list of one."""
    if isinstance(value, str):
        return (check_line(value, name),)
    if not isinstance(value, Sequence) or not all(isinstance(word, str) for word in value):
        raise InputError(f"{name}={value!r} must be a list of texts such as ['--account=x'].")
    return tuple(check_line(word, name) for word in value)


def spread(values: dict[str, Any]) -> Resources:
    """Compute cores from nodes x cores_per_node, and check that they agree."""
    cores, nodes, per_node = (values.get(k) for k in ("cores", "nodes", "cores_per_node"))
    if nodes and per_node:
        if cores not in (None, nodes * per_node):
            raise InputError(
                f"cores={cores} does not equal nodes={nodes} x cores_per_node={per_node}: "
                "leave cores out."
            )
        values["cores"] = nodes * per_node
    elif cores is None:
        raise InputError("Give cores, or nodes and cores_per_node.")
    resources = Resources(**values)
    if resources.is_single_process and (resources.nodes or 1) > 1:
        raise InputError(
            f"executor_type={resources.executor_type!r} runs on one node, but nodes={nodes}. "
            "Use executor_type='mpi4py' for several."
        )
    return resources


#: The options that may be a tuple with one value per learner, and how each value is checked.
PER_LEARNER: Mapping[str, Callable[[Any, str], Any]] = {
    "cores": count(1),
    "nodes": optional(count(1)),
    "cores_per_node": optional(count(1)),
    "memory": parse_memory,
    "walltime": parse_walltime,
    "partition": line,
    "gpus": optional(count(1)),
    "exclusive": flag,
    "extra_scheduler": words,
    "extra_env_vars": parse_environment,
    "extra_script": text,
    "executor_type": parse_executor_type,
    "num_threads": count(1),
}
