"""Works out ``$(( ... ))``, as a pool's settings have it; no shell ever sees it."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable

from adaptive_scheduler.errors import InputError

#: What is read at most, and the largest number on the way: a pool has fewer cores than that.
LONGEST, LARGEST = 200, 10**9
_OPEN, _CLOSE = "$((", "))"
#: What may stand in it: of numbers, those that Python and a shell read alike.
_WORDS = re.compile(r"(?:[\s*/%()+-]|(?:0|[1-9][0-9]*)(?!\w)|[A-Za-z_]\w*(?!\w))*", re.ASCII)


def is_arithmetic(value: object) -> bool:
    """Whether a value is a text that is to be worked out."""
    return isinstance(value, str) and value.strip().startswith(_OPEN)


def compute(text: str, number_of: Callable[[str], int]) -> int:
    """Return the number that ``$(( CFG_NODES * CFG_PPN ))`` means.

    Parameters
    ----------
    text : str
    number_of : callable
        The number of a name in it; raises `InputError` for one that has none.

    Raises
    ------
    InputError
        It is more than whole numbers, names, ``+ - * / %`` and parentheses, or its numbers are
        too large.
    """
    inner = text.strip()
    if len(inner) > LONGEST or not (inner.startswith(_OPEN) and inner.endswith(_CLOSE)):
        raise _refusal(text)
    inner = inner[len(_OPEN) : -len(_CLOSE)].strip()
    if not _WORDS.fullmatch(inner):
        raise _refusal(text)
    try:
        tree = ast.parse(inner, mode="eval")
        return _value(tree.body, text, number_of)
    except ZeroDivisionError as error:
        raise InputError(f"{text}: it divides by zero.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, InputError):  # which is a ValueError
            raise
        raise _refusal(text) from error


def _refusal(text: str) -> InputError:
    return InputError(
        f"{text!r:.120} is more than arithmetic. Write whole numbers, other CFG_ keys of the pool, "
        "+ - * / % and parentheses, such as $(( CFG_NODES * CFG_PPN )). No shell is started for it."
    )


def _value(node: ast.expr, text: str, number_of: Callable[[str], int]) -> int:
    found: int
    match node:
        case ast.Constant(value=int(number)) if type(number) is int:  # True is none
            found = number
        case ast.Name(id=name):
            found = number_of(name)
        case ast.UnaryOp(op=ast.USub(), operand=one):
            found = -_value(one, text, number_of)
        case ast.UnaryOp(op=ast.UAdd(), operand=one):
            found = _value(one, text, number_of)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATIONS:
            operation = _OPERATIONS[type(sign)]
            found = operation(_value(left, text, number_of), _value(right, text, number_of))
        case _:
            raise _refusal(text)
    if abs(found) > LARGEST:
        raise InputError(f"{text!r:.120} has numbers of more than {LARGEST:,}.")
    return found


def _quotient(left: int, right: int) -> int:
    """As a shell divides: towards zero."""
    found = abs(left) // abs(right)
    return found if (left < 0) == (right < 0) else -found


def _remainder(left: int, right: int) -> int:
    return left - right * _quotient(left, right)


_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _quotient,
    ast.Mod: _remainder,
}
