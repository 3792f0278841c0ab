"""Keeps the newest return values of a function, for all processes of one machine."""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import os
import pickle
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing.managers import BaseManager
from threading import Lock
from typing import Any

import cloudpickle

from adaptive_scheduler.executors import process_pools, worker_process
from adaptive_scheduler.runs.compat.content import hash_anything

#: Where to find the values of another process: address and key of its manager.
Address = tuple[Any, bytes]


class RecentValues:
    """Values by their keys; of too many, those that were not asked for longest are dropped.

    Parameters
    ----------
    most : int
        How many there are at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> bytes | None:
        """Return a value; None if it is not there."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: str, value: bytes) -> None:
        """Keep a value, and drop the oldest one too many."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def all(self) -> dict[str, bytes]:
        """Return a copy of all of them."""
        with self._lock:
            return dict(self._values)


#: Those of a manager's own process.
_mine: RecentValues | None = None


def _values_here(most: int) -> RecentValues:
    """Return the values that this process, a manager's, has for all others."""
    global _mine
    _mine = _mine or RecentValues(most)
    return _mine


class _Manager(BaseManager):
    """The process that has the values; the others ask it."""


_Manager.register("values", _values_here, exposed=("get", "put", "all"))


class SharedValues:
    """Values that several processes have together; where these do not hear each other, each its own.

    Parameters
    ----------
    most : int
        How many there are at most.
    address : tuple, optional
        Where another process has them. Default: a process is started.
    """

    def __init__(self, most: int, address: Address | None = None) -> None:
        self._most = most
        self._manager = None if address else _started()
        self.address = _address_of(self._manager) if self._manager else address
        self._values = self._found()

    def _found(self) -> Any:
        """Return a proxy of the manager's values, or values of this process alone."""
        if self.address is None:
            return RecentValues(self._most)
        try:
            manager = _Manager(self.address[0], self.address[1])
            manager.connect()
            return manager.values(self._most)  # type: ignore[attr-defined]
        except (OSError, EOFError, multiprocessing.AuthenticationError):  # elsewhere, or gone
            return RecentValues(self._most)

    def ask(self, method: str, *args: Any) -> Any:
        """Call a method of `RecentValues`; of an own one from when the manager is gone."""
        try:
            return getattr(self._values, method)(*args)
        except (OSError, EOFError):
            self._values = RecentValues(self._most)
            return getattr(self._values, method)(*args)


def _started() -> _Manager | None:
    """Start a manager that ends with this process; None if this one may start none."""
    if multiprocessing.current_process().daemon:
        return None
    manager = _Manager(authkey=os.urandom(32), ctx=process_pools.spawn_context())
    manager.start(worker_process.start_pool_worker, (os.getpid(),))
    return manager


def _address_of(manager: _Manager) -> Address:
    return manager.address, bytes(manager._authkey)  # type: ignore[attr-defined]  # noqa: SLF001


def _is_plain(value: Any) -> bool:
    """Whether the text of a value is that of no other: it is made of numbers and texts."""
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:  # of several keys, another order is no other value
        return len(value) < 2 and all(map(_is_plain, (*value, *value.values())))
    return type(value) in (int, float, complex, str, bool, type(None))


class LRUCachedCallable:
    """A function that keeps its newest return values, for all processes that it is sent to.

    Arguments are compared by content. Processes on another machine, and those that live longer than
    the one that made it, keep values of their own. A call whose arguments cannot be pickled is not kept.

    Parameters
    ----------
    function : callable
    max_size : int
        How many values are kept; 0: none.
    with_cloudpickle : bool
        Ignored: values are always pickled by cloudpickle.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        max_size: int = 128,
        with_cloudpickle: bool = False,  # noqa: ARG002  of older notebooks
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.max_size = max_size
        self._values: SharedValues | None = None
        self._mark = uuid.uuid4().hex  # one, so that its pickle is always the same
        self._lock = Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns, or has returned for equal arguments."""
        key = self._key(args, kwargs)
        if not key:
            return self.function(*args, **kwargs)
        kept = self._open().ask("get", key)
        if kept is not None:
            return cloudpickle.loads(kept)
        value = self.function(*args, **kwargs)
        self._open().ask("put", key, cloudpickle.dumps(value))
        return value

    @property
    def cache_dict(self) -> dict[str, Any]:
        """A copy of what is kept: values by their arguments as text, or by a hash of these."""
        kept = self._open().ask("all") if self.max_size else {}
        return {key: cloudpickle.loads(value) for key, value in kept.items()}

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the arguments as text if that says all of them, else a hash; "" if nothing is kept."""
        if not self.max_size:
            return ""
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        if all(map(_is_plain, arguments.values())):
            return str(arguments)
        try:
            return hash_anything(arguments)
        except (TypeError, AttributeError, pickle.PicklingError):
            return ""

    def _open(self) -> SharedValues:
        """Return the values; the process that has them is started when they are first needed."""
        with self._lock:
            self._values = self._values or SharedValues(self.max_size)
            return self._values

    @property
    def stands_for(self) -> Any:
        """What counts where it is hashed or compared: where its values are does not."""
        return self.function

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the function by value, and where its values are; where that calls itself, a mark stands for it."""
        around = _sent.get()
        if id(self) in around:
            return _itself, (around[id(self)],)
        address = self._open().address if self.max_size else None
        with _within(_sent, {**around, id(self): self._mark}):
            function = cloudpickle.dumps(self.function)
        return _received, (self._mark, function, self.max_size, address)


#: Those whose function is being pickled, by id, to their marks; and those that are being made again, by these.
_sent: ContextVar[Mapping[int, str]] = ContextVar("_sent", default={})  # noqa: B039  never changed
_made: ContextVar[Mapping[str, LRUCachedCallable]] = ContextVar("_made", default={})  # noqa: B039


@contextmanager
def _within(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def _itself(mark: str) -> LRUCachedCallable:
    return _made.get()[mark]


def _received(
    mark: str, function: bytes, max_size: int, address: Address | None
) -> LRUCachedCallable:
    cached = LRUCachedCallable.__new__(LRUCachedCallable)  # first: its function may hold it
    with _within(_made, {**_made.get(), mark: cached}):
        cached.__init__(cloudpickle.loads(function), max_size=max_size)  # type: ignore[misc]
    cached._mark = mark  # noqa: SLF001
    if address:
        cached._values = SharedValues(max_size, address)  # noqa: SLF001
    return cached


def shared_memory_cache(cache_size: int = 128) -> Callable[[Callable[..., Any]], LRUCachedCallable]:
    """Return a decorator that makes a `LRUCachedCallable` of a function.

    Parameters
    ----------
    cache_size : int
        How many values are kept.
    """
    return functools.partial(LRUCachedCallable, max_size=cache_size)
