"""How many points a goal asks for: a number, all that the learner has, or not known."""

from __future__ import annotations

import builtins
import dis
import functools
from collections.abc import Callable
from numbers import Number
from types import FunctionType, MethodType
from typing import Any, TypeVar

from adaptive_scheduler.core.goals import NPoints

Goal = Callable[[Any], bool]
T = TypeVar("T")

#: Instructions of a goal that may be called with a stand-in for its learner: they read and compare.
#: None can change anything; a goal that has any other is not called.
_HARMLESS = (
    "RESUME", "NOP", "CACHE", "EXTENDED_ARG", "COPY", "SWAP", "PUSH_NULL", "NOT_TAKEN", "TO_BOOL",
    "LOAD_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_ATTR",
    "LOAD_METHOD", "STORE_FAST",
    "COMPARE_OP", "IS_OP", "BINARY_OP", "UNARY_", "JUMP_FORWARD", "JUMP_IF_", "POP_JUMP_",
    "POP_TOP", "RETURN_",
)  # fmt: skip
#: Calls are allowed too, if numbers and these functions are all that the goal can reach.
_CALLS = ("PRECALL", "CALL")
_WITHOUT_EFFECTS = (len, bool, int, float, min, max)
#: More points than this are not asked for.
_MOST = 2**40


class _Sized:
    """Stands for a learner's data."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n


class _Counted:
    """Stands for a learner of which only the number of points is known."""

    def __init__(self, n: int) -> None:
        self.npoints = n
        self.data = _Sized(n)


class _Ended:
    """Stands for a learner of which is known only whether it is done."""

    def __init__(self, is_done: bool) -> None:
        self._is_done = is_done

    def done(self) -> bool:
        return self._is_done


def asks_all(goal: Goal | None) -> bool:
    """Whether a goal is that the learner has no more points: None, or ``learner.done()``."""
    if goal is None:
        return True
    found = _tried(goal, lambda: bool(goal(_Ended(True))) and not goal(_Ended(False)))
    return bool(found)


def points_asked(goal: Goal | None) -> int | None:
    """The number of points that meets a goal.

    Known for a number given as such, and for a function that looks only at
    ``learner.npoints`` or ``len(learner.data)``: it is tried with stand-ins, if
    its bytecode shows that it does nothing but compare.

    Returns
    -------
    int or None
        None where the goal asks for something else, or this is not known.
    """
    if isinstance(goal, NPoints):
        return goal.n
    return None if goal is None else _tried(goal, lambda: _smallest(lambda n: goal(_Counted(n))))


def _tried(goal: Goal, try_it: Callable[[], T]) -> T | None:
    """The result of a try with stand-ins; None if the goal must not be tried, or uses anything else."""
    try:
        return try_it() if _is_harmless(goal) else None
    except BaseException:  # noqa: BLE001  the border to the user's code: it needs a real learner
        return None


def _smallest(is_met: Callable[[int], bool]) -> int | None:
    if is_met(0):
        return None
    high = 1
    while not is_met(high):
        high *= 2
        if high > _MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_met(middle) else (middle, high)
    return high


def _is_harmless(goal: Any) -> bool:
    """Whether calling it changes nothing and costs next to nothing."""
    while isinstance(goal, functools.partial | MethodType):
        goal = goal.func if isinstance(goal, functools.partial) else goal.__func__
    function = goal if isinstance(goal, FunctionType) else type(goal).__call__
    if not isinstance(function, FunctionType):
        return False
    code = list(dis.get_instructions(function))
    if any(one.opname == "BINARY_OP" and one.argrepr.endswith("=") for one in code):
        return False  # in place
    names = {one.opname for one in code}
    calls = {name for name in names if name.startswith(_CALLS)}
    if not all(name.startswith(_HARMLESS) for name in names - calls):
        return False
    return not calls or all(map(_has_no_effects, _reachable(function)))


def _has_no_effects(found: Any) -> bool:
    """Whether neither calling it, nor calling a method of it, can change anything."""
    return (
        found is None or isinstance(found, Number) or any(found is one for one in _WITHOUT_EFFECTS)
    )


def _reachable(function: FunctionType) -> list[Any]:
    """The objects that a function can reach besides its arguments."""
    known = {**vars(builtins), **function.__globals__}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    # not co_names: `data` of ``learner.data`` is no global, whatever a notebook calls so
    names = {
        one.argval for one in dis.get_instructions(function) if one.opname.startswith("LOAD_GLOBAL")
    }
    named = [known[name] for name in names if name in known]
    return [*named, *cells, *defaults]
