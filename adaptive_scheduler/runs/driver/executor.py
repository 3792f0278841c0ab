"""`Executor`: a `concurrent.futures.Executor` whose calls are tasks of a run."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor as BaseExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.tasks import Call, Ended
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.executors.worker import Program
from adaptive_scheduler.io.pickling.by_value import dumps_by_value
from adaptive_scheduler.runs.driver.driver import Driver
from adaptive_scheduler.runs.driver.future import TaskFuture


class TaskError(AdaptiveSchedulerError):
    """A task was lost, killed, cut, or could not be started."""


@dataclass(frozen=True)
class Settings:
    """How a task is to be run."""

    priority: float = 0.0
    tag: str = ""
    name: str = ""
    key: str = ""
    resources: TaskResources = TaskResources()
    retries: int = 0
    timeout: float | None = None
    after: tuple[Any, ...] = ()


class Executor(BaseExecutor):
    """Runs calls as tasks of a run."""

    def __init__(self, folder: RunFolder | str | os.PathLike[str]) -> None:
        self.folder = folder if isinstance(folder, RunFolder) else RunFolder(folder)
        self._lock = threading.Condition()
        self._futures: dict[int, TaskFuture[Any]] = {}
        self._early: dict[int, Ended] = {}
        self._open: set[TaskFuture[Any]] = set()
        self._is_shut = False
        self._keys: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._driver = Driver(self.folder, self._submitted, self._ended, self._failed)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Let ``fn(*args, **kwargs)`` run as a task."""
        return self._submit(Settings(), fn, args, kwargs)

    def _submit(
        self,
        settings: Settings,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> TaskFuture[Any]:
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: TaskFuture[Any] = TaskFuture(self, args, kwargs, settings)
        spec = pickle.dumps((args, kwargs), protocol=pickle.HIGHEST_PROTOCOL)
        call = Call(spec, self._key_of(fn), 0, settings.priority, settings.tag, settings.name,
                    settings.key, [], settings.retries, settings.timeout)  # fmt: skip
        with self._lock:
            self._open.add(future)
        self._driver.submit(call, settings.resources, future)
        return future

    def _key_of(self, fn: Callable[..., Any]) -> str:
        try:
            if (known := self._keys.get(fn)) is not None:
                return known
        except TypeError:
            pass
        program = pickle.dumps(Program(os.getcwd(), tuple(sys.path), b"", b"", dumps_by_value(fn)))
        key = hashlib.blake2b(program, digest_size=16).hexdigest()
        self._driver.put_function(key, program)
        try:
            self._keys[fn] = key
        except TypeError:
            pass
        return key

    # ------------------------------------------------------------------- from the threads

    def _submitted(self, futures: list[TaskFuture[Any]], items: list[int]) -> None:
        early = []
        with self._lock:
            for future, item in zip(futures, items, strict=True):
                future.number = item
                self._futures[item] = future
                if self._early and (ended := self._early.pop(item, None)) is not None:
                    early.append(ended)
        if early:
            self._ended(early)

    def _ended(self, ended: list[Ended]) -> None:
        for one in ended:
            with self._lock:
                future = self._futures.pop(one.item, None)
                if future is None:
                    self._early[one.item] = one
                    continue
                self._open.discard(future)
            self._finish(future, one)
        with self._lock:
            if not self._open:
                self._lock.notify_all()

    def _finish(self, future: TaskFuture[Any], ended: Ended) -> None:
        future.facts = ended
        if future.cancelled():
            return
        if ended.phase == "done":
            try:
                data = Path(ended.path).read_bytes() if ended.path else ended.value
                value = pickle.loads(data) if data else None
            except BaseException as error:  # noqa: BLE001  the border to the user's code
                future.set_exception(error)
            else:
                future.set_result(value)
        elif ended.phase == "cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(_error_of(ended))

    def _failed(self, futures: list[TaskFuture[Any]], error: Exception) -> None:
        with self._lock:
            if not futures:
                futures, self._open = list(self._open), set()
            self._open.difference_update(futures)
            self._lock.notify_all()
        for future in futures:
            if not future.done():
                future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls."""
        self._is_shut = True
        if wait:
            with self._lock:
                self._lock.wait_for(lambda: not self._open)
            self._driver.close()


def _error_of(ended: Ended) -> BaseException:
    if ended.error:
        name, message, text, pickled = pickle.loads(ended.error)
        if pickled is not None:
            error: BaseException = pickle.loads(pickled)
            error.__cause__ = _RemoteTraceback(text)
            return error
        return TaskError(f"{name}: {message}\n\n{text}")
    return TaskError(ended.reason or f"task {ended.item} failed with code {ended.code}")


class _RemoteTraceback(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f'\n"""\n{self._text}"""'
