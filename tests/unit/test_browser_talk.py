"""Messages between a browser and a view of a run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from adaptive_scheduler.runs.web.browser_talk import BrowserTalk, Closed, Messages

#: Seconds in which all answers come, many times what they take.
PATIENCE = 60


class EchoView:
    """Answers with what it was told, or why it cannot."""

    fault = ""
    is_closed = False

    def receive(self, message: dict[str, Any]) -> Messages:
        if self.fault:
            return [{"type": "error", "request": message["request"], "text": self.fault}]
        return [{"type": "echo", "of": message}]

    def tick(self) -> Messages:
        return [{"type": "error", "request": 0, "text": self.fault}] if self.fault else []

    def __enter__(self) -> EchoView:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


class Browser:
    """Keeps what it is sent."""

    def __init__(self, open_view: Callable[[], Any]) -> None:
        self.got: queue.Queue[dict[str, Any]] = queue.Queue()
        self.is_closed = False
        self.talk = BrowserTalk(open_view, self.take)
        self.talk.start()

    def take(self, messages: Messages) -> None:
        if self.is_closed:
            raise Closed
        for message in messages:
            self.got.put(message)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.talk.put(message)
        return self.got.get(timeout=PATIENCE)

    def ends(self) -> bool:
        self.talk.end()
        self.talk.join(PATIENCE)
        return not self.talk.is_alive()


def test_a_message_is_answered_and_the_end_ends_it() -> None:
    browser = Browser(EchoView)
    assert browser.ask({"type": "hello"}) == {"type": "echo", "of": {"type": "hello"}}
    assert browser.ends()


def test_a_run_that_hangs_holds_up_nobody_else() -> None:
    begun, free = threading.Event(), threading.Event()

    def hang() -> EchoView:
        begun.set()
        free.wait()
        return EchoView()

    slow, quick = Browser(hang), Browser(EchoView)
    assert begun.wait(PATIENCE)
    slow.talk.put({"n": 1})
    assert quick.ask({"n": 2}) == {"type": "echo", "of": {"n": 2}}
    assert slow.got.empty()
    free.set()
    assert slow.got.get(timeout=PATIENCE) == {"type": "echo", "of": {"n": 1}}
    assert slow.ends()
    assert quick.ends()


def test_a_run_that_is_gone_is_reported_once_and_each_request_is_answered() -> None:
    view = EchoView()
    browser = Browser(lambda: view)
    view.fault = "the folder is gone"
    assert browser.got.get(timeout=PATIENCE)["text"] == "the folder is gone"
    for request in (1, 2):
        answer = browser.ask({"type": "do", "request": request})
        assert (answer["request"], answer["text"]) == (request, "the folder is gone")
    view.fault = ""
    assert browser.ask({"request": 3})["of"] == {"request": 3}
    assert browser.ends()
    assert view.is_closed
    assert browser.got.empty()


def test_a_fault_of_the_view_is_told_and_ends_the_conversation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty(EchoView):
        def receive(self, message: dict[str, Any]) -> Messages:
            return [{}[message["n"]]]

    browser = Browser(Faulty)
    assert "KeyError(5)" in browser.ask({"n": 5})["text"]
    browser.talk.join(PATIENCE)
    assert not browser.talk.is_alive()
    assert "KeyError" in caplog.text


def test_a_browser_that_is_gone_ends_the_conversation() -> None:
    browser = Browser(EchoView)
    browser.is_closed = True
    browser.talk.put({"n": 6})
    browser.talk.join(PATIENCE)
    assert not browser.talk.is_alive()
