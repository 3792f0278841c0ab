"""Pickles functions and arguments of tasks; makes values and errors of what comes back."""

from __future__ import annotations

import hashlib
import io
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures.process import _RemoteTraceback  # so that it is shown as theirs
from contextlib import contextmanager, suppress
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from adaptive_scheduler.core.wire.tasks import EndKind, LastTry, TaskResult
from adaptive_scheduler.errors import USER_RAISES, TaskError, UnpicklableError
from adaptive_scheduler.executors.worker import Program
from adaptive_scheduler.io.pickling.by_value import dumps_by_value
from adaptive_scheduler.io.pickling.diagnose import explain_unpicklable
from adaptive_scheduler.runs.driver.commands.command import EncodedCommand
from adaptive_scheduler.runs.driver.commands.value_rules import ValueRule
from adaptive_scheduler.runs.sites.site import CallPlace

#: Bytes of arguments that go into a message, and of a function that the manager takes at all.
LARGEST_SPEC, LARGEST_FUNCTION = 2**19, 10**9


class _NotPlainError(Exception):
    """An object has a class, which may have to travel with it."""


class NotPickledError(UnpicklableError, pickle.PicklingError):
    """The error as executors of the standard library raise it; who decodes messages has no pickle."""


class _PlainPickler(pickle.Pickler):
    """Pickles numbers, texts and containers of them, which is most of all, in a microsecond."""

    def reducer_override(self, _obj: Any) -> Any:
        raise _NotPlainError


def encode_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Pickle the arguments of a call; classes that are not installed go along.

    Raises
    ------
    UnpicklableError
        Names the argument.
    """
    with io.BytesIO() as file:
        try:
            _PlainPickler(file, pickle.HIGHEST_PROTOCOL).dump((args, kwargs))
            return file.getvalue()
        except _NotPlainError:
            pass
        except USER_RAISES:  # too deep, for example: the other one names it
            pass
    try:
        return dumps_by_value((args, kwargs), with_source=False)
    except USER_RAISES as error:  # the border to the user's code: anybody's __reduce__
        raise _named(args, kwargs, error) from error


def _named(args: tuple[Any, ...], kwargs: dict[str, Any], error: BaseException) -> UnpicklableError:
    for name, value in [*((f"argument {n}", one) for n, one in enumerate(args)), *kwargs.items()]:
        try:
            dumps_by_value(value, with_source=False)
        except USER_RAISES as own:  # the border to the user's code
            return NotPickledError(explain_unpicklable(value, name, "", own))
    return NotPickledError(explain_unpicklable((args, kwargs), "arguments", "", error))


def encode_call(
    functions: FunctionKeys, function: Callable[..., Any], args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[str, bytes]:  # fmt: skip
    """Return the key of a function, and the pickled arguments of one call of it.

    Arguments that are too large for a message travel as a function does: in parts, to a file.

    Raises
    ------
    UnpicklableError
        Names the function or the argument.
    """
    key = functions.key_of(function)
    spec = encode_arguments(args, kwargs)
    if len(spec) > LARGEST_SPEC:
        return functions.key_of(partial(function, *args, **kwargs)), encode_arguments((), {})
    return key, spec


class FunctionKeys:
    """Pickles functions, each once.

    Parameters
    ----------
    put : callable
        Given key and pickle of each.
    place : callable
        Returns where functions are to run.
    initializers : list of callable
        Each worker calls them before its first task.
    """

    def __init__(
        self,
        put: Callable[[str, bytes], None],
        place: Callable[[], CallPlace],
        initializers: list[Any],
    ) -> None:
        self._put, self._place = put, place
        self._initializers = dumps_by_value(initializers) if initializers else b""
        self._keys: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._pinned: dict[int, str] = {}

    @contextmanager
    def pinned(self, function: Callable[..., Any]) -> Iterator[None]:
        """Pickle an object that may change, such as a `partial`, only once in this block."""
        try:
            self._pinned[id(function)] = self.key_of(function)
        except UnpicklableError:
            yield  # each call of it has this error as its result
            return
        try:
            yield
        finally:  # another thread may have had it pinned, too
            self._pinned.pop(id(function), None)

    def key_of(self, function: Callable[..., Any]) -> str:
        """Return the digest of a function's pickle.

        Raises
        ------
        UnpicklableError
            Names it.
        """
        is_fixed = isinstance(function, FunctionType | BuiltinFunctionType)
        known = self._keys.get(function) if is_fixed else self._pinned.get(id(function))
        if known is not None:
            return known
        place = self._place()
        if place.obstacle:
            raise UnpicklableError(f"{function!r:.200} cannot be sent: {place.obstacle}")
        try:
            pickled = dumps_by_value(function)
        except USER_RAISES as error:  # the border to the user's code
            name = getattr(function, "__qualname__", type(function).__qualname__)
            raise NotPickledError(
                explain_unpicklable(function, f"function {name}", "", error)
            ) from error
        group = hashlib.blake2b(self._initializers, digest_size=16).digest()
        program = Program(place.folder, place.path, group, self._initializers, pickled)
        data = pickle.dumps(program)
        if len(data) > LARGEST_FUNCTION:
            raise UnpicklableError(
                f"{function!r:.200} is {len(data) / 1e9:.3g} GB when pickled, with its arguments if these "
                f"are large; at most {LARGEST_FUNCTION / 1e9:.3g} GB can be sent. Write large data into "
                "a file, and give its path."
            )
        key = hashlib.blake2b(data, digest_size=16).hexdigest()
        self._put(key, data)
        if is_fixed:
            self._keys[function] = key
        return key


# ------------------------------------------------------------------- what comes back


def decode_arguments(task: int, spec: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Load the arguments of a call; UnpicklableError if their classes are not here."""
    try:
        args, kwargs = pickle.loads(spec)
    except USER_RAISES as error:  # the border to the user's code: anybody's classes
        raise UnpicklableError(
            f"The arguments of task {task} cannot be loaded here ({type(error).__name__}: {error})."
        ) from error
    return args, kwargs


_decode_try = msgspec.msgpack.Decoder(LastTry).decode


def last_try(ended: TaskResult | None) -> LastTry | None:
    """Return where and when a task was tried last; None if it has not ended, or never begun."""
    return _decode_try(ended.last_try) if ended is not None and ended.last_try else None


def decode_value(
    ended: TaskResult, command: EncodedCommand | None, read: Callable[[str], bytes]
) -> Any:
    """Return the value of a task that has ended.

    Parameters
    ----------
    ended : TaskResult
    command : EncodedCommand, optional
    read : callable
        Returns the content of a file of the run.

    Raises
    ------
    BaseException
        What it raised; or `TaskError`, `UnpicklableError`.
    """
    rule = None if command is None else command.rule
    takes_failures = isinstance(rule, ValueRule) and rule.takes_failures
    last = last_try(ended)
    has_exited = last is not None and last.kind is EndKind.EXIT
    if ended.phase != "done" and not (takes_failures and has_exited):
        raise _error_of(ended, last, command)
    if command is not None:
        return _value_of(command, ended, last)
    try:
        data = read(ended.path) if ended.path else ended.value
    except OSError as error:
        raise TaskError(
            f"Task {ended.item} is done, but the file of its value, {ended.path}, cannot be read: "
            f"{error.strerror}."
        ) from error
    try:
        return pickle.loads(data) if data else None
    except USER_RAISES as error:  # the border to the user's code: anybody's classes
        raise UnpicklableError(
            f"Task {ended.item} is done, but its value cannot be loaded here "
            f"({type(error).__name__}: {error}). Return plain data, or import its classes here."
        ) from error


def _value_of(command: EncodedCommand, ended: TaskResult, last: LastTry | None) -> Any:
    """Return what the rule of a command finds; what it raises tells of which task."""
    where = f"{_described(ended, last)}: the program ended with status {ended.code}"
    place = f" Its folder: {command.folder}" if command.folder is not None else ""
    try:
        return command.value(ended.code)
    except TaskError as error:
        raise TaskError(f"{where}, but {error}{place} Its output: {command.log}") from None
    except Exception as error:
        error.add_note(f"{where}. This was raised by value=, which reads its result.{place}")
        raise


def _error_of(
    ended: TaskResult, last: LastTry | None, command: EncodedCommand | None
) -> BaseException:
    """Return what a task raised, or an error that says what happened to it, and where."""
    if ended.error:
        name, message, text, pickled = pickle.loads(ended.error)
        if pickled is not None:
            with suppress(*USER_RAISES):  # its class may not be here: the text is enough
                error: BaseException = pickle.loads(pickled)
                error.__cause__ = _RemoteTraceback(f'\n"""\n{text}"""')  # type: ignore[arg-type]
                return error
        # a value that cannot leave its worker: see `executors.worker`
        kind = NotPickledError if "cannot be pickled" in message else TaskError
        return kind(f"{name}: {message}\n\n{text}")
    reason = ended.reason.rstrip(".") or f"it failed with code {ended.code}"
    log = f" Its output: {command.log}" if command is not None else ""
    return TaskError(f"{_described(ended, last)}: {reason}.{log}")


def _described(ended: TaskResult, last: LastTry | None) -> str:
    """Return a task's id, and where it ran last: job, node, process, signal, memory, time."""
    if last is None:
        return f"task {ended.item}"
    found = [f"task {ended.item}", *([f"job {last.job}"] if last.job else [])]
    found += [f"node {last.node}"] if last.node else []
    found += [f"process {last.pid}"] if last.pid else []
    if last.kind is EndKind.SIGNAL and ended.code:
        found.append(f"signal {_signal_name(ended.code)}")
    found += [f"at most {last.peak / 2**30:.2f} GiB of memory"] if last.peak else []
    return ", ".join([*found, f"after {last.seconds:.3g} s", f"try {ended.attempts}"])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
