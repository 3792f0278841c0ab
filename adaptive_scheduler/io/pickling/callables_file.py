"""Stores the user's functions and other objects by name in one file, each pickled alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import USER_RAISES, FileError, InputError, UserCodeError
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling import by_value
from adaptive_scheduler.io.pickling.diagnose import explain_unpicklable


def write_callables(path: files.Name, objects: Mapping[str, Any]) -> None:
    """Write objects by name; replaces the file atomically, readable by this user only.

    Raises
    ------
    InputError
        One cannot be pickled; the text names it and the attribute.
    """
    pickled: dict[str, bytes] = {}
    for name, value in objects.items():
        try:
            pickled[name] = by_value.dumps_by_value(value)
        except USER_RAISES as error:  # the border to the user's code: anybody's __reduce__
            raise InputError(explain_unpicklable(value, name, "", error)) from error
    files.write_atomically(path, msgspec.msgpack.encode(pickled), mode=0o600)


def read_callable(path: files.Name, name: str, default: Any = None) -> Any:
    """Load one object, without the others; `default` if there is none of that name.

    Raises
    ------
    FileError, PermissionsError
        The file cannot be read, or others could have written it.
    UserCodeError
        It cannot be loaded here, because its module is missing or raises, for example.
    """
    return load_callable(path, files.read_private(path), name, default)


def load_callable(path: files.Name, data: bytes, name: str, default: Any = None) -> Any:
    """Load one object from the content of such a file; see `read_callable`."""
    try:
        pickled = msgspec.msgpack.decode(data, type=dict[str, bytes])
    except NOT_DECODED as error:
        raise FileError(
            path, f"is not a file of callables ({error}). Start the run again."
        ) from error
    if name not in pickled:
        return default
    try:
        return by_value.loads(pickled[name])
    except BaseException as error:  # the border to the user's code: whatever its modules raise
        kind, message, text, _ = describe(error)
        raise UserCodeError(f"{name}, when loaded,", f"{kind}: {message}", text) from error
