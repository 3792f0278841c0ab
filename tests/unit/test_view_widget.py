"""The widget of a run: a thread that looks, for each place where it is shown; and what there is without it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.runs.reading.on_disk import snapshot_on_disk
from adaptive_scheduler.runs.views import notebook
from adaptive_scheduler.runs.views.page.session import LocalViews
from adaptive_scheduler.runs.views.widget import MIME, RunWidget, Watcher


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    files.private_folder(run.folder)
    files.private_folder(run.journals)
    database.create(run.database, row_codec.new_tables([Item(0, "data/x=0", Phase.QUEUED)], None))
    write_config(run, RunConfig("bench", [Resources(cores=1)], ["bench"], str(tmp_path)))
    return run


def views_of(folder: RunFolder) -> LocalViews:
    return LocalViews(folder, 0.05, may_change=True)


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Front:
    """What was sent, by the view that it was sent to."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, view: str, message: dict[str, Any]) -> None:
        self.messages.append((view, message))

    def kinds(self, view: str) -> list[str]:
        return [message["type"] for name, message in self.messages if name == view]


def threads() -> int:
    return sum(thread.name == "run view" for thread in threading.enumerate())


def test_each_view_has_a_conversation_and_the_thread_ends_with_the_last(folder: RunFolder) -> None:
    front, before = Front(), threads()
    watcher = Watcher(views_of(folder), 0.05, front)
    assert threads() == before, "nobody looks"
    watcher.put("a", {"type": "hello"})
    watcher.put("b", {"type": "hello"})
    watcher.put("b", {"type": "rows", "request": 4})
    wait_until(lambda: "rows" in front.kinds("b"))
    assert front.kinds("a") == ["summary"]
    watcher.put("a", {"type": "bye"})
    watcher.put("b", {"type": "bye"})
    wait_until(lambda: threads() == before)
    watcher.put("a", {"type": "hello"})  # it is shown again
    wait_until(lambda: front.kinds("a") == ["summary", "summary"])
    watcher.end()
    wait_until(lambda: threads() == before)


def test_an_error_of_the_view_is_told_and_does_not_end_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    front, before = Front(), threads()
    watcher = Watcher(views_of(folder), 0.05, front)
    monkeypatch.setattr(watcher._views.source, "table", lambda: 1 / 0)
    watcher.put("a", {"type": "rows", "request": 1})
    wait_until(lambda: "error" in front.kinds("a"))
    watcher.put("a", {"type": "hello"})
    wait_until(lambda: "summary" in front.kinds("a"))
    watcher.end()
    wait_until(lambda: threads() == before)


class Deaf(Front):
    """A connection that fails at times, as that of a kernel does."""

    fails = False

    def __call__(self, view: str, message: dict[str, Any]) -> None:
        if self.fails:
            raise OSError("not connected")
        super().__call__(view, message)


def test_what_could_not_be_sent_is_said_again(folder: RunFolder) -> None:
    front, before = Deaf(), threads()
    watcher = Watcher(views_of(folder), 0.05, front)
    watcher.put("a", {"type": "hello"})
    wait_until(lambda: front.kinds("a") == ["summary"])
    looks = CountedLooks(watcher)
    front.fails = True
    watcher.put("a", {"type": "hello"})  # what it is answered is lost
    looks.wait_for(2)
    front.fails = False
    wait_until(lambda: front.kinds("a") == ["summary", "summary"])
    watcher.end()
    wait_until(lambda: threads() == before)


class CountedLooks:
    """How often the watcher has looked since."""

    def __init__(self, watcher: Watcher) -> None:
        self.n, self._look = 0, watcher._look
        watcher._look = self  # type: ignore[method-assign,assignment]

    def __call__(self, view: str, session: Any) -> None:
        self.n += 1
        self._look(view, session)

    def wait_for(self, n: int) -> None:
        wanted = self.n + n
        wait_until(lambda: self.n >= wanted)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced_when_a_view_speaks(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead(BaseException):
        """Passes what catches errors."""

    def die(*_: object) -> None:
        raise Dead

    front, before = Front(), threads()
    watcher = Watcher(views_of(folder), 0.05, front)
    with monkeypatch.context() as patch:
        patch.setattr(watcher, "_take", die)
        watcher.put("a", {"type": "hello"})
        wait_until(lambda: threads() == before)
    watcher.put("a", {"type": "hello"})
    wait_until(lambda: front.kinds("a") == ["summary"])
    watcher.end()
    wait_until(lambda: threads() == before)


def test_a_widget_holds_its_files(folder: RunFolder) -> None:
    widget = RunWidget(views_of(folder), 1.0, may_change=False)
    assert "export default" in str(widget._esm)
    assert ".adaptive-scheduler" in str(widget._css)
    assert widget.may_change is False
    widget.close()


def test_a_notebook_is_given_the_widget(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notebook.widget_bundle(folder) is None, "this is no notebook"
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    found = notebook.widget_bundle(folder)
    assert found is not None
    assert found[MIME]["model_id"]
    assert notebook.widget_bundle(RunFolder(folder.home / "other")) is None, "there is no run"


def test_without_anywidget_there_is_none(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "adaptive_scheduler.runs.views.widget")
    assert notebook.widget_bundle(folder) is None


def test_a_terminal_prints_the_tables(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.show(lambda: views_of(folder), lambda: snapshot_on_disk(folder), 1.0)
    assert "0/1" in capsys.readouterr().out
