"""The futures of a driver: which is whose, and how each ends."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, InvalidStateError
from concurrent.futures.process import _RemoteTraceback  # so that it is shown as theirs
from operator import itemgetter
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.messages import Request
from adaptive_scheduler.core.wire.tasks import CloseRun, NewTask, Prioritise, TaskResult, Withdraw
from adaptive_scheduler.errors import InputError, TaskError, UnpicklableError
from adaptive_scheduler.runs.driver.command import Command, EncodedCommand
from adaptive_scheduler.runs.driver.driver import Driver
from adaptive_scheduler.runs.driver.encoding import FunctionKeys, encode_arguments
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.settings import Settings, checked_priority
from adaptive_scheduler.runs.driver.value_rules import ValueRule

#: Entries of one message.
MOST = 1000

AnyFuture = TaskFuture[Any]


class TaskBook:
    """Makes futures and ends them. It lives as long as its tasks, perhaps longer than its `Executor`.

    Parameters
    ----------
    folder : RunFolder
    initializers : list of callable
        Each worker calls them before its first task.
    """

    def __init__(self, folder: RunFolder, initializers: list[Any]) -> None:
        self.folder = folder
        self.fault: Exception | None = None
        self._lock = threading.Condition()
        self._futures: dict[int, AnyFuture] = {}
        self._early: dict[int, tuple[TaskResult, int]] | None = None  # while a Submit is under way
        self._elsewhere: dict[int, int] = {}  # ends that are not ours, and where to find them
        self._open = 0
        self._sent: list[AnyFuture] = []
        self._driver = Driver(folder, self)
        self._functions = FunctionKeys(self._driver.put_function, initializers)

    def start(self) -> None:
        """Begin to talk to the manager."""
        self._driver.start()

    # ------------------------------------------------------------------- from the user

    def submit(
        self,
        settings: Settings,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> AnyFuture:
        """Let a call or command be a task; returns at once, unless very many wait to be sent."""
        if self.fault is not None:
            raise BrokenExecutor(f"The run in {self.folder.home} takes no tasks: {self.fault}")
        self._check_after(settings)
        future: AnyFuture = TaskFuture(self, args, kwargs, settings)
        with self._lock:
            self._open += 1
        try:
            call, resources = self._call(future, function)
        except UnpicklableError as error:
            self.failed([future], error)
            return future
        except BaseException:
            self._close(1)
            raise
        if not self._driver.outbox.put_task(call, resources, future):
            self.failed([future], self.fault or BrokenExecutor("the driver has ended"))
        return future

    def _check_after(self, settings: Settings) -> None:
        for other in settings.after:
            if not isinstance(other, TaskFuture) or other._owner is not self:  # noqa: SLF001
                raise InputError(f"after: {other!r} is no future of this executor.")

    def _call(
        self, future: AnyFuture, function: Callable[..., Any]
    ) -> tuple[NewTask, TaskResources]:
        settings = future.settings
        resources = settings.resources or TaskResources()
        if isinstance(function, Command):
            resources = settings.resources or function.resources or resources
            future.command = self._encode(function, future, resources)
            key, spec = "", future.command.spec
        else:
            key = self._functions.key_of(function)
            spec = encode_arguments(future.args, future.kwargs)
        call = NewTask(spec, key, 0, settings.priority, settings.tag, settings.name,
                    settings.key, [], settings.retries, settings.timeout)  # fmt: skip
        return call, resources

    def _encode(
        self, command: Command, future: AnyFuture, resources: TaskResources
    ) -> EncodedCommand:
        if future.args:
            raise InputError(f"{command!r} takes its parameters by name: submit(command, x=1).")
        known = {
            "_name": future.settings.name, "_nodes": resources.nodes,
            "_ranks": resources.nodes * resources.ranks_per_node, "_index": self._open,
        }  # fmt: skip
        return command.encode(self.folder, future.kwargs, known)

    def prioritise(self, futures: Sequence[AnyFuture], priorities: Sequence[Any]) -> None:
        """Give tasks new priorities."""
        if len(futures) != len(priorities):
            raise InputError(f"There are {len(futures)} futures, but {len(priorities)} priorities.")
        numbers = [checked_priority(one) for one in priorities]
        for future, number in zip(futures, numbers, strict=True):
            future._priority = number  # noqa: SLF001
        pairs = [pair for pair in zip(futures, numbers, strict=True) if not pair[0].done()]

        def requests() -> Iterable[Request]:
            known = [(one.number, number) for one, number in pairs if one.number is not None]
            # the best ones first: they may begin while the others are on their way
            known.sort(key=itemgetter(1), reverse=True)
            for n in range(0, len(known), MOST):
                items, new = zip(*known[n : n + MOST], strict=True)
                yield Prioritise(list(items), list(new))

        self._driver.outbox.put(requests)

    def withdraw(self, future: AnyFuture) -> None:
        """Take note that a future was cancelled."""
        with self._lock:
            if future.number is not None:
                self._futures.pop(future.number, None)
        self._close(1)
        number = future.number
        if number is not None:
            self._driver.outbox.put(lambda: [Withdraw([number])])

    def withdraw_waiting(self) -> None:
        """Cancel all that has not been handed out."""
        self._driver.outbox.put(self._withdraw_waiting)

    def _withdraw_waiting(self) -> Iterable[Request]:
        with self._lock:
            items = list(self._futures)
        for n in range(0, len(items), MOST):
            yield Withdraw(items[n : n + MOST], waiting_only=True)

    def wait(self) -> None:
        """Wait until all have ended."""
        with self._lock:
            self._lock.wait_for(lambda: self._open <= 0)

    def close(self, *, closes_run: bool) -> None:
        """End the conversation with the manager."""
        if closes_run:
            self._driver.outbox.put(lambda: [CloseRun()])
        self._driver.close()

    def adopt(self, future: AnyFuture) -> None:
        """Take in the future of a task that was submitted before; only before `start`."""
        assert future.number is not None
        self._futures[future.number] = future
        self._open += 1

    # ------------------------------------------------------------------- from the driver's threads

    def is_sending(self, futures: list[AnyFuture]) -> None:
        """Keep ends that come from now on: they may be those of the tasks that are sent."""
        with self._lock:
            self._early = {}
            self._sent = futures

    def submitted(self, futures: list[AnyFuture], items: list[int]) -> list[int]:
        """Take the ids of tasks; returns ends' numbers from which results are wanted again."""
        cancelled: list[int] = []
        with self._lock:
            early, self._early, self._sent = self._early or {}, None, []
            ended: list[tuple[TaskResult, int]] = []
            pages: set[int] = set()
            for future, item in zip(futures, items, strict=True):
                future.number = item
                if future.done():
                    cancelled.append(item)
                    continue
                self._register(future, item)
                if item in early:
                    ended.append(early.pop(item))
                elif item in self._elsewhere:
                    pages.add(self._elsewhere[item])
            self._elsewhere.update((item, page) for item, (_, page) in early.items())
        for one, page in ended:
            self.ended([one], page)
        if cancelled:
            self._driver.outbox.put(lambda: [Withdraw(cancelled)])
        return sorted(pages)

    def _register(self, future: AnyFuture, item: int) -> None:
        first = self._futures.get(item)
        if first is None:
            self._futures[item] = future
        else:  # two futures of one key
            first.add_done_callback(lambda done: self._finish_like(future, done))

    def _finish_like(self, future: AnyFuture, done: Any) -> None:
        try:
            if done.cancelled():
                future.cancel()
                return
            if (error := done.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(done.result())
        except InvalidStateError:
            return
        future.facts = done.facts
        self._close(1)

    def ended(self, ended: list[TaskResult], page: int) -> None:
        """Take the ends above the number `page`."""
        mine: list[tuple[AnyFuture, TaskResult]] = []
        with self._lock:
            for one in ended:
                future = self._futures.pop(one.item, None)
                if future is None and self._early is not None:
                    self._early[one.item] = one, page
                    continue
                self._elsewhere[one.item] = page
                if future is not None:
                    mine.append((future, one))
        self._close(sum(_finish(future, one) for future, one in mine))

    def failed(self, futures: list[AnyFuture], error: Exception) -> None:
        """End futures that were refused."""
        n = 0
        for future in futures:
            try:
                future.set_exception(error)
            except InvalidStateError:  # cancelled meanwhile
                continue
            n += 1
        self._close(n)

    def broken(self, error: Exception) -> None:
        """End all futures: nothing more will come."""
        self.fault = error
        with self._lock:
            futures = [*self._futures.values(), *self._sent]
            self._futures.clear()
        self.failed([*futures, *self._driver.outbox.drop()], error)

    def _close(self, n: int) -> None:
        with self._lock:
            self._open -= n
            if self._open <= 0:
                self._lock.notify_all()


def _finish(future: AnyFuture, ended: TaskResult) -> bool:
    """End a future; False if it was cancelled before: then this is no news."""
    future.facts = TaskResult(
        ended.item, ended.phase, b"", "", b"", ended.reason, ended.code, ended.attempts,
        ended.seconds, ended.job,
    )  # fmt: skip
    try:
        if ended.phase == "cancelled":
            return _cancel(future)
        try:
            value = _value(future, ended)
        except BaseException as error:  # noqa: BLE001  the border to the user's code
            future.set_exception(error)
        else:
            future.set_result(value)
    except InvalidStateError:
        return False
    return True


def _cancel(future: AnyFuture) -> bool:
    """It was cancelled by somebody else."""
    if future.done() or not super(TaskFuture, future).cancel():
        return False
    future.set_running_or_notify_cancel()
    return True


def _value(future: AnyFuture, ended: TaskResult) -> Any:
    command = future.command
    takes_failures = (
        command is not None
        and isinstance(command.rule, ValueRule)
        and command.rule.takes_failures
        and ended.code > 0
    )
    if ended.phase != "done" and not takes_failures:
        raise _error_of(future, ended)
    if command is not None:
        return command.value(ended.code)
    data = Path(ended.path).read_bytes() if ended.path else ended.value
    try:
        return pickle.loads(data) if data else None
    except BaseException as error:
        raise UnpicklableError(
            f"Task {ended.item} is done, but its value cannot be loaded here "
            f"({type(error).__name__}: {error}). Return plain data, or import its classes here."
        ) from error


def _error_of(future: AnyFuture, ended: TaskResult) -> BaseException:
    if ended.error:
        name, message, text, pickled = pickle.loads(ended.error)
        if pickled is not None:
            error: BaseException = pickle.loads(pickled)
            error.__cause__ = _RemoteTraceback(f'\n"""\n{text}"""')  # type: ignore[arg-type]
            return error
        # a value that cannot leave its worker: see `executors.worker`
        kind = UnpicklableError if "cannot be pickled" in message else TaskError
        return kind(f"{name}: {message}\n\n{text}")
    reason = ended.reason or f"it failed with code {ended.code}"
    where = f" of job {ended.job}" if ended.job else ""
    log = f" Its output: {future.log}" if future.log is not None else ""
    return TaskError(f"Task {ended.item}{where}: {reason}.{log}")
