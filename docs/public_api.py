"""Describe all public names of the ``adaptive_scheduler`` that this Python imports, as JSON.

Needs the standard library alone, so that any Python can run it: also one in which
adaptive-scheduler 2 is installed (`python -m docs.compat` does that).
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import types
from typing import Any

PACKAGE = "adaptive_scheduler"
#: The package itself comes last: what it shows has its home elsewhere.
MODULES = ("utils", "scheduler", "server_support", "client_support", "widgets", "")
#: Kinds of names without parameters.
VALUE = "value"


def describe() -> dict[str, Any]:
    """Full names (``utils.split``, ``RunManager.start``) to parameters, to `VALUE`, or to an earlier name."""
    names: dict[str, Any] = {}
    known: dict[int, str] = {}
    for module_name in MODULES:
        try:
            module = importlib.import_module(f"{PACKAGE}.{module_name}".rstrip("."))
        except ModuleNotFoundError:
            continue
        for name in public(module):
            full, thing = f"{module_name}.{name}".lstrip("."), getattr(module, name)
            first = known.setdefault(id(thing), full) if callable(thing) else full
            names.update(of_thing(full, thing) if first == full else {full: f"= {first}"})
    return names


def public(module: types.ModuleType) -> list[str]:
    """Names that a module says are its own, or that it defines."""
    listed = getattr(module, "__all__", None)
    own = [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "").startswith(PACKAGE) and not inspect.ismodule(thing)
    ]
    return sorted(name for name in (listed or own) if not name.startswith("_"))


def of_thing(full: str, thing: Any) -> dict[str, Any]:
    """What is known of one name, and of the members of a class."""
    if inspect.ismodule(thing):
        return {}
    if not inspect.isclass(thing):
        return {full: parameters(thing) if callable(thing) else VALUE}
    members = {
        f"{full}.{name}": of_member(inspect.getattr_static(thing, name))
        for name in dir(thing)
        if not name.startswith("_") and is_ours(thing, name)
    }
    return {full: parameters(thing), **members}


def is_ours(kind: type, name: str) -> bool:
    """Whether a class of the package has this member, not one that it inherits from elsewhere."""
    owner = next(one for one in kind.__mro__ if name in vars(one))
    return owner.__module__.startswith(PACKAGE)


def of_member(member: Any) -> Any:
    """The parameters of a method without the first, or `VALUE`."""
    if isinstance(member, staticmethod):
        return parameters(member.__func__)
    if isinstance(member, classmethod):
        member = member.__func__
    if not inspect.isfunction(member):
        return VALUE
    return dict(list(parameters(member).items())[1:])


def parameters(thing: Any) -> dict[str, str]:
    """Names of parameters to their defaults as text: ``"-"`` if there is none."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return {}
    return {name: text(one) for name, one in signature.parameters.items()}


def text(parameter: inspect.Parameter) -> str:
    """The default of a parameter as a text that is the same at each run."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
    if parameter.default is parameter.empty:
        return "-"
    if isinstance(parameter.default, (int, float, str, tuple, type(None))):
        return repr(parameter.default)
    return type(parameter.default).__name__


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe(), indent=1, sort_keys=True) + "\n")
