"""Learners whose code does not end, or ends its process, are drawn: whoever looks at others does not wait."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import adaptive
import msgspec
import psutil
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
from adaptive_scheduler.runs.web import app

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


class LeavesAProcess(adaptive.Learner1D):
    """Its data are read by code that starts a process, which goes on when this one ends."""

    def load(self, fname: str, compress: bool = True) -> None:
        note = Path(f"{fname}.pid")
        if not os.fork():
            Path(f"{fname}.new").write_text(str(os.getpid()))
            Path(f"{fname}.new").rename(note)
            time.sleep(600)
        while not note.exists():
            time.sleep(0.01)
        os._exit(3)


class SaysNoLetters(adaptive.Learner1D):
    """Its error names a file whose name is no text."""

    def load(self, fname: str, compress: bool = True) -> None:
        raise ValueError(f"{os.fsdecode(bytes([255]))} is missing")


def square(x: float) -> float:
    return x * x


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return made_run(tmp_path, adaptive.Learner1D, Hangs, Hangs, Ends)


def made_run(tmp_path: Path, *kinds: type[adaptive.Learner1D]) -> RunFolder:
    run = RunFolder(tmp_path / "my $run")
    files.private_folder(run.folder)
    learners = [kind(square, bounds=(-1, 1)) for kind in kinds]
    learners[0].tell_many([-1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    learners[0].save(str(tmp_path / "0"))
    for number in range(1, len(kinds)):
        (tmp_path / str(number)).touch()
    empty = [kind(square, bounds=(-1, 1)) for kind in kinds]
    write_learners(run.learners, empty)
    items = [Item(n, str(tmp_path / str(n)), Phase.DONE, npoints=3) for n in range(len(kinds))]
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


def drawing_processes(folder: RunFolder) -> list[int]:
    """Those of a run that this process has started."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if os.fspath(folder) in child.cmdline():
                found.append(child.pid)
    return found


def test_a_drawing_that_takes_too_long_is_stopped_and_says_so(
    views: LocalViews, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine perhaps before the learner's code has begun."""
    monkeypatch.setattr(views.source._open._drawings, "_timeout", 1.0)
    session = views.open()
    session.receive({"type": "open", "item": 1})
    text = until(lambda: plot_of(session))["text"]
    assert text.startswith("Drawing took longer than 1 s, and was stopped.")
    assert "load_learners()[1]" in text
    until(lambda: not drawing_processes(folder))


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


class SlowStart:
    """A process that takes 100 s to start, and a tenth of one to draw, by a clock of its own."""

    has_drawn, is_alive, begun, now = False, True, 0.0, 1000.0

    def __init__(self, *_: object) -> None: ...

    def draw(self, *_: object) -> dict[str, Any]:
        SlowStart.begun = SlowStart.now + 100.0
        SlowStart.now += 100.1
        return {"text": "drawn"}

    def end(self) -> None: ...


def test_a_slow_start_is_no_reason_to_draw_seldom(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a part of a core that is small, but a process starts once: the plot stayed as it was for minutes."""
    monkeypatch.setattr(drawings, "DrawingProcess", SlowStart)
    monkeypatch.setattr(drawings, "time", SimpleNamespace(monotonic=lambda: SlowStart.now))
    made = Drawings(folder)
    view = Item(0, "", Phase.RUNNING, npoints=3)
    until(lambda: made.plot(view, anew=True) == {"text": "drawn"})
    assert not made._drawn[0].pace.is_due(SlowStart.now + drawings.INTERVAL - 0.5)
    assert made._drawn[0].pace.is_due(SlowStart.now + drawings.INTERVAL)
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
    told = other.receive({"type": "open", "item": 3})
    until(lambda: tells([*told, *other.tick()], "phase", "done"))
    assert not answers.is_set()
    answers.set()
    until(lambda: tells(session.tick(), "points", "3"))


def tells(messages: list[dict[str, Any]], name: str, value: str) -> bool:
    return any([name, value] in [list(fact) for fact in one.get("facts", [])] for one in messages)


def test_the_process_ends_with_who_asks(folder: RunFolder) -> None:
    made = drawings.DrawingProcess(folder, 30.0)
    try:
        assert made.draw(0, str(folder.home.parent / "0")) is not None
        made._process.stdin.close()  # as when who asks is killed
        until(lambda: not made.is_alive)
    finally:
        made.end()


# ------------------------------------------------------------------- what may go wrong


@pytest.fixture
def processes(folder: RunFolder) -> Iterator[Drawings]:
    made = Drawings(folder)
    yield made
    made.close()


def done(folder: RunFolder, item: int, npoints: int = 3) -> Item:
    return Item(item, str(folder.home.parent / str(item)), Phase.DONE, npoints=npoints)


def drawn(made: Drawings, view: Item) -> dict[str, Any]:
    """Return the plot that is made of a learner now."""
    made.plot(view, anew=True)
    until(lambda: not made._drawn[view.id].is_being_drawn)
    plot = made.plot(view, anew=False)
    assert plot is not None
    return plot


def test_what_its_code_has_started_ends_with_the_process(tmp_path: Path) -> None:
    """It holds the output open, too: that has no end, and nobody waits for one."""
    made = Drawings(made_run(tmp_path, adaptive.Learner1D, LeavesAProcess), PATIENCE)
    try:
        text = drawn(made, done(made._folder, 1))["text"]
        assert "ended with status 3" in text
        until(lambda: is_gone(int((tmp_path / "1.pid").read_text())))
    finally:
        made.close()


def test_an_error_that_is_no_text_is_told(tmp_path: Path) -> None:
    made = Drawings(made_run(tmp_path, adaptive.Learner1D, SaysNoLetters))
    try:
        text = drawn(made, done(made._folder, 1))["text"]
        assert r"\udcff is missing" in text
    finally:
        made.close()


def test_paths_that_are_no_text_are_left_out(
    processes: Drawings, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sys.path.append(Path(...))` is common in notebooks, and has no effect."""
    monkeypatch.setattr("sys.path", [*sys.path, Path("here")])
    assert drawn(processes, done(folder, 0))["kind"] == "line"


def test_no_code_that_lies_where_one_looks_from_is_run(
    processes: Drawings, folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("open('was_run', 'w')\nraise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [one for one in sys.path if one])
    assert drawn(processes, done(folder, 0))["kind"] == "line"
    assert not (tmp_path / "was_run").exists()


def test_whatever_is_wrong_nobody_waits_for_ever(
    processes: Drawings, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", None)
        assert "It cannot be drawn: TypeError" in drawn(processes, done(folder, 0))["text"]
    for program, why in (("/bin/false", "it ended with status 1"), ("/none", "No such file")):
        processes._drawn.clear()
        with monkeypatch.context() as patch:
            patch.setattr("sys.executable", program)
            text = drawn(processes, done(folder, 0))["text"]
        assert text.startswith(f"It cannot be drawn: no process can be started ({why}")
    processes._drawn.clear()
    assert drawn(processes, done(folder, 0))["kind"] == "line"


def test_a_process_that_ends_when_it_is_asked_is_replaced(
    processes: Drawings, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends a minute after it was asked last, and may just then be asked."""
    assert drawn(processes, done(folder, 0))["kind"] == "line"
    (idle,) = processes._idle
    monkeypatch.setattr(drawings.DrawingProcess, "is_alive", True)
    idle._process.kill()
    processes._drawn.clear()
    assert drawn(processes, done(folder, 0))["kind"] == "line"
    assert idle not in processes._idle


def test_what_is_done_is_drawn_again_after_ten_minutes(folder: RunFolder) -> None:
    """Its plot says so where it was stopped; and a file may be seen late on a network's disk."""
    view = done(folder, 1)
    known = drawings.Drawn(drawings.Pace(3.0, 0.05, drawings.LONGEST), drawings.BEGUN)
    known.did(time.monotonic() - 30.0, drawings.BEGUN, view)
    now = time.monotonic()
    assert not known.is_due(now + drawings.LONGEST - 100, view)
    assert known.is_due(now + drawings.LONGEST + 1, view)


def test_files_stay_open_while_an_answer_is_waited_for(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is opened next has the same number, and its data are taken for an answer."""
    made = drawings.DrawingProcess(folder, PATIENCE)
    asked, were_closed = threading.Event(), list[bool]()

    def answer(self: Any, timeout: float) -> bytes:
        asked.set()
        self._process.wait()
        time.sleep(0.5)  # whoever ends it goes on meanwhile
        were_closed.append(self._process.stdout.closed)
        return b""

    monkeypatch.setattr(drawings.DrawingProcess, "_answer", answer)

    def ask() -> None:
        with suppress(Exception):  # the answer is none
            made.draw(1, "x")

    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(PATIENCE)
    made.end()
    asking.join(PATIENCE)
    assert were_closed
    assert not any(were_closed)
    assert made._process.stdout.closed


def test_what_is_open_in_many_windows_is_drawn_once(
    processes: Drawings, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server has that many pages."""
    made: list[int] = []
    plot = {"kind": "text", "text": "drawn"}
    monkeypatch.setattr(processes, "_draw", lambda view: made.append(view.id) or (plot, 0.0))
    for _ in range(3):
        for item in range(app.MOST_VIEWS):
            assert drawn(processes, done(folder, item)) == plot
    assert sorted(made) == list(range(app.MOST_VIEWS))
