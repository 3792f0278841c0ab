"""What users' code says, made fit to be said."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from adaptive_scheduler.core.texts import MAX_TEXT, sanitize, sanitize_message
from adaptive_scheduler.core.wire.messages import Claim, Fail, Owner, decode_request, encode_request
from adaptive_scheduler.io.system.logs import open_log

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
