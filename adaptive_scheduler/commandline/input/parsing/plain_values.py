"""Values that need no pydantic, which typer loads to convert any: that takes longer than `status` of a small run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import typer

#: What is said of a text that is empty, as of a shell's variable that is not set.
EMPTY = "It is empty: perhaps a variable is not set."
#: Conditions of a path that typer checks.
_CONDITIONS = (
    "exists",
    "readable",
    "writable",
    "resolve_path",
    "allow_dash",
    "path_type",
    "parser",
)


def converts_plain_values(parameter: Any) -> Any:
    """Let a parameter convert what is left out, texts and paths by itself, and leave the rest to typer."""
    is_done = isinstance(parameter.process_value, partial)
    if hasattr(parameter, "type_descriptor") and not is_done:  # typer before 0.27 has no pydantic
        parameter.process_value = partial(_process, parameter, parameter.process_value)
    return parameter


def _process(parameter: Any, by_typer: Any, ctx: Any, value: Any) -> Any:
    kind = parameter.type_descriptor.annotation
    is_one = not parameter.multiple and parameter.nargs == 1
    if value is None and not parameter.required and is_one:
        found: Any = None
    elif isinstance(value, str) and is_one and kind is str:
        found = value
    elif isinstance(value, str | Path) and is_one and kind is Path and not _conditions(parameter):
        found = _path(ctx, parameter, value)
    else:
        return by_typer(ctx, value)
    return found if parameter.callback is None else parameter.callback(ctx, parameter, found)


def _path(ctx: Any, parameter: Any, value: str | Path) -> Path:
    """Refuse an empty text: as a path it is the current folder, and `cancel` would cancel the run there."""
    if value == "":
        raise typer.BadParameter(EMPTY, ctx=ctx, param=parameter)
    return Path(value)


def _conditions(parameter: Any) -> bool:
    info = parameter.type_descriptor.parameter_info
    is_of_any_kind = getattr(info, "file_okay", True) and getattr(info, "dir_okay", True)
    return not is_of_any_kind or any(getattr(info, name, None) for name in _CONDITIONS)
