"""Learners, fnames and the goal, taken from the user's Python file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from adaptive_scheduler.commandline.input.suggestions import did_you_mean
from adaptive_scheduler.commandline.input.values import parse_goal_text
from adaptive_scheduler.errors import InputError, UserCodeError


@dataclass(frozen=True)
class LearnersFile:
    """What a learners file defines.

    Attributes
    ----------
    learners, fnames : list
        Of equal length.
    goal : object
        What the file calls ``goal``; None if it has none.
    module : module
        The file, imported.
    """

    learners: list[Any]
    fnames: list[Any]
    goal: Any
    module: ModuleType


def load_learners_file(path: Path) -> LearnersFile:
    """Import a file that defines ``learners`` and ``fnames``.

    Its folder goes to the front of ``sys.path``, as if Python ran it.

    Raises
    ------
    InputError
        There is no such file, or it lacks one of the names.
    UserCodeError
        It raised.
    """
    if not path.is_file():
        beside = [str(other) for other in path.parent.glob("*.py")]
        raise InputError(
            f"{path} is no file.{did_you_mean(str(path), beside)} Give a Python file that defines "
            "learners and fnames."
        )
    module = _import(path.absolute())
    missing = [name for name in ("learners", "fnames") if not hasattr(module, name)]
    if missing:
        raise InputError(
            f"{path} does not define {' and '.join(missing)}. It needs two lists of equal length: "
            "learners, and fnames (where the data of each go)."
        )
    return LearnersFile(
        list(module.learners), list(module.fnames), getattr(module, "goal", None), module
    )


def _import(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    with as_user_code(str(path)):
        spec.loader.exec_module(module)
    return module


def goal_of(file: LearnersFile | None, text: str | None) -> Any:
    """Return the goal that was typed, else the file's own, else None.

    Raises
    ------
    InputError
        There is no function of this name.
    """
    if text is None:
        return None if file is None else file.goal
    goal = parse_goal_text(text)
    if not isinstance(goal, str):
        return goal
    return _function(None if file is None else file.module, goal)


def _function(module: ModuleType | None, name: str) -> Callable[[Any], bool]:
    where, colon, attribute = name.rpartition(":")
    if colon:
        with as_user_code(f"module {where}"):
            module = importlib.import_module(where)
    if module is None:
        raise InputError(
            f"--goal {name}: in which file is this function? Write MODULE:{name}, or give "
            "--learners-file."
        )
    function = getattr(module, attribute, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value)]
        raise InputError(
            f"--goal {name}: {module.__name__} has no function {attribute!r}."
            f"{did_you_mean(attribute, functions)} Give the name of a function that takes a "
            "learner, or a number of points, a loss or a time."
        )
    return function  # type: ignore[no-any-return]


class as_user_code:  # noqa: N801  reads as a verb in a with statement
    """The border to the user's code: what it raises becomes a `UserCodeError`."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        if isinstance(error, Exception):
            text = "".join(traceback.format_exception(error))
            reason = f"{type(error).__name__}: {error}"
            raise UserCodeError(self._where, reason, text) from error
