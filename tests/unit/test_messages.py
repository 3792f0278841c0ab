"""The wire's words: there and back, and nothing but ProtocolError for all else."""

from __future__ import annotations

from typing import get_args

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from adaptive_scheduler.core.wire import messages
from adaptive_scheduler.core.wire.messages import (
    VERSION,
    Assigned,
    Beat,
    ChangeMaxJobs,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Hello,
    Idle,
    Ok,
    Owner,
    Picture,
    Refused,
    Release,
    Report,
    Retry,
    Status,
    Welcome,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from adaptive_scheduler.errors import ProtocolError
from tests.quick import usually

ME = Owner("70_3", 1, 2, "uuid")
FLOATS = st.floats(allow_nan=False)
COUNTS = st.integers(0, 2**40 - 1)
REPORTS = st.builds(Report, COUNTS, FLOATS | st.none(), FLOATS, COUNTS)
TOKENS = st.integers(0, 2**62)
REQUESTS = st.one_of(
    st.builds(Hello, st.text(), st.integers(0, 2**31), st.integers(0, 2**31), st.integers(-1, 99)),
    st.just(Claim()),
    st.builds(Beat, TOKENS, REPORTS),
    st.builds(Finish, TOKENS, REPORTS, st.booleans()),
    st.builds(Fail, TOKENS, st.text(), st.text(), REPORTS),
    st.builds(Release, TOKENS, st.text(), REPORTS),
    st.builds(Goodbye, st.text(), st.booleans()),
    st.builds(Status, st.sampled_from(["all", "active", "none"])),
    st.builds(ChangeMaxJobs, st.integers(0, 10**6)),
    st.builds(Retry, st.lists(st.integers(0, 99)) | st.none(), st.booleans()),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.text() | FLOATS, lambda v: st.dictionaries(st.text(), v)
)
REPLIES = st.one_of(
    st.just(Ok()),
    st.builds(Welcome, st.text(), FLOATS, FLOATS, FLOATS),
    st.builds(Assigned, TOKENS, TOKENS, st.text() | st.lists(st.text()), FLOATS, JSON),
    st.builds(Idle, FLOATS, st.booleans()),
    st.builds(Refused, st.text(), st.text()),
)


@given(REQUESTS, st.integers(0, 2**62))
def test_every_request_is_decoded_as_it_was_encoded(body: messages.Request, number: int) -> None:
    assert decode_request(encode_request(ME, number, body)) == (ME, number, body)


@given(REPLIES, st.integers(0, 2**62))
def test_every_reply_is_decoded_as_it_was_encoded(body: messages.Reply, number: int) -> None:
    assert decode_reply(encode_reply(number, body)) == (number, body)


def test_no_request_and_reply_is_left_out_here() -> None:
    assert {kind.__name__ for kind in get_args(messages.Request)} >= {"Stop", "Cancel", "Resume"}
    picture = Picture(msgspec.Raw(msgspec.msgpack.encode({"a": 1})))
    assert isinstance(decode_reply(encode_reply(1, picture))[1], Picture)


@given(st.binary(max_size=200))
@settings(max_examples=usually(500, quick=100))
def test_fault_15_garbage_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with pytest.raises(ProtocolError):
            decode(data)


@given(REQUESTS, st.data())
@settings(max_examples=usually(500, quick=100))
def test_a_damaged_message_is_a_protocol_error_or_another_message(
    body: messages.Request, data: st.DataObject
) -> None:
    message = bytearray(encode_request(ME, 3, body))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    for damaged in (bytes(message), bytes(message[:cut])):
        try:
            _, _, got = decode_request(damaged)
        except ProtocolError:
            continue
        assert isinstance(got, get_args(messages.Request))


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for decode in (decode_request, decode_reply):
        with pytest.raises(ProtocolError):
            decode(b"\x91" * depth)


@pytest.mark.parametrize(
    "fields", [[], [ME, 1, Claim()], [1, 2, 3, 4, 5], ["x"], [{"a": 1}], [None, None]]
)
def test_a_message_of_another_version_is_an_error_that_names_both_versions(
    fields: list[object],
) -> None:
    message = msgspec.msgpack.encode([VERSION + 1, *fields])
    for decode in (decode_request, decode_reply):
        with pytest.raises(ProtocolError, match=rf"of version {VERSION + 1}, .*one environment"):
            decode(message)


def test_an_unknown_kind_of_message_is_a_protocol_error() -> None:
    body = msgspec.Raw(msgspec.msgpack.encode({"type": "Explode"}))
    with pytest.raises(ProtocolError, match="Explode"):
        decode_request(msgspec.msgpack.encode(messages.Envelope(VERSION, ME, 1, body)))


def test_clients_of_one_job_are_ordered() -> None:
    assert Owner("1", 0, 5, "a").life < Owner("1", 1, 0, "b").life < Owner("1", 1, 1, "c").life
