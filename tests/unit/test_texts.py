"""What users' code says, made fit to be said."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from adaptive_scheduler.core.texts import MAX_TEXT, sanitize, sanitize_message
from adaptive_scheduler.core.wire.messages import Claim, Fail, Owner, decode_request, encode_request
from adaptive_scheduler.io.system.logs import open_log
from adaptive_scheduler.runs.views.log_entries import entry_line, read_entries

ANY = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize("text", ["", "naïve 漢字 🎈\n\ttab", "a" * MAX_TEXT])
def test_safe_texts_stay_as_they_are(text: str) -> None:
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [("no file \udcff", r"no file \udcff"), ("\x1b[2J\0", r"\x1b[2J\x00"), ("50 %\r99 %", r"50 %\r99 %")],
)  # fmt: skip
def test_unsafe_characters_are_escaped(text: str, said: str) -> None:
    assert sanitize(text) == said


def test_the_middle_of_a_long_text_is_left_out() -> None:
    said = sanitize("begin" + "x" * 30_000_000 + "end")
    assert said.startswith("begin")
    assert said.endswith("end")
    assert "29900008 letters are left out" in said
    assert len(said) < MAX_TEXT + 100


@given(ANY, ANY)
def test_any_reason_and_traceback_can_be_sent(reason: str, traceback: str) -> None:
    said = sanitize_message(Fail(7, reason, traceback))
    me = Owner("1", 0, 0, "me")
    assert decode_request(encode_request(me, 1, said))[2] == said
    msgspec.json.encode(said)
    claim = Claim()
    assert sanitize_message(claim) is claim


def test_any_fact_can_be_logged_whatever_the_locale(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    log = open_log(path, job="dätä")
    log.info("item_failed", reason="no file \udcff 漢", loss=float("inf"), n=3)
    (line,) = path.read_text(encoding="utf-8").splitlines()
    event = json.loads(line)
    assert (event["reason"], event["job"], event["loss"]) == (r"no file \udcff 漢", "dätä", None)


def test_a_log_line_has_the_facts_of_its_log_its_level_and_its_time(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    log = open_log(path, run="r", item=1)
    bound = log.bind(item=2)
    log.info("a", n=1)
    bound.warning("b")
    try:
        raise ValueError("why")
    except ValueError:
        bound.exception("c", reason="x")
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    times = [datetime.fromisoformat(line.pop("timestamp")) for line in (first, second, third)]
    assert times == sorted(times)
    assert abs(times[0].timestamp() - time.time()) < 60
    assert first == {"run": "r", "item": 1, "n": 1, "event": "a"}
    assert second == {"run": "r", "item": 2, "level": "warning", "event": "b"}
    assert third.pop("exception").splitlines()[-1] == "ValueError: why"
    assert third == {"run": "r", "item": 2, "reason": "x", "level": "error", "event": "c"}
    assert entry_line(list(read_entries(path, "7"))[1]).spans[-1].style == "yellow"
