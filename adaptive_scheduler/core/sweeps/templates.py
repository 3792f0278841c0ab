r"""Templates of commands: their placeholders, and how these are filled.

``{p}`` is the value of p, ``[p]`` is ``--p value``. What of a text is a placeholder is decided
here alone; a value that is put in is never looked at again. A backslash before a placeholder makes
it a text: ``\[x]`` is ``[x]``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.core.sweeps.values import as_text
from adaptive_scheduler.errors import InputError

_NAME = r"[^\W\d][\w-]*"
#: ``{p}`` but not ``${p}`` of the shell, and ``[p]``.
_PLACEHOLDER = re.compile(rf"(\\?)(?:(?<!\$)\{{({_NAME})\}}|\[({_NAME})\])")
#: What a program of this package knows besides the parameters.
RESERVED = frozenset({
    "_gpus", "_nodes", "_ranks", "_hosts", "_name", "_output", "_index", "_attempt", "_json",
    "_param_file", "_datetime", "_time",
})  # fmt: skip
#: A reserved name in a text that has only its parameters: no value has a NUL.
_MARK = re.compile("\0(\\w+)\0")


class Placeholder(msgspec.Struct, frozen=True):
    """``{name}``, or ``[name]`` if it is an option."""

    name: str
    is_option: bool


class Template(msgspec.Struct, frozen=True):
    """A command before its parameters are known.

    Attributes
    ----------
    name : str
    pieces : list of str or Placeholder
    """

    name: str
    pieces: list[str | Placeholder]

    @property
    def placeholders(self) -> list[Placeholder]:
        """In their order."""
        return [one for one in self.pieces if isinstance(one, Placeholder)]


class Fillings(msgspec.Struct, frozen=True):
    """How the file says that placeholders are filled.

    Attributes
    ----------
    raw : set of str
        Parameters whose texts are not quoted.
    aliases : mapping
        Parameters that stand for others in ``[p]``.
    """

    raw: frozenset[str] = frozenset()
    aliases: Mapping[str, Any] = {}


def parse_template(name: str, text: str) -> Template:
    """Take a template to pieces; its lines become one.

    Raises
    ------
    InputError
        It is empty, or has one name in both forms.
    """
    line = re.sub(r"\s*\n\s*", " ", text).strip()
    if not line or "\0" in line:
        raise InputError(
            f"template {name}: there is nothing to run. Write a command, such as `{name}: python train.py [lr]`, "
            "or leave it out."
        )
    pieces: list[str | Placeholder] = []
    end = 0
    for match in _PLACEHOLDER.finditer(line):
        pieces.append(line[end : match.start()])
        escape, value, option = match.groups()
        is_text = bool(escape)
        pieces.append(match[0][1:] if is_text else Placeholder(value or option, bool(option)))
        end = match.end()
    made = Template(name, [one for one in (*pieces, line[end:]) if one])
    _refuse_both_forms(made)
    return made


def _refuse_both_forms(template: Template) -> None:
    forms: dict[str, bool] = {}
    for one in template.placeholders:
        if forms.setdefault(one.name, one.is_option) is not one.is_option:
            raise InputError(
                f"template {template.name}: {{{one.name}}} and [{one.name}] are both there, so that its "
                "value would be given twice. Leave one of them."
            )


def fill(template: Template, parameters: Mapping[str, Any], how: Fillings) -> str:
    """Return the command with its parameters; reserved names are left, for `complete`.

    Raises
    ------
    InputError
        A placeholder has no value, or one that cannot be written there; names both.
    """
    return "".join(
        one if isinstance(one, str) else _filled(template, one, parameters, how)
        for one in template.pieces
    )


def _filled(
    template: Template, one: Placeholder, parameters: Mapping[str, Any], how: Fillings
) -> str:
    if one.name in RESERVED:
        return f"--{one.name} \0{one.name}\0" if one.is_option else f"\0{one.name}\0"
    if one.name not in parameters:
        raise InputError(_no_value(template, one, parameters))
    value = parameters[one.name]
    if not one.is_option:
        return _value(template, one, value, how.raw)
    if one.name not in how.aliases:
        return _option(template, one, value, how.raw)
    targets = alias_of(how.aliases[one.name], value, f"alias {one.name}")
    options = [
        _option(template, Placeholder(target, True), its, how.raw)
        for target, its in targets.items()
    ]
    return " ".join(filter(None, options))


def _no_value(template: Template, one: Placeholder, parameters: Mapping[str, Any]) -> str:
    shown = f"[{one.name}]" if one.is_option else f"{{{one.name}}}"
    return (
        f"template {template.name}: {shown} has no value.{did_you_mean(one.name, {*parameters, *RESERVED})} "
        f"Give {one.name} in the document or in default; for the text itself write \\{shown}."
    )


def _value(template: Template, one: Placeholder, value: Any, raw: Collection[str]) -> str:
    if isinstance(value, bool):
        raise InputError(
            f"template {template.name}: {{{one.name}}} is {as_text(value)}, and a truth value is an "
            f"option: write [{one.name}]; for the word put quotes around it: '{as_text(value)}'."
        )
    if value is None or isinstance(value, list | dict):
        raise InputError(
            f"template {template.name}: the value of {one.name} is {as_text(value):.80}, but must be a "
            "number or a text. For a text put quotes around it."
        )
    if isinstance(value, str):
        return value if one.name in raw else shlex.quote(value)
    return str(value)


def _option(template: Template, one: Placeholder, value: Any, raw: Collection[str]) -> str:
    if isinstance(value, bool):
        return f"--{one.name}" if value else ""
    return f"--{one.name} {_value(template, one, value, raw)}"


def alias_of(alias: Any, value: Any, what: str) -> dict[str, Any]:
    """Return the parameters for which an alias stands, with this value.

    Parameters
    ----------
    alias : list or dict
        Names that get the value; or pairs of a value and the parameters that it means.
    value : object
    what : str
        For errors.

    Raises
    ------
    InputError
        It has no such value.
    """
    if isinstance(alias, list):
        return dict.fromkeys(alias, value)
    if (text := as_text(value)) in alias:
        found: dict[str, Any] = alias[text]
        return found
    raise InputError(
        f"{what} has no value {text}.{did_you_mean(text, alias)} It has {', '.join(alias)}."
    )


def complete(text: str, known: Mapping[str, Any], later: Collection[str] = ()) -> str:
    """Put the values of reserved names into a filled text; those of `later` stay."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in later:
            return match[0]
        its = known[name]
        return shlex.quote(its) if isinstance(its, str) else str(its)

    return _MARK.sub(value, text)


def reserved_in(text: str) -> set[str]:
    """Return the reserved names of a filled text."""
    return set(_MARK.findall(text))


def shown(text: str) -> str:
    """Return a filled text for people: a reserved name as ``{_name}``."""
    return _MARK.sub(r"{\1}", text)
