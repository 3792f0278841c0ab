"""Evaluates points in a worker process, with a function that was sent by value.

Imports only the standard library and cloudpickle, so that a worker costs what
its function needs; `received_code` and `signals` import no more.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cloudpickle

from adaptive_scheduler.executors import received_code

#: Values of these types are put into the reply as they are, others as pickles.
PLAIN_TYPES = frozenset({float, int, bool, str, bytes, complex, type(None)})

#: Functions that one worker keeps, and bytes of their pickles, at most.
MAX_FUNCTIONS, MAX_BYTES = 4096, 256 * 2**20

#: Kinds of replies to a message, and of values in a reply.
DONE, MISSING, SETUP_FAILED, READY = "done", "missing", "setup failed", "ready"
VALUE, PICKLED, ERROR = 0, 1, 2
#: For errors: which user code raised if the setup failed.
SETUP = "initializer, or the loading of your function in a worker,"


@dataclass(frozen=True)
class Program:
    """A function, with the setup that a worker needs before its first point.

    Attributes
    ----------
    folder : str
        Working directory of the worker.
    path : tuple of str
        Entries to add to `sys.path`.
    initializers_key : bytes
        Identifies the initializers: they run once in a worker, and share module globals with all
        functions of the same key.
    initializers, function : bytes
        Pickles of a list of callables (``b""`` if there are none), and of one callable.
    """

    folder: str
    path: tuple[str, ...]
    initializers_key: bytes
    initializers: bytes
    function: bytes


#: By their programs' keys: functions, the size of their pickles, and the folders to run in.
_functions: dict[bytes, tuple[Callable[[Any], Any], int, str]] = {}
_entered = ""  # the folder that was entered last
_modules: dict[bytes, received_code.Modules] = {}
_installing = threading.RLock()


def evaluate(
    key: bytes, program: bytes | str | None, arguments: bytes | list[Any], budget: float
) -> tuple[str, list[tuple[int, Any, float]]]:
    """Evaluate points one after the other, until all are done or `budget` is used up.

    Parameters
    ----------
    key : bytes
        Identifies the program.
    program : bytes, str or None
        Pickle of the `Program`, or a file with it; None if this worker should have it already.
    arguments : bytes or list
        One argument of the function per point; bytes are a pickle of the list.
    budget : float
        Seconds after which no further point is begun, so that results do not wait for slow
        points.

    Returns
    -------
    kind : str
        ``DONE``, ``MISSING`` (send the program) or ``SETUP_FAILED``.
    records : list of (int, object, float)
        Kind, value and seconds of each evaluated point. The value of an ``ERROR`` is (type name,
        message, traceback text, pickled exception or None).
    """
    if key not in _functions:
        pickled = _read(key, program) if isinstance(program, str) else program
        if pickled is None:
            return MISSING, []
        try:
            install(key, pickled)
        except BaseException as error:  # noqa: BLE001  the border to the user's code
            return SETUP_FAILED, [(ERROR, describe(error), 0.0)]
    function = _functions[key][0]
    calls = pickle.loads(arguments) if isinstance(arguments, bytes) else arguments
    return DONE, _packed(_evaluated(function, calls, budget))


def evaluate_when_ready(
    key: bytes, program: bytes | str | None, arguments: bytes | list[Any], budget: float
) -> tuple[str, list[tuple[int, Any, float]]]:
    """Like `evaluate`, but a program that this worker lacks is only installed.

    It then replies ``READY``. So the time that a message takes is that of its points alone.
    """
    if program is None or key in _functions:
        return evaluate(key, None, arguments, budget)
    kind, records = evaluate(key, program, [], budget)
    return (READY, []) if kind == DONE else (kind, records)


def _evaluated(
    function: Callable[[Any], Any], calls: list[Any], budget: float
) -> list[tuple[int, Any, float]]:
    clock = time.perf_counter
    records: list[tuple[int, Any, float]] = []
    begin = before = clock()
    for argument in calls:
        try:
            value, kind = function(argument), VALUE
        except BaseException as error:  # noqa: BLE001  the border to the user's code
            value, kind = describe(error), ERROR
        now = clock()
        records.append((kind, value, now - before))
        if now - begin > budget:
            break
        before = now
    return records


def _packed(records: list[tuple[int, Any, float]]) -> list[tuple[int, Any, float]]:
    """Pickle values that are not plain; a value that cannot be pickled is an error of its point."""
    return [
        (kind, value, seconds)
        if kind == ERROR or type(value) in PLAIN_TYPES
        else (*pickled(value), seconds)
        for kind, value, seconds in records
    ]


def pickled(value: Any) -> tuple[int, Any]:
    """Pickle a value: (``PICKLED``, bytes), or (``ERROR``, as `describe` has it) if it cannot be."""
    try:
        if type(value) in PLAIN_TYPES:
            return PICKLED, pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        return PICKLED, cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # noqa: BLE001  the border to the user's code
        name, message, text, _ = describe(error)
        reason = (
            f"the function returned a {type(value).__qualname__}, which cannot be sent from its "
            f"worker because it cannot be pickled ({name}: {message}). Return plain data instead."
        )
        return ERROR, ("TypeError", reason, text, None)


def describe(error: BaseException) -> tuple[str, str, str, bytes | None]:
    """Type name, message, traceback text and pickle of an exception (None if there is none)."""
    text = "".join(traceback.format_exception(error))
    pickled = None
    with suppress(BaseException):  # the text is enough; the object is an extra
        whole = cloudpickle.dumps(error)
        pickle.loads(whole)  # fails for one whose __init__ takes other arguments than its text
        pickled = whole
    return type(error).__name__, _message(error), text, pickled


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  a broken __str__ of the user's
        return "(its text cannot be made)"


def digest(data: bytes) -> bytes:
    """The key of a pickle: a hash of its bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()


def _read(key: bytes, file: str) -> bytes | None:
    """The program in a file; None if the file is missing here or has other content."""
    with suppress(OSError), open(file, "rb") as opened:  # noqa: PTH123  pathlib is not imported
        data = opened.read()
        return data if digest(data) == key else None
    return None


def installed(key: bytes) -> Callable[..., Any] | None:
    """The function of a program that this worker has, in whose folder it is now; None if it lacks it."""
    found = _functions.get(key)
    if found is None:
        return None
    if found[2] != _entered:
        _enter(found[2], ())
    return found[0]


def install(key: bytes, pickled: bytes) -> Callable[[Any], Any]:
    """Set up a program: folder, path, initializers, function. Raises what the user's code raises."""
    with _installing:  # a pool of threads
        if key not in _functions:
            _install(key, pickled)
        return _functions[key][0]


def _install(key: bytes, pickled: bytes) -> None:
    received_code.show_sources()
    program: Program = pickle.loads(pickled)
    _enter(program.folder, program.path)
    function = _initialized(program).loads(program.function)
    while _functions and (
        len(_functions) >= MAX_FUNCTIONS
        or sum(size for _, size, _ in _functions.values()) + len(pickled) > MAX_BYTES
    ):
        del _functions[next(iter(_functions))]
    _functions[key] = (function, len(pickled), program.folder)


def _initialized(program: Program) -> received_code.Modules:
    """The user's modules in this worker, after running the initializers."""
    if not program.initializers:
        return received_code.Modules()
    key = program.initializers_key
    if key not in _modules:
        modules = received_code.Modules()
        for initializer in modules.loads(program.initializers):
            initializer()
        modules.settle()
        _modules[key] = modules
    return _modules[key]


def _enter(folder: str, path: tuple[str, ...]) -> None:
    global _entered
    if folder and os.path.realpath(folder) != os.path.realpath("."):
        os.chdir(folder)
    _entered = folder
    sys.path.extend(entry for entry in path if entry not in sys.path)
