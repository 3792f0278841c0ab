"""Texts of the user's code are made safe for messages, logs and terminals."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from adaptive_scheduler.core.sanitize import LONGEST, sanitize, sanitized_message
from adaptive_scheduler.core.wire.messages import Claim, Fail, Owner, decode_request, encode_request
from adaptive_scheduler.io.system.logs import open_log

ANY = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize("text", ["", "naïve 漢字 🎈\n\ttab", "a" * LONGEST])
def test_a_safe_text_is_not_changed(text: str) -> None:
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [("no file \udcff", r"no file \udcff"), ("\x1b[2J\0", r"\x1b[2J\x00"), ("50 %\r99 %", r"50 %\r99 %")],
)  # fmt: skip
def test_unsafe_characters_are_escaped_as_python_escapes_them(text: str, safe: str) -> None:
    assert sanitize(text) == safe


def test_the_middle_of_a_long_text_is_left_out() -> None:
    short = sanitize("begin" + "x" * 30_000_000 + "end")
    assert short.startswith("begin")
    assert short.endswith("end")
    assert "29900008 letters are left out" in short
    assert len(short) < LONGEST + 100


@given(ANY, ANY)
def test_any_text_can_be_sent(reason: str, traceback: str) -> None:
    message = sanitized_message(Fail(7, reason, traceback))
    me = Owner("1", 0, 0, "me")
    assert decode_request(encode_request(me, 1, message))[2] == message
    msgspec.json.encode(message)
    claim = Claim()
    assert sanitized_message(claim) is claim


def test_any_value_can_be_logged_in_any_locale(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    log = open_log(path, job="dätä")
    log.info("item_failed", reason="no file \udcff 漢", loss=float("inf"), n=3)
    (line,) = path.read_text(encoding="utf-8").splitlines()
    event = json.loads(line)
    assert (event["reason"], event["job"], event["loss"]) == (r"no file \udcff 漢", "dätä", None)
