"""Messages between a browser and a view of a run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from adaptive_scheduler.errors import RunError
from adaptive_scheduler.runs.web.browser_talk import BrowserTalk, Closed, Messages

#: Seconds in which all answers come, many times what they take.
PATIENCE = 20


class EchoView:
    """Answers with what it was told; fails while `fault` says why."""

    fault = ""

    def receive(self, message: dict[str, Any]) -> Messages:
        self.tick()
        return [{"type": "echo", "of": message}]

    def tick(self) -> Messages:
        if self.fault:
            raise RunError(self.fault)
        return []


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


def test_a_run_that_is_gone_is_reported_once_and_shown_again_when_it_is_back() -> None:
    view = EchoView()
    view.fault = "the folder is gone"
    browser = Browser(lambda: view)
    failed = browser.ask({"type": "rows", "request": 1})
    assert (failed["type"], failed["text"]) == ("error", "the folder is gone")
    browser.talk.put({"type": "rows", "request": 2})
    refused = browser.ask({"type": "do", "request": 3})
    assert (refused["request"], refused["text"]) == (3, "the folder is gone")
    view.fault = ""
    answer = browser.got.get(timeout=PATIENCE)
    assert answer["of"] == {"type": "rows", "request": 2}, "only the last one, and no change later"
    assert browser.ends()
    assert browser.got.empty()


def test_what_was_asked_while_a_run_fails_is_answered_later() -> None:
    free = threading.Event()

    def opened() -> EchoView:
        if not free.is_set():
            raise RunError("not yet")
        return EchoView()

    browser = Browser(opened)
    assert browser.ask({"n": 4})["text"] == "not yet"
    free.set()
    assert browser.got.get(timeout=PATIENCE) == {"type": "echo", "of": {"n": 4}}
    assert browser.ends()


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
