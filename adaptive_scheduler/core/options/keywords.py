"""Resolves the keywords that a user gave: other names, groups, and misspelt ones."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from adaptive_scheduler.core.options.aliases import ALIASES, REPLACED
from adaptive_scheduler.errors import InputError, UnknownArgumentError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def resolve(
    given: Mapping[str, Any], known: Collection[str], caller: str, is_open: bool = False
) -> dict[str, Any]:
    """Return keywords under the names that `known` has for them.

    Parameters
    ----------
    given : mapping
        Keywords as the user wrote them.
    known : collection of str
        The names that are accepted, in the order in which an error lists them.
    caller : str
        What is called, for errors.
    is_open : bool
        Leave other names to the caller, which knows more of them.

    Raises
    ------
    InputError
        One thing is given by two of its names.
    UnknownArgumentError
        There is no such name; suggests those that are spelt alike.
    """
    written_as: dict[str, str] = {}
    for written in given:
        name = written if written in known else ALIASES.get(written, written)
        if name not in known:
            if not is_open:
                raise UnknownArgumentError(f"{caller}: {unknown(written, known)}")
            name = written
        if name in written_as:
            other = written if written != name else written_as[name]
            raise InputError(
                f"{caller}: {name}= and {other}= are two names for one thing: give {name}=."
            )
        written_as[name] = written
    return {name: given[written] for name, written in written_as.items()}


def unknown(name: str, known: Collection[str]) -> str:
    """Return what is wrong with an unknown name, and what to give instead."""
    if name in REPLACED:
        return f"{name!r} is no argument here: {REPLACED[name]}."
    near = close_names(name, known)
    remedy = f"Did you mean {near}?" if near else f"Known are {', '.join(known)}."
    return f"unknown argument {name!r}. {remedy}"


def close_names(name: str, known: Collection[str]) -> str:
    """Return the one or two names of `known` that are spelt like `name`, quoted, or ""."""
    from difflib import get_close_matches

    candidates = {one: one for one in known}
    candidates |= {other: its for other, its in ALIASES.items() if its in candidates}
    near = get_close_matches(name.lower(), candidates, n=2, cutoff=0.7)
    return " or ".join(repr(one) for one in dict.fromkeys(candidates[one] for one in near))


def ungroup(given: Mapping[str, Any], groups: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Replace each group of arguments, such as ``limits=Limits(...)``, by its fields.

    Raises
    ------
    InputError
        A group is of another type, or one of its fields is given beside it.
    """
    flat = {name: value for name, value in given.items() if name not in groups}
    for name, kind in groups.items():
        group = given.get(name)
        if group is None:
            continue
        if not isinstance(group, kind):
            raise InputError(
                f"{name}={group!r} must be made with {kind.__name__}(...), which is in "
                "adaptive_scheduler.server_support."
            )
        fields = {one.name: getattr(group, one.name) for one in dataclasses.fields(group)}
        for field in fields:
            if field in flat:
                raise InputError(
                    f"{name}= and {field}= are both given: write {name}={kind.__name__}("
                    f"{field}=...), or leave {name}= out."
                )
        flat.update(fields)
    return flat


def accept_aliases(**groups: type[Any]) -> Callable[[_Function], _Function]:
    """Make a decorator: the function also takes `ALIASES` of its keywords, and `groups` of them.

    Its signature stays its own. Keywords that it does not have are refused by `resolve`.
    """

    def decorate(function: _Function) -> _Function:
        code = function.__code__
        known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        caller = function.__qualname__.removesuffix(".__init__")
        shown = tuple(name for name in known if name != "self")
        is_open = bool(code.co_flags & inspect.CO_VARKEYWORDS)

        @functools.wraps(function)
        def resolving(*args: Any, **given: Any) -> Any:
            return function(*args, **ungroup(resolve(given, shown, caller, is_open), groups))

        return resolving  # type: ignore[return-value]

    return decorate
