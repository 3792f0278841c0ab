"""Pickles that travel to another process with the code they need."""

from __future__ import annotations

import os
import pickle
import site
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import cloudpickle

_registering = threading.Lock()


def dumps_by_value(obj: object) -> bytes:
    """Pickle an object; what it uses of modules that are not installed goes along by value.

    Installed is what lies in the standard library or in a ``site-packages`` of
    this environment (also packages installed as editable by ``.pth`` files do
    not count: another process may start elsewhere). So a worker needs neither
    the user's ``learners_file.py`` nor its imports.
    """
    with by_value():
        data: bytes = cloudpickle.dumps(obj, protocol=pickle.HIGHEST_PROTOCOL)
    return data


@contextmanager
def by_value() -> Iterator[None]:
    """Inside, cloudpickle treats modules that are not installed as `dumps_by_value` says."""
    with _registering, _by_value(list(_loose_modules())):
        yield


def loads(data: bytes) -> Any:
    """Unpickle what `dumps_by_value` made; only for bytes that came from this user."""
    return pickle.loads(data)


def _loose_modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if (
            isinstance(file, str)
            and isinstance(module, ModuleType)
            and module.__name__ == name
            and name not in ("__main__", "__mp_main__")
            and not _is_installed(name, file)
        ):
            yield module


@cache
def _is_installed(name: str, file: str) -> bool:
    top = name.partition(".")[0]
    return (
        top == "adaptive_scheduler"
        or top in sys.stdlib_module_names
        or os.path.realpath(file).startswith(_installed_folders())
        or os.path.abspath(file).startswith(_installed_folders())  # noqa: PTH100  links count as they are
    )


@cache
def _installed_folders() -> tuple[str, ...]:
    paths = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.update([*site.getsitepackages(), site.getusersitepackages()])
    return tuple(
        form(path).rstrip(os.sep) + os.sep
        for path in paths
        for form in (os.path.realpath, os.path.abspath)
    )


@contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
    already = cloudpickle.list_registry_pickle_by_value()
    mine = [module for module in modules if module.__name__ not in already]
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)
