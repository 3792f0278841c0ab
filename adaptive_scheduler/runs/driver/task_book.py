"""The futures of a driver: which is whose, and how each ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, InvalidStateError
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import Any

import msgspec

from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.messages import Request
from adaptive_scheduler.core.wire.tasks import (
    CloseRun,
    DescribeTasks,
    Fetch,
    NewTask,
    Prioritise,
    TaskResult,
    TaskView,
    TaskViews,
    Withdraw,
)
from adaptive_scheduler.errors import InputError, UnpicklableError
from adaptive_scheduler.runs.driver.commands.command import Command, EncodedCommand, read_command
from adaptive_scheduler.runs.driver.driver import Driver
from adaptive_scheduler.runs.driver.encoding import (
    FunctionKeys,
    decode_arguments,
    decode_value,
    encode_call,
)
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.settings import Settings, checked_priority
from adaptive_scheduler.runs.driver.start_run import ManagerKeeper
from adaptive_scheduler.runs.sites.site import Site

#: Entries of one message.
MOST = 1000
#: Bytes of a command with its parameters: the manager takes no message of 16 MiB.
LARGEST_COMMAND = 4 * 2**20

AnyFuture = TaskFuture[Any]


class _OpenTasks:
    """Counts tasks that have not ended, so that somebody can wait for the last one."""

    def __init__(self) -> None:
        self.n = 0
        self._changed = threading.Condition()

    def add(self, n: int) -> None:
        with self._changed:
            self.n += n
            if self.n <= 0:
                self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.n <= 0)


class _Sending:
    """Tasks of a Submit that is under way, and ends that came meanwhile: they may be theirs."""

    def __init__(self, futures: list[AnyFuture]) -> None:
        self.futures = futures
        self.early: dict[int, TaskResult] = {}


class TaskBook:
    """Makes futures and ends them. It lives as long as its tasks, perhaps longer than its `Executor`.

    Parameters
    ----------
    site : Site
        Of the run.
    name : str
        Of its jobs.
    initializers : list of callable
        Each worker calls them before its first task.

    Attributes
    ----------
    keeper : ManagerKeeper
        Asks the manager what the sender does not, and starts it again.
    fault : Exception or None
        Why no more tasks can be submitted, and none will end.
    """

    def __init__(self, site: Site, name: str, initializers: list[Any]) -> None:
        self.site = site
        self.keeper = ManagerKeeper(site, name, lambda: self.has_work)
        self.fault: Exception | None = None
        self._lock = threading.Lock()
        self._futures: dict[int, AnyFuture] = {}
        self._sending: _Sending | None = None
        self._open = _OpenTasks()
        self._driver = Driver(site.whereabouts(), self)
        self._functions = FunctionKeys(self._driver.put_function, site.call_place, initializers)

    def start(self) -> None:
        """Begin to talk to the manager."""
        self._driver.start()
        self.keeper.watch(self.broken)

    @property
    def unfinished(self) -> int:
        """How many tasks of this driver have not ended."""
        return self._open.n

    @property
    def has_work(self) -> bool:
        """Whether a task has not ended, as far as is known here."""
        return self.fault is None and self._open.n > 0

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
            raise BrokenExecutor(f"The run in {self.site.name} takes no tasks: {self.fault}")
        self._check_after(settings)
        future: AnyFuture = TaskFuture(self, args, kwargs, settings)
        self._open.add(1)
        try:
            call, resources = self._call(future, function)
        except UnpicklableError as error:
            self.failed([future], error)
            return future
        except BaseException:
            self._open.add(-1)
            raise
        if not self._driver.put_task(call, resources, future):
            self.failed([future], self.fault or BrokenExecutor("the driver has ended"))
        return future

    def submit_many(
        self, settings: Settings, function: Callable[..., Any], iterable: Iterable[Any]
    ) -> list[AnyFuture]:
        """Let ``function(x)`` be a task for each x; a dict has the parameters of a `Command`."""
        if isinstance(function, Command):
            return [self._submit_command(settings, function, one) for one in iterable]
        with self._functions.pinned(function):
            return [self.submit(settings, function, (one,), {}) for one in iterable]

    def _submit_command(self, settings: Settings, command: Command, parameters: Any) -> AnyFuture:
        try:
            if not isinstance(parameters, Mapping):
                raise InputError(f"{parameters!r}: give a dict of parameters for {command!r}.")
            if unnamed := [name for name in parameters if not isinstance(name, str)]:
                raise InputError(f"{command!r}: {unnamed[0]!r} is no name of a parameter.")
            return self.submit(settings, command, (), dict(parameters))
        except (InputError, OSError, TypeError) as error:  # as an input that is gone
            return self.failed_at_submit(settings, error)

    def pinned(self, function: Callable[..., Any]) -> AbstractContextManager[None]:
        """Pickle an object that may change, such as a `partial`, only once in this block."""
        return self._functions.pinned(function)

    def failed_at_submit(self, settings: Settings, error: Exception) -> AnyFuture:
        """Return the future of a task that cannot be sent."""
        future: AnyFuture = TaskFuture(self, (), {}, settings)
        future.set_exception(error)
        return future

    def _check_after(self, settings: Settings) -> None:
        for other in settings.after:
            self._check_own("after", other)

    def _check_own(self, what: str, other: Any) -> None:
        is_of_run = isinstance(other, TaskFuture) and other.run == self.site.folder.database
        if not is_of_run or not (other.number is not None or other._owner is self):  # noqa: SLF001
            raise InputError(f"{what}: {other!r} is no future of this run.")

    def _call(
        self, future: AnyFuture, function: Callable[..., Any]
    ) -> tuple[NewTask, TaskResources]:
        settings = future.settings
        resources = settings.resources or TaskResources()
        if isinstance(function, Command):
            resources = settings.resources or function.resources or resources
            future.command = command = self._encode(function, future, resources)
            key, spec = "", command.spec
        else:
            key, spec = encode_call(self._functions, function, future.args, future.kwargs)
        call = NewTask(spec, key, 0, settings.priority, settings.tag, settings.name,
                    settings.key, [], settings.policy, settings.timeout)  # fmt: skip
        return call, resources

    def _encode(
        self, command: Command, future: AnyFuture, resources: TaskResources
    ) -> EncodedCommand:
        if future.args:
            raise InputError(f"{command!r} takes its parameters by name: submit(command, x=1).")
        known = {
            "_name": future.settings.name, "_nodes": resources.nodes,
            "_ranks": resources.nodes * resources.ranks_per_node, "_index": self._open.n,
        }  # fmt: skip
        encoded = command.encode(self.site, future.kwargs, known, future.settings.key)
        if len(encoded.spec) > LARGEST_COMMAND:
            raise InputError(
                f"{command!r} is {len(encoded.spec) / 1e6:.3g} MB with its parameters and value=; at most "
                f"{LARGEST_COMMAND / 1e6:.3g} MB can be sent. Write large data into a file, and give "
                "its path."
            )
        return encoded

    def prioritise(self, futures: Sequence[AnyFuture], priorities: Sequence[Any]) -> None:
        """Give tasks new priorities."""
        if len(futures) != len(priorities):
            raise InputError(f"There are {len(futures)} futures, but {len(priorities)} priorities.")
        numbers = [checked_priority(one) for one in priorities]
        for future in futures:
            self._check_own("update_priorities", future)
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
        number = future.number
        with self._lock:
            is_whole_task = number is not None and self._futures.get(number) is future
            if is_whole_task and number is not None:
                del self._futures[number]
        self._open.add(-1)
        if is_whole_task and number is not None:
            self._driver.outbox.withdraw(number)

    def withdraw_waiting(self, futures: Sequence[AnyFuture] | None = None) -> None:
        """Cancel all of these, or of this driver's, that have not been handed out."""
        self._driver.outbox.put(lambda: self._withdraw_waiting(futures))

    def _withdraw_waiting(self, futures: Sequence[AnyFuture] | None) -> Iterable[Request]:
        with self._lock:
            if futures is None:
                items = list(self._futures)
            else:
                items = [one.number for one in futures if one.number is not None and not one.done()]
        for n in range(0, len(items), MOST):
            yield Withdraw(items[n : n + MOST], waiting_only=True)

    def wait(self) -> None:
        """Wait until all have ended."""
        self._open.wait()

    def close(self, *, closes_run: bool) -> None:
        """End the conversation with the manager."""
        if closes_run and self.keeper.lives():  # else there is nobody who would answer
            self._driver.outbox.put(lambda: [CloseRun()])
        # one that has died is started again only while there is work
        self._driver.close(lambda: self.has_work or self.keeper.lives())
        self.keeper.close()

    def adopt(self, futures: Sequence[AnyFuture]) -> None:
        """Take in futures of tasks that were submitted before."""
        self._open.add(len(futures))
        with self._lock:
            for future in futures:
                assert future.number is not None
                self._register(future, future.number)
        items = [future.number for future in futures if future.number is not None]
        if not self._driver.outbox.put(lambda: [Fetch(items)]):
            self._adopt_ended(futures)

    def _adopt_ended(self, futures: Sequence[AnyFuture]) -> None:
        """Take what is on disk: this driver has ended, and hears nothing more."""
        self.ended(self.site.results())
        with self._lock:
            left = [one for one in futures if one.number in self._futures and not one.done()]
            for future in left:
                self._futures.pop(future.number or 0, None)
        reason = f"this executor was shut down before: Executor.attach({self.site.name!r})"
        self.failed(left, self.fault or BrokenExecutor(f"{reason} follows what has not ended."))

    def read_spec(
        self, future: AnyFuture
    ) -> tuple[tuple[Any, ...], dict[str, Any] | None, EncodedCommand | None]:
        """Return what a task of another process was submitted with: arguments, or its command."""
        assert future.number is not None
        spec = self.site.spec(future.number)
        if future.settings.is_command:
            command, parameters = read_command(self.site, spec)
            return (), parameters or None, command
        args, kwargs = decode_arguments(future.number, spec)
        return args, kwargs or None, None

    def describe(self, items: Sequence[int]) -> dict[int, TaskView]:
        """Return how tasks stand at this moment; empty if the manager does not answer.

        Raises
        ------
        RunError
            It has died and cannot be started again.
        """
        found: dict[int, TaskView] = {}
        for n in range(0, len(items), MOST):
            reply = self.keeper.ask(DescribeTasks(list(items[n : n + MOST])))
            assert isinstance(reply, TaskViews), reply
            found |= {view.item: view for view in reply.tasks}
        return found

    # ------------------------------------------------------------------- from the driver's threads

    def is_sending(self, futures: list[AnyFuture]) -> bool:
        """Keep ends that come from now on: they may be those of the tasks that are sent."""
        with self._lock:
            if self.fault is None:
                self._sending = _Sending(futures)
        if self.fault is not None:
            self.failed(futures, self.fault)
        return self.fault is None

    def submitted(self, futures: list[AnyFuture], items: list[int]) -> None:
        """Take the ids of tasks."""
        with self._lock:
            early = {} if self._sending is None else self._sending.early
            self._sending = None
            for future, item in zip(futures, items, strict=True):
                future.number = item
                if not future.done():  # as of one that has failed with the whole executor
                    self._register(future, item)
            # of those that were cancelled meanwhile
            cancelled = [
                item for future, item in zip(futures, items, strict=True)
                if future.done() and item not in self._futures
            ]  # fmt: skip
        self.ended([early[item] for item in items if item in early])
        if cancelled:
            self._driver.outbox.put(lambda: [Withdraw(cancelled)])

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
        self._open.add(-1)

    def ended(self, ended: list[TaskResult]) -> None:
        """Take ends; those of tasks that are not ours, and those that come again, are no news."""
        mine: list[tuple[AnyFuture, TaskResult]] = []
        with self._lock:
            for one in ended:
                future = self._futures.pop(one.item, None)
                if future is not None:
                    mine.append((future, one))
                elif self._sending is not None:
                    self._sending.early[one.item] = one
        self._open.add(-sum(_finish(future, one, self.site.read) for future, one in mine))

    def failed(self, futures: Sequence[AnyFuture], error: Exception) -> None:
        """End futures that were refused."""
        n = 0
        for future in futures:
            try:
                future.set_exception(error)
            except InvalidStateError:  # cancelled meanwhile
                continue
            n += 1
        self._open.add(-n)

    def broken(self, error: Exception) -> None:
        """End all futures: nothing more will come."""
        self._driver.outbox.close()
        with self._lock:
            self.fault = self.fault or error
            sending = [] if self._sending is None else self._sending.futures
            futures = [*self._futures.values(), *sending]
            self._futures.clear()
        self.failed([*futures, *self._driver.outbox.drop()], error)


def _finish(future: AnyFuture, ended: TaskResult, read: Callable[[str], bytes]) -> bool:
    """End a future; False if it was cancelled before: then this is no news."""
    future.facts = msgspec.structs.replace(ended, value=b"", error=b"")
    try:
        if ended.phase == "cancelled":
            return _cancel(future)
        try:
            value = decode_value(ended, future.command, read)
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
