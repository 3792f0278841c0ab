"""Learners whose code does not end, or ends its process, are drawn: whoever looks at others does not wait."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.learner_file import write_learners
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.runs.views.drawing import drawings
from adaptive_scheduler.runs.views.drawing.drawings import Drawings
from adaptive_scheduler.runs.views.page import source
from adaptive_scheduler.runs.views.page.session import LocalViews, ViewSession
from adaptive_scheduler.runs.views.widget import Watcher

PATIENCE = 120.0


class Hangs(adaptive.Learner1D):
    """Its data are read by the user's code, which notes its process and does not end."""

    def load(self, fname: str, compress: bool = True) -> None:
        Path(f"{fname}.pid").write_text(str(os.getpid()))
        while True:
            pass


class Ends(adaptive.Learner1D):
    """Its data are read by code that ends its process."""

    def load(self, fname: str, compress: bool = True) -> None:
        os._exit(3)


def square(x: float) -> float:
    return x * x


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "my $run")
    files.private_folder(run.folder)
    kinds = (adaptive.Learner1D, Hangs, Hangs, Ends)
    learners = [kind(square, bounds=(-1, 1)) for kind in kinds]
    learners[0].tell_many([-1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    learners[0].save(str(tmp_path / "0"))
    for number in (1, 2, 3):
        (tmp_path / str(number)).touch()
    empty = [kind(square, bounds=(-1, 1)) for kind in kinds]
    write_learners(run.learners, empty)
    items = [Item(n, str(tmp_path / str(n)), Phase.DONE, npoints=3) for n in range(4)]
    database.create(run.database, row_codec.new_tables(items, None))
    files.private_folder(run.journals)
    write_config(run, RunConfig("run", [Resources(cores=1)], ["run"], str(tmp_path / "logs")))
    return run


@pytest.fixture
def views(folder: RunFolder) -> Iterator[LocalViews]:
    made = LocalViews(folder, 0.1, may_change=True)
    yield made
    made.close()


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


def plot_of(session: ViewSession) -> dict[str, Any] | None:
    for message in session.tick():
        if message["type"] == "detail" and message["plot"] not in (None, drawings.BEGUN):
            return message["plot"]
    return None


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_others_are_drawn_and_read_while_one_hangs(
    views: LocalViews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views.source._open._drawings, "_timeout", PATIENCE)
    hanging, other = views.open(), views.open()
    hanging.receive({"type": "open", "item": 1})
    hanging.tick()
    note = tmp_path / "1.pid"
    pid = int(until(lambda: note.exists() and note.read_text()))
    other.receive({"type": "open", "item": 0})
    plot = until(lambda: plot_of(other))
    assert plot["kind"] == "line"
    assert plot["x"] == [-1.0, 0.0, 1.0]
    assert other.receive({"type": "rows", "request": 1})[0]["matching"] == 4
    assert not is_gone(pid)
    assert plot_of(hanging) is None


def test_a_drawing_that_takes_too_long_is_stopped_and_says_so(
    views: LocalViews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views.source._open._drawings, "_timeout", 1.0)
    session = views.open()
    session.receive({"type": "open", "item": 1})
    text = until(lambda: plot_of(session))["text"]
    assert text.startswith("Drawing took longer than 1 s, and was stopped.")
    assert "load_learners()[1]" in text
    assert is_gone(int((tmp_path / "1.pid").read_text()))


def test_code_that_ends_its_process_ends_no_view(views: LocalViews) -> None:
    session = views.open()
    session.receive({"type": "open", "item": 3})
    text = until(lambda: plot_of(session))["text"]
    assert "ended with status 3" in text
    session.receive({"type": "open", "item": 0})
    assert until(lambda: plot_of(session))["kind"] == "line"


def test_what_hangs_ends_with_the_last_view(views: LocalViews, tmp_path: Path) -> None:
    """That of a notebook, too, whose thread goes on while a learner is drawn."""
    shown: dict[str, dict[str, Any]] = {}
    watcher = Watcher(views, 0.05, lambda _, told: shown.update({told["type"]: told}))
    watcher.put("a", {"type": "open", "item": 1})
    watcher.put("b", {"type": "open", "item": 2})
    pids = [
        int(until(lambda one=one: one.exists() and one.read_text()))
        for one in (tmp_path / "1.pid", tmp_path / "2.pid")
    ]
    watcher.put("b", {"type": "rows", "request": 9})
    until(lambda: shown.get("rows", {}).get("request") == 9)
    watcher.put("a", {"type": "bye"})
    watcher.put("b", {"type": "bye"})
    until(lambda: all(map(is_gone, pids)))
    until(lambda: not any(one.name == "drawing" for one in threading.enumerate()))


def test_a_plot_is_not_made_again_unless_something_may_have_changed(folder: RunFolder) -> None:
    made = Drawings(folder)
    try:
        done = Item(0, str(folder.home.parent / "0"), Phase.DONE, npoints=3)
        first = until(lambda: (p := made.plot(done, anew=True)) is not drawings.BEGUN and p)
        drawn = made._drawn[0]
        drawn.pace.hurry()
        assert made.plot(done, anew=True) is first
        assert not drawn.is_being_drawn
        more = msgspec.structs.replace(done, npoints=4)
        until(lambda: made.plot(more, anew=True) is not first)
    finally:
        made.close()


def test_a_slow_log_holds_up_nobody(
    views: LocalViews, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files may lie on a disk that does not answer."""
    answers = threading.Event()
    read = source.OpenItems._read

    def slow(self: Any, row: Item, *more: Any) -> Any:
        assert row.id or answers.wait(PATIENCE)
        return read(self, row, *more)

    monkeypatch.setattr(source.OpenItems, "_read", slow)
    session, other = views.open(), views.open()
    (detail,) = session.receive({"type": "open", "item": 0})
    assert detail["facts"][-1][1] == "Its files are being read …"
    assert session.receive({"type": "rows", "request": 1})[0]["matching"] == 4
    (detail,) = other.receive({"type": "open", "item": 3})
    assert ["phase", "done"] in [list(fact) for fact in detail["facts"]]
    answers.set()
    until(
        lambda: any(
            ["points", "3"] in [list(fact) for fact in one.get("facts", [])]
            for one in session.tick()
        )
    )


def test_the_process_ends_with_who_asks(folder: RunFolder) -> None:
    made = drawings.DrawingProcess(folder, 30.0)
    try:
        assert made.draw(0, str(folder.home.parent / "0")) is not None
        made._process.stdin.close()  # as when who asks is killed
        until(lambda: not made.is_alive)
    finally:
        made.end()
