"""The growth of a counter, and the rate of commands."""

from __future__ import annotations

import pytest

from adaptive_scheduler.core.rate import Rate, RateLimiter


def test_one_sample_gives_no_rate():
    assert Rate().note(100, now=5.0) == 0.0


def test_growth_is_per_second():
    rate = Rate()
    rate.note(100, now=0.0)
    assert rate.note(150, now=10.0) == pytest.approx(5.0)


def test_only_the_window_counts():
    rate = Rate(window=30.0)
    for second in range(100):
        rate.note(1000 if second < 40 else 1000 + 10 * (second - 40), now=float(second))
    assert rate.note(1600, now=100.0) == pytest.approx(10.0)


def test_samples_before_the_window_are_dropped():
    rate = Rate(window=10.0)
    rate.note(0, now=0.0)
    rate.note(1000, now=1.0)
    rate.note(1000, now=50.0)
    assert rate.note(1000, now=61.0) == 0.0


def test_the_rate_is_never_negative():
    rate = Rate()
    rate.note(100, now=0.0)
    assert rate.note(50, now=1.0) == 0.0


def test_a_quarter_of_the_commands_of_a_minute_may_come_at_once():
    limiter = RateLimiter(per_minute=60, now=0.0)
    assert [limiter.take(0.0) for _ in range(15)] == [0.0] * 15
    assert limiter.take(0.0) == 1.0


def test_a_stream_of_commands_runs_at_the_rate():
    limiter = RateLimiter(per_minute=60, now=0.0)
    now = 0.0
    for _ in range(600):
        now += limiter.take(now)
    assert now == pytest.approx(600 - 15, abs=2)


def test_tokens_come_back_and_are_not_saved_up():
    limiter = RateLimiter(per_minute=60, now=0.0)
    for _ in range(15):
        limiter.take(0.0)
    assert limiter.take(5.0) == 0.0
    assert [limiter.take(1e6) > 0 for _ in range(16)] == [False] * 15 + [True]
