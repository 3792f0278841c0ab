"""The growth of a counter."""

from __future__ import annotations

import pytest

from adaptive_scheduler.core.rate import Rate


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
