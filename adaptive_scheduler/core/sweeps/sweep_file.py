"""A sweep's file, checked: what its documents may say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.core.sweeps.templates import RESERVED, Fillings, Template, parse_template
from adaptive_scheduler.core.sweeps.values import as_text, check_name, check_value
from adaptive_scheduler.core.times import seconds
from adaptive_scheduler.errors import InputError

#: Of the first document.
KEYS = ("template", "resource", "default", "alias", "pack", "raw", "timeout", "job")
#: Of the others, besides parameters.
TITLE, COMMANDS = "_title", "_cmd"
#: Bytes of a command's name, which is part of the names of logs.
LONGEST_COMMAND = 50


class Document(msgspec.Struct, frozen=True):
    """One document of parameters.

    Attributes
    ----------
    name : str
        For errors: its number in the file, and its title.
    title : str
        "" if it has none.
    commands : list of str
        Those that it is restricted to; empty: all.
    choices : dict
        Parameter to its list of values.
    """

    name: str
    title: str
    commands: list[str]
    choices: dict[str, list[Any]]


class SweepFile(msgspec.Struct, frozen=True):
    """All that a file says.

    Attributes
    ----------
    name : str
        For errors.
    templates : list of Template
    documents : list of Document
    defaults : dict
    aliases, packs : dict
        Name to a list of parameters, or to a dict: a value, as `as_text` has it, to parameters.
    raw : set of str
    resource : object
        As it is written.
    job : dict
    timeouts : dict of str to float
        Command to seconds.
    """

    name: str
    templates: list[Template]
    documents: list[Document]
    defaults: dict[str, Any]
    aliases: dict[str, Any]
    packs: dict[str, Any]
    raw: frozenset[str]
    resource: Any
    job: dict[str, Any]
    timeouts: dict[str, float]

    @property
    def fillings(self) -> Fillings:
        """How its placeholders are filled."""
        return Fillings(self.raw, self.aliases)

    @property
    def commands(self) -> list[str]:
        """Names of its templates."""
        return [one.name for one in self.templates]

    def titled(self, title: str | None) -> list[int]:
        """Return the numbers of the documents of a title; None: of all.

        Raises
        ------
        InputError
            There is none.
        """
        found = [n for n, one in enumerate(self.documents) if title in (None, one.title)]
        if not found:
            titles = sorted({one.title for one in self.documents} - {""})
            known = (
                f"has this one.{did_you_mean(str(title), titles)} There are: {', '.join(titles)}"
            )
            raise InputError(f"--title {title}: no document {known if titles else 'has a _title'}.")
        return found


def check_file(documents: list[Any], name: str) -> SweepFile:
    """Return what a file says.

    Parameters
    ----------
    documents : list
        As YAML has them; those that are None are empty.
    name : str
        Of the file, for errors.

    Raises
    ------
    InputError
        Names what is wrong and what to write.
    """
    try:
        return _checked(documents, name)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _checked(documents: list[Any], name: str) -> SweepFile:
    numbered = [(number, one) for number, one in enumerate(documents, 1) if one is not None]
    if not numbered or not all(isinstance(one, dict) for _, one in numbered):
        raise InputError(
            "each document must be a mapping, such as `template: {train: python train.py [lr]}` in the "
            "first one and `lr: [0.1, 0.01]` in the next, with a line --- between them."
        )
    first = numbered[0][1]
    _refuse_unknown(first)
    templates = _templates(first.get("template"))
    names = [one.name for one in templates]
    if len(numbered) < 2:
        raise InputError("there is no document of parameters: add one behind a line ---.")
    in_use = {one.name for template in templates for one in template.placeholders}
    aliases, packs = _stand_ins(first, "alias"), _stand_ins(first, "pack")
    known = in_use | _targets([*aliases.values(), *packs.values()])
    raw = _names(first.get("raw") or [], "raw")
    for one in raw:
        if one not in known:
            raise InputError(f"raw: no template has {one}.{did_you_mean(one, known)}")
    if both := aliases.keys() & packs.keys():
        raise InputError(f"{min(both)} is in alias and in pack. Leave one of them.")
    if used := packs.keys() & in_use:
        raise InputError(
            f"pack {min(used)}: a template has it, but should have the parameters for which it stands."
        )
    # an alias that no template has stands for its parameters everywhere, as a pack does
    replaced = {key: one for key, one in aliases.items() if key not in in_use}
    known |= {*aliases, *packs}
    return SweepFile(
        name, templates,
        [_document(number, one, names, known) for number, one in numbered[1:]],
        _parameters(_mapping(first, "default"), "default"),
        {key: one for key, one in aliases.items() if key in in_use}, {**packs, **replaced},
        frozenset(raw), first.get("resource"),
        _mapping(first, "job"), _timeouts(first.get("timeout"), names),
    )  # fmt: skip


def _targets(stand_ins: Iterable[Any]) -> set[str]:
    """The parameters for which aliases and packs stand."""
    found: set[str] = set()
    for one in stand_ins:
        found.update(
            one if isinstance(one, list) else (name for its in one.values() for name in its)
        )
    return found


def _refuse_unknown(first: Mapping[Any, Any]) -> None:
    for key in first:
        if key not in KEYS:
            raise InputError(
                f"the first document has a key {key!r}.{did_you_mean(str(key), KEYS)} It may have "
                f"{', '.join(KEYS)}; parameters are in the documents after it."
            )


def _mapping(first: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = first.get(key)
    if found is not None and not isinstance(found, dict):
        raise InputError(
            f"{key}: {found!r:.80} must be a mapping, such as `{key}: {{name: value}}`."
        )
    return found or {}


def _templates(found: Any) -> list[Template]:
    if not isinstance(found, dict) or not found:
        raise InputError(
            "template: there is no command. Write one, such as `template: {train: python train.py [lr]}`."
        )
    return [_template(name, text) for name, text in found.items()]


def _template(name: Any, text: Any) -> Template:
    check_name(name, "template")
    is_long = len(name.encode(errors="replace")) > LONGEST_COMMAND
    if "/" in name or not name.isprintable() or name.startswith("_") or is_long:
        raise InputError(
            f"template {name!r:.80}: the name is part of a file's name; use letters and digits, at most "
            f"{LONGEST_COMMAND}."
        )
    if not isinstance(text, str):
        raise InputError(
            f"template {name}: {text!r:.80} is no text for YAML: put quotes around it."
        )
    return parse_template(name, text)


def _stand_ins(first: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        check_name(name, kind): _stand_in(f"{kind} {name}", its)
        for name, its in _mapping(first, kind).items()
    }


def _stand_in(what: str, found: Any) -> Any:
    if isinstance(found, list) and found:
        return _names(found, what)
    if isinstance(found, dict) and found:
        return {
            as_text(check_value(value, what)): _parameters(its, f"{what}, value {as_text(value)}")
            for value, its in found.items()
        }
    raise InputError(
        f"{what}: {found!r:.80} must be a list of parameters that get its value, or a mapping from each "
        "value to the parameters that it means."
    )


def _parameters(found: Any, what: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise InputError(f"{what}: {found!r:.80} must be a mapping, such as {{name: value}}.")
    for name, value in found.items():
        _refuse_reserved(check_name(name, what), what)
        check_value(value, f"{what}: {name}")
    return found


def _refuse_reserved(name: str, what: str) -> None:
    if name in RESERVED or name in (TITLE, COMMANDS, "_commands"):  # the last is in param.json
        raise InputError(f"{what}: {name} is a reserved name. Choose another one.")


def _names(found: Any, what: str) -> list[str]:
    listed = found if isinstance(found, list) else [found]
    return [check_name(one, what) for one in listed]


def _document(
    number: int, found: dict[Any, Any], commands: list[str], known: Collection[str]
) -> Document:
    title = found.get(TITLE)
    what = f"document {number}{'' if title is None else f' ({title})'}"
    chosen = _names(found.get(COMMANDS) or [], f"{what}: {COMMANDS}")
    check_commands(chosen, commands, f"{what}: {COMMANDS}")
    choices: dict[str, list[Any]] = {}
    for name, values in found.items():
        if name in (TITLE, COMMANDS):
            continue
        _refuse_reserved(check_name(name, what), what)
        if name.startswith("_") and name not in known:  # _titel, which would select nothing
            raise InputError(
                f"{what}: there is no {name}, and no template has it."
                f"{did_you_mean(name, (TITLE, COMMANDS))} A document may have {TITLE}, {COMMANDS} and parameters."
            )
        choices[name] = values if isinstance(values, list) else [values]
        if not choices[name]:
            raise InputError(
                f"{what}: {name} is an empty list, so that there would be no task. Give it values, or leave it out."
            )
        for value in choices[name]:
            check_value(value, f"{what}: {name}")
    return Document(what, "" if title is None else str(title), chosen, choices)


def check_commands(chosen: Iterable[str], commands: list[str], what: str) -> None:
    """Raise InputError if one of these commands has no template."""
    for one in chosen:
        if one not in commands:
            raise InputError(
                f"{what}: there is no command {one}.{did_you_mean(one, commands)} There are: "
                f"{', '.join(commands)}."
            )


def _timeouts(found: Any, commands: list[str]) -> dict[str, float]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        return dict.fromkeys(commands, seconds(found, "timeout"))
    check_commands((check_name(one, "timeout") for one in found), commands, "timeout")
    return {name: seconds(one, f"timeout of {name}") for name, one in found.items()}
