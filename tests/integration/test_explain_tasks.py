"""`TaskFuture.explain`, `Executor.explain` and `Executor.report`: real tasks, each for a reason of its own."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adaptive_scheduler import Executor, TaskResources
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.errors import InputError, UnpicklableError
from adaptive_scheduler.scheduler import Here

PATIENCE = 120.0


def says(explain: Callable[[], Explanation], cause: str) -> Explanation:
    """Wait until this is the most important cause."""
    end = time.monotonic() + PATIENCE
    while (found := explain()).cause != cause:
        assert time.monotonic() < end, f"{cause}: {found}"
        time.sleep(0.05)
    return found


@contextmanager
def all_ends(executor: Executor, go: Path) -> Iterator[None]:
    """Let all tasks end also if the test fails: the executor waits for them."""
    try:
        yield
    finally:
        go.touch()
        executor.shutdown(wait=False, cancel_futures=True)


def wait_for(path: str) -> bool:
    while not os.path.exists(path):  # noqa: PTH110
        time.sleep(0.02)
    return True


def no_root(x: float) -> float:
    raise ValueError(f"{x} has no root")


def test_futures_and_an_executor_explain_tasks_and_write_a_report(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with Executor(Here(slots=1), folder=tmp_path / "a $run") as executor, all_ends(executor, go):
        again = executor.options(retries=1, delay=600, name="again").submit(no_root, -1)
        delayed = says(again.explain, "retry delay")
        assert delayed.state == "queued"
        assert "ValueError: -1 has no root" in delayed.text
        first = executor.submit(wait_for, str(go))
        says(first.explain, "runs")
        second = executor.submit(wait_for, str(go))
        busy = says(second.explain, "jobs in use")
        assert str(busy) == str(executor.explain(second)) == str(executor.explain(second.task or 0))
        child = executor.options(after=[first]).submit(wait_for, str(go))
        parent = says(child.explain, "waits for a parent")
        assert parent.reasons[0].text == f"it waits for task {first.task}, which runs"
        large = executor.options(resources=TaskResources(threads_per_rank=99)).submit(abs, -1)
        assert "it needs 1 node, 99 cores" in says(large.explain, "fits no pool").text
        assert again.cancel()
        says(again.explain, "cancelled")
        unsent = executor.submit(abs, threading.Lock())
        assert isinstance(unsent.exception(), UnpicklableError)
        assert (unsent.explain().cause, unsent.explain().state) == ("failed", "failed")
        assert "it was not taken: " in unsent.explain().text

        for wrong, why in (
            (77, "There is no task 77 in"),
            ("x", "a future of this run, or the id"),
        ):
            with pytest.raises(InputError, match=why):
                executor.explain(wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="there is no folder"):
            executor.report(tmp_path / "no folder" / "report.html")
        go.touch()
        assert child.result(PATIENCE)
        assert says(first.explain, "done").reasons[0].remedy == ""
        assert executor.report(tmp_path / "report.html").read_text().startswith("<!doctype html>")
        numbers = json.loads(executor.report(tmp_path / "report.json").read_text())
        assert numbers["schema_version"] == 1
