"""The counts by which connections are limited."""

from __future__ import annotations

import time

import pytest
import zmq

from adaptive_scheduler.io.transport.connection_limit import ConnectionLimiter


def test_the_pause_between_two_counts_begins_after_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    counted: list[float] = []

    def count(_: ConnectionLimiter) -> int:
        clock[0] += 1.0  # it takes a second, while many connect
        counted.append(clock[0])
        return 1000

    monkeypatch.setattr(ConnectionLimiter, "_count", count)
    with zmq.Context() as context:
        limiter = ConnectionLimiter(context)
        try:
            limiter._update(0.0)
            limiter.update()
            assert counted == [1.0], "else the thread would count without a pause"
            clock[0] += 1.0
            limiter.update()
            assert counted == [1.0, 3.0]
        finally:
            monkeypatch.undo()
            limiter.close()
