"""A view reaches what is true, whatever happens to the manager and to the messages on their way."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import pytest
import zmq

from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.runs.views.page import session
from adaptive_scheduler.runs.views.page.session import LocalViews
from adaptive_scheduler.runs.views.widget import Watcher
from adaptive_scheduler.server_support import RunManager
from tests.integration.accidents import Accidents, until

LEARNERS, KILLS, SEED = 3, 12, 20
#: Seconds until a view shows what is true: it looks every 0.2 s, and says all again every 2 s.
#: A manager and jobs must begin for that, which a machine that does much else keeps waiting.
PATIENCE = 180.0


def slow_unless(path: str, x: float) -> float:
    import time

    if not Path(path).exists():
        time.sleep(0.2)
    return x * x


class LossyFront:
    """Two front ends; of what they are sent much raises an error, or is lost without one."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.shown: dict[tuple[str, str], dict[str, Any]] = {}
        self.answers: list[dict[str, Any]] = []
        self.raised = self.lost = 0

    def __call__(self, view: str, message: dict[str, Any]) -> None:
        chance = self.rng.random()
        if chance < 0.25:
            self.raised += 1
            raise OSError("not connected")
        if chance < 0.35 and not message.get("request"):
            self.lost += 1
            return
        self.shown[view, message["type"]] = message
        if message["type"] == "done":
            self.answers.append(message)

    def show(self, is_so: Callable[[dict[str, Any]], bool], kind: str = "summary") -> None:
        """Wait until all views show something that is so."""
        try:
            until(lambda: all(is_so(self.shown.get((view, kind), {})) for view in "ab"), PATIENCE)
        except AssertionError:
            raise AssertionError(f"the views stay at {self.shown}") from None


class Faults:
    """Lets what reads a run raise now and then, what libraries do raise."""

    ERRORS = (zmq.ZMQError, msgspec.DecodeError, PermissionError, EOFError, ZeroDivisionError)

    def __init__(self, source: Any, rng: random.Random) -> None:
        self.rng, self.happened = rng, 0
        for what, name in (
            (source, "_look"),
            (source, "_read_history"),
            (source._rows, "_read_on"),
        ):
            setattr(what, name, partial(self.call, getattr(what, name)))

    def call(self, what: Callable[..., Any], *arguments: Any) -> Any:
        if self.rng.random() < 0.1:
            self.happened += 1
            raise self.rng.choice(self.ERRORS)
        return what(*arguments)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunManager]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    f = partial(slow_unless, str(tmp_path / "quick"))
    learners = [
        adaptive.SequenceLearner(f, [float(x) for x in range(3000)]) for _ in range(LEARNERS)
    ]
    options = {"cores": 1, "max_cores": 4, "executor_type": "sequential"}
    made = Accidents(tmp_path).make(learners, options, goal=None, max_jobs=LEARNERS)
    yield made
    if made.folder.config.exists() and not made.snapshot("none").over:
        made.cancel()
        made.wait(300)


def kill(run: RunManager) -> None:
    """Kill its manager, wherever it is in what it does."""
    found = until(lambda: holder(run.folder.lock), PATIENCE)
    os.kill(found.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(found.pid, 0)


def is_running(summary: dict[str, Any]) -> bool:
    return summary.get("sentence", "").startswith("Running") and not summary["is_old"]


def is_dead(summary: dict[str, Any]) -> bool:
    return summary.get("sentence", "").startswith("No manager runs") and summary["is_old"]


def test_a_view_reaches_what_is_true_each_time(
    run: RunManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LIFE_SIGN", 2.0)
    rng = random.Random(SEED)
    run.start()
    front = LossyFront(rng)
    views = LocalViews(run.folder, 0.2, may_change=True)
    watcher = Watcher(views, 0.2, front)
    for pace in (
        views.source._snapshots,
        views.source._rows._pace,
        views.source._rows._whole,
    ):
        pace._longest = 1.0
    faults = Faults(views.source, rng)
    for view in "ab":
        watcher.put(view, {"type": "hello"})
        watcher.put(view, {"type": "rows", "request": 1})
    watcher.put("a", {"type": "open", "item": 0})
    try:
        front.show(is_running)
        for number in range(KILLS):
            kill(run)
            if number % 3 != 2:  # else the next one is there before anybody looks
                front.show(is_dead)
            run.resume()
            front.show(is_running)
        watcher.put("b", {"type": "do", "request": 5, "action": "cancel_run"})
        until(lambda: front.answers, PATIENCE)
        kill_if_it_lives(run)
        front.show(lambda summary: f"{LEARNERS} cancelled" in summary.get("sentence", ""))
        front.show(lambda page: {row[2] for row in page.get("rows", [])} == {"cancelled"}, "rows")

        (tmp_path / "quick").touch()
        until(lambda: ask_to_resume(watcher, front), PATIENCE)
        front.show(lambda summary: summary.get("sentence", "").startswith("Finished"))
        front.show(lambda page: {row[2] for row in page.get("rows", [])} == {"done"}, "rows")
        front.show(lambda summary: not summary["is_old"])
        until(lambda: front.shown.get(("a", "detail"), {}).get("phase") == "done", PATIENCE)
    finally:
        watcher.end()
        print(
            f"{front.raised} sends raised, {front.lost} were lost, {faults.happened} reads raised"
        )
    until(lambda: not any(one.name == "run view" for one in threading.enumerate()), PATIENCE)
    assert min(front.raised, front.lost, faults.happened) > 10, "hardly anything happened"


def kill_if_it_lives(run: RunManager) -> None:
    """Between two accidents there may be none."""
    found = holder(run.folder.lock)
    if found is not None:
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(found.pid, 0)


def ask_to_resume(watcher: Watcher, front: LossyFront) -> bool:
    """Press the button; a run whose jobs have not ended is not resumed yet, and says so."""
    n = len(front.answers)
    front.shown.pop(("b", "error"), None)
    watcher.put("b", {"type": "do", "request": 6, "action": "resume"})
    until(lambda: len(front.answers) > n or ("b", "error") in front.shown, PATIENCE)
    return len(front.answers) > n
