"""One conversation with a front end: what is answered, what is told unasked, what is not told twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.snapshot import ItemView, JobRow, Snapshot
from adaptive_scheduler.errors import DatabaseError, InputError
from adaptive_scheduler.runs.views.page.messages import Detail, DoAction
from adaptive_scheduler.runs.views.page.session import LIFE_SIGN, ViewSession
from adaptive_scheduler.runs.views.page.table import RowTable, table_of

N = 5


class FakeSource:
    """A run that its test changes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.error: Exception | None = None
        self.done: list[DoAction] = []
        self.plots = 0
        self.phases = {"running": 1, "queued": N - 1}
        self.view = ItemView(0, "/data/x=0", Phase.RUNNING, job="7", npoints=1, cpu=90.0, busy=0.75)
        self.step()

    def step(self) -> None:
        """The run goes on."""
        self.now += 2
        self.last = Snapshot(
            "run", "/home/me/my run/db.tinydb", self.now, phases=dict(self.phases), items=[self.view],
            jobs=[JobRow("7", state="RUNNING", host="node1", item=0)], started=900.0, points_per_second=2.5,
        )  # fmt: skip
        items = [Item(id=n, fname=f"/data/x={n}", phase=Phase.QUEUED) for n in range(N)]
        self.rows = table_of(items, {0: self.view}, "learner")

    def config(self) -> RunConfig:
        return RunConfig("run", [Resources(cores=8)], ["job"], "/logs")

    def snapshot(self) -> Snapshot:
        if self.error:
            raise self.error
        return self.last

    def past(self) -> list[Any]:
        return []

    def table(self) -> RowTable:
        return self.rows

    def detail(self, item: int, with_plot: bool) -> Detail:
        if item >= N:
            raise InputError(f"There is no learner {item} in this run.")
        self.plots += with_plot
        plot = {"kind": "text", "text": str(self.view.npoints)} if with_plot else None
        return Detail(
            item, f"learner {item}", facts=[("points", str(self.view.npoints))], plot=plot
        )

    def carry_out(self, asked: DoAction) -> str:
        if asked.action != "cancel":
            raise InputError("no such button")
        self.done.append(asked)
        return "1 learner cancelled."


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


def session_of(source: FakeSource, may_change: bool = True) -> ViewSession:
    return ViewSession(source, may_change, clock=lambda: source.now)


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    json.dumps(messages, allow_nan=False)
    return [message["type"] for message in messages]


def test_who_comes_is_told_everything(source: FakeSource) -> None:
    (summary,) = session_of(source).receive({"type": "hello"})
    assert summary["name"] == "/home/me/my run"
    assert summary["sentence"] == "Running: 0 of 5 learners done, 1 job running."
    assert summary["phases"][0] == {"phase": "running", "label": "running", "count": 1}
    assert summary["series"] == {
        "time": [1002.0],
        "cores_held": [8.0],
        "cores_used": [6.0],
        "rate": [2.5],
    }
    assert [action["name"] for action in summary["actions"]] == ["cancel_run", "max_jobs"]
    assert summary["actions"][1]["number"] == 100


def test_nothing_is_told_while_nothing_changes(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    session.receive({"type": "rows", "request": 1})
    session.receive({"type": "open", "item": 0})
    assert kinds(session.tick()) == ["detail"]  # with its plot
    assert [session.tick() for _ in range(20)] == [[]] * 20
    source.now += LIFE_SIGN + 1
    source.last.time = source.now
    again = session.tick()  # a sign of life, and what was lost on its way
    assert kinds(again) == ["summary", "rows", "detail"]
    assert again[2]["plot"] == {"kind": "text", "text": "1"}
    assert session.tick() == []


def test_all_is_sent_again_though_other_things_change(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    session.receive({"type": "rows", "request": 1, "offset": 3, "count": 2})
    told: list[str] = []
    for n in range(40):  # a rate that changes all the time
        source.step()
        source.last.points_per_second = float(n)
        told += kinds(session.tick())
    assert told.count("summary") == 40
    assert told.count("rows") >= 2, "none of them was new, but some may have been lost"


def test_what_has_changed_is_told_once(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    session.receive({"type": "rows", "request": 3, "count": 2})
    session.receive({"type": "open", "item": 0})
    session.tick()
    source.view.npoints = 9
    source.step()
    told = session.tick()
    assert kinds(told) == ["summary", "rows", "detail"]
    assert told[1]["request"] == 3
    assert told[1]["rows"][0][3] == "9"
    assert told[2]["facts"] == [("points", "9")] or told[2]["facts"] == [["points", "9"]]
    assert session.tick() == []


def test_rows_that_are_not_visible_are_not_sent(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    (page,) = session.receive({"type": "rows", "request": 1, "offset": 3, "count": 2})
    assert [row[0] for row in page["rows"]] == [3, 4]
    source.view.npoints = 9  # of row 0
    source.step()
    assert kinds(session.tick()) == ["summary"]


def test_an_item_is_told_of_until_it_is_closed(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    (detail,) = session.receive({"type": "open", "item": 2})
    assert (detail["item"], detail["plot"]) == (2, None)  # at once; its data may take a while
    (detail,) = session.tick()
    assert detail["plot"] == {"kind": "text", "text": "1"}
    assert session.receive({"type": "close"}) == []
    source.view.npoints = 2
    source.step()
    assert "detail" not in kinds(session.tick())


def test_the_data_are_not_loaded_again_and_again(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "open", "item": 0})
    for npoints in range(50):
        source.view.npoints = npoints
        source.step()
        session.tick()
    assert source.plots <= 3  # every few seconds of a real clock


def test_a_button_says_what_it_did(source: FakeSource) -> None:
    session = session_of(source)
    done, *_ = session.receive({"type": "do", "request": 8, "action": "cancel", "items": [2]})
    assert done == {"type": "done", "request": 8, "text": "1 learner cancelled."}
    assert source.done == [DoAction(8, "cancel", [2])]
    (error,) = session.receive({"type": "do", "request": 9, "action": "explode"})
    assert error == {"type": "error", "request": 9, "text": "no such button"}


def test_who_may_only_look_changes_nothing(source: FakeSource) -> None:
    session = session_of(source, may_change=False)
    (summary,) = session.receive({"type": "hello"})
    assert summary["actions"] == []
    (error,) = session.receive({"type": "do", "request": 1, "action": "cancel", "items": [2]})
    assert error["type"] == "error"
    assert source.done == []


def test_a_run_that_cannot_be_read_is_shown_as_it_was_and_called_old(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    source.error = DatabaseError("/home/me/my run/db.tinydb", "does not exist.")
    source.now += 60
    (summary,) = session.tick()
    assert summary["is_old"]
    assert summary["age_text"].startswith("This is 60 s old: the run cannot be read. ")
    assert "does not exist" in summary["age_text"]
    source.error = None
    source.step()
    (summary,) = session.tick()
    assert not summary["is_old"]


def test_a_run_that_could_never_be_read_says_why(source: FakeSource) -> None:
    source.error = DatabaseError("/nowhere", "does not exist.")
    session = session_of(source)
    assert kinds(session.receive({"type": "hello"})) == ["error"]
    assert kinds(session.tick()) == ["error"]
    assert session.tick() == []  # once
    source.error = None
    assert kinds(session.tick()) == ["summary"]


@pytest.mark.parametrize(
    "message",
    [{}, {"type": "rows"}, {"type": "rows", "request": "one"}, {"type": "open", "item": None},
     {"type": "strange"}, {"type": "do", "request": 1}],
)  # fmt: skip
def test_a_strange_message_is_refused(source: FakeSource, message: dict[str, Any]) -> None:
    (error,) = session_of(source).receive(message)
    assert error["type"] == "error"
    assert "does not understand" in error["text"]


def test_an_unknown_item_is_refused(source: FakeSource) -> None:
    (error,) = session_of(source).receive({"type": "open", "item": 99})
    assert "no learner 99" in error["text"]


def raise_(error: Exception) -> Any:
    def raising(*_: object) -> Any:
        raise error

    return raising


@pytest.mark.parametrize("error", [InputError("away"), ZeroDivisionError("away"), EOFError("away")])
def test_an_item_that_cannot_be_read_hides_nothing_and_comes_back(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    session.receive({"type": "rows", "request": 1})
    session.receive({"type": "open", "item": 0})
    session.tick()
    with monkeypatch.context() as patch:
        patch.setattr(source, "detail", raise_(error))
        for npoints in (2, 3):
            source.view.npoints = npoints
            source.step()
            told = session.tick()
            assert kinds(told)[:2] == ["summary", "rows"]
        assert kinds(told) == ["summary", "rows"], "what is wrong is told once"
    assert kinds(session.tick()) == ["detail"], "it is still open"


@pytest.mark.parametrize("error", [InputError("away"), ZeroDivisionError("away"), EOFError("away")])
def test_rows_that_cannot_be_read_hide_nothing_and_come_back(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    with monkeypatch.context() as patch:
        patch.setattr(source, "table", raise_(error))
        assert kinds(session.receive({"type": "rows", "request": 7})) == ["error"]
        source.step()
        assert "summary" in kinds(session.tick())
    (rows,) = session.tick()
    assert (rows["type"], rows["request"]) == ("rows", 7)


def test_whatever_is_wrong_with_a_run_what_is_shown_is_called_old(source: FakeSource) -> None:
    session = session_of(source)
    session.receive({"type": "hello"})
    source.error = ZeroDivisionError("of a library")
    (summary,) = session.tick()
    assert summary["is_old"]
    assert "ZeroDivisionError: of a library" in summary["age_text"]
    assert "1 job running" in summary["sentence"]


def test_what_is_not_new_any_more_is_called_old_whatever_the_clocks_of_hosts_say(
    source: FakeSource,
) -> None:
    session = session_of(source)
    source.last.time = 5.0  # the manager's clock is far behind
    (summary,) = session.receive({"type": "hello"})
    assert not summary["is_old"]
    source.now += 24  # and the same object is still there: the manager was not asked again
    (summary,) = session.tick()
    assert summary["is_old"]
    assert summary["age_text"].startswith("This is 24 s old")


def test_a_history_that_cannot_be_read_leaves_out_the_time_before(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "past", raise_(DatabaseError("/run/history", "is damaged.")))
    (summary,) = session_of(source).receive({"type": "hello"})
    assert summary["series"]["time"] == [1002.0]
