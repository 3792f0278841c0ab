"""CPython's own tests of process pools, run against `Executor` on this machine.

They are those of ``test.test_concurrent_futures`` (Debian: libpython3.11-testsuite). The three start
methods of `multiprocessing` mean nothing here, so those of one are taken. A worker's death, which
breaks a `ProcessPoolExecutor` as a whole, is the error of one task here: that name is translated,
as is that of the error of a value that cannot be pickled.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import types
import unittest
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler import Executor
from adaptive_scheduler.errors import TaskError, UnpicklableError
from tests.cpython.skips import SKIPS

#: Debian's.
SUITE = Path("/usr/lib/python3.11/test/test_concurrent_futures.py")
NAME = "test.test_concurrent_futures"
VERSION = (3, 11)
pytestmark = pytest.mark.timeout(1200)  # one of them collects garbage thirty times
#: How many times longer `sleep` and `wait` take than the suite says.
LONGER, PATIENCE = 6, 4
#: The classes of one start method.
ONE = "ProcessPoolSpawn"


class PoolExecutor(Executor):
    """As a `ProcessPoolExecutor` is made: without a folder, and used when its pool is there."""

    def __init__(self, max_workers: int | None = None, mp_context: Any = None, **kwargs: Any):
        if max_workers is None or max_workers > 0:
            home = tempfile.TemporaryDirectory(prefix="cpython-")
            kwargs["folder"] = Path(home.name) / "run"
            kwargs["driver_patience"] = 30  # so that nothing is left of a test that is killed
        if "initializer" not in kwargs:
            # their workers are children, which have the same key for proxies of objects
            key = bytes(multiprocessing.current_process().authkey)
            kwargs |= {"initializer": set_key, "initargs": (key,)}
            is_used = True
        else:
            is_used = False
        super().__init__(max_workers=max_workers, **kwargs)
        self._closing.home = home  # type: ignore[attr-defined]  it outlives the executor
        if is_used:
            self.submit(id, None).result()  # its pool is there
        closing = self._closing
        self._executor_manager_thread = self._call_queue = _End(closing)
        self._processes = {head.process.pid: _End(closing) for head in closing.heads}

    def map(self, *given: Any, timeout: float | None = None, **more: Any) -> Any:
        return super().map(*given, timeout=timeout and PATIENCE * timeout, **more)


def set_key(key: bytes) -> None:
    multiprocessing.current_process().authkey = key  # type: ignore[assignment]


def sleep(seconds: float) -> None:
    """Sleep for longer where something else comes first meanwhile: a machine may stand still for seconds."""
    time.sleep(LONGER * seconds if seconds >= 1 else seconds)


def sleep_and_raise(seconds: float) -> None:
    """As the suite's."""
    sleep(seconds)
    raise Exception("this is an exception")


def wait(fs: Any, timeout: float | None = None, **more: Any) -> Any:
    """Wait with more patience, but for less than what must not be done by then sleeps."""
    return futures.wait(fs, timeout and PATIENCE * timeout, **more)


def patient_event(self: Any, manager: Any) -> None:
    """As the suite's `EventfulGCObj` begins, but its event is waited for: a worker may stand still for a second."""
    self.event = manager.Event()
    its_wait = self.event.wait
    self.event.wait = lambda timeout: its_wait(60 * timeout)


class _End:
    """What a `ProcessPoolExecutor` has processes and threads for: it can be waited for."""

    def __init__(self, closing: Any) -> None:
        self._closing = closing

    def join(self) -> None:
        assert self._closing.is_shut
        self._closing.finish()

    join_thread = join


def load() -> Any:
    """Return the suite; None if it is not here, or not that of this Python."""
    if sys.version_info[:2] != VERSION:
        return None
    try:
        return importlib.import_module(NAME)
    except ImportError:
        pass
    if not SUITE.exists():
        return None
    spec = importlib.util.spec_from_file_location(NAME, SUITE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module


def collect() -> list[tuple[str, str]]:
    if suite is None:
        return []
    classes = [name for name in vars(suite) if name.startswith(ONE) and not name.endswith("Mixin")]
    return [
        (name, test)
        for name in classes
        for test in unittest.defaultTestLoader.getTestCaseNames(getattr(suite, name))
    ]


suite = load()
TESTS = collect()


def reason(name: str, test: str) -> str | None:
    return next((SKIPS[words] for words in SKIPS if words in f"{name}.{test}"), None)


def run_script(*args: str, **_options: Any) -> Any:
    """Run one of the suite's scripts, with our executor in the place of theirs."""
    flag, text = args
    root = Path(__file__).resolve().parents[2]
    text = text.replace(
        "from concurrent.futures import PoolExecutor",
        f"import sys; sys.path.insert(0, {str(root)!r}); "
        "from tests.cpython.test_futures import PoolExecutor",
    )
    return assert_python_ok(flag, text)


if suite is not None:
    assert_python_ok = suite.assert_python_ok
    suite.assert_python_ok = run_script
    suite.futures = types.SimpleNamespace(
        **{name: getattr(suite.futures, name) for name in suite.futures.__all__},
        process=suite.futures.process,
    )
    suite.futures.ProcessPoolExecutor = PoolExecutor
    suite.futures.wait = wait
    broken = (TaskError, UnpicklableError, pickle.UnpicklingError, SystemExit)
    suite.BrokenProcessPool = broken
    # a value that cannot be pickled is an UnpicklableError, whatever its __reduce__ raises
    suite.SystemExit = (SystemExit, UnpicklableError)
    suite.ProcessPoolSpawnMixin.executor_type = PoolExecutor
    suite.time = types.SimpleNamespace(**vars(time) | {"sleep": sleep})
    suite.sleep_and_raise = sleep_and_raise
    suite.EventfulGCObj.__init__ = patient_event
    suite.support.SHORT_TIMEOUT = suite.ExecutorDeadlockTest.TIMEOUT = 300


# our futures keep their arguments: one test's are freed after the manager that they need is gone
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("name", "test"), TESTS)
def test_of_cpython(name: str, test: str) -> None:
    if (why := reason(name, test)) is not None:
        pytest.skip(why)
    result = unittest.TestResult()
    getattr(suite, name)(test).run(result)
    assert result.skipped == []
    assert [text for _, text in result.errors + result.failures] == []


def test_the_suite_is_there_and_most_of_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    if suite is None:
        if "CI" in os.environ and sys.version_info[:2] == VERSION:
            pytest.fail("apt-get install libpython3.11-testsuite")
        pytest.skip("needs CPython's tests: apt-get install libpython3.11-testsuite")
    run = [one for one in TESTS if reason(*one) is None]
    with capsys.disabled():
        print(f"\n{len(run)} of {len(TESTS)} of CPython's process-pool tests run; skipped:")
        for name, test in TESTS:
            if (why := reason(name, test)) is not None:
                print(f"  {name}.{test}: {why}")
    assert len(run) >= 0.8 * len(TESTS)


def test_each_skip_is_of_a_test_that_exists() -> None:
    if suite is not None:
        unused = [words for words in SKIPS if not any(words in f"{a}.{b}" for a, b in TESTS)]
        assert unused == []
