"""How cores and ends came over time, as a few points to draw."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adaptive_scheduler.core.history.bins import Bins
from adaptive_scheduler.core.history.records import RunHistory


class HistorySeries(msgspec.Struct):
    """Lines to draw; all lists are equally long.

    Attributes
    ----------
    time : list of float
        The middle of each span, in seconds since 1970.
    width : float
        Seconds of each span.
    cores_held, cores_used : list of float
        On the average of the span: held by jobs; computing, of tries that go on all of theirs.
    ended : list of float
        Learners or tasks that were done, a second.
    points : list of float
        Points of learners, a second; those of a try are spread over it.
    done : list of float
        Learners or tasks done so far.
    """

    time: list[float]
    width: float
    cores_held: list[float]
    cores_used: list[float]
    ended: list[float]
    points: list[float]
    done: list[float]


def series(
    history: RunHistory, now: float, most: int = 300, npoints: Mapping[int, int] | None = None
) -> HistorySeries:
    """Return at most `most` spans, of jobs and tries that go on until `now`.

    Parameters
    ----------
    history : RunHistory
    now : float
    most : int
    npoints : mapping of int to int, optional
        Points of learners that run, as far as known: the history has them only when a try ends.
    """
    bins = _with_open(history, now, npoints or {})
    n = len(bins.held)
    step = max(1, -(-n // most))
    width = step * bins.width
    starts = range(0, n, step)
    spans = [_seconds(bins, place, step, now) for place in starts]

    def per_second(values: list[float]) -> list[float]:
        sums = [sum(values[place : place + step]) for place in starts]
        return [round(max(0.0, one) / span, 6) for one, span in zip(sums, spans, strict=True)]

    done, so_far = [], 0.0
    for place in starts:
        so_far += sum(bins.ended[place : place + step])
        done.append(so_far)
    return HistorySeries(
        [bins.begin + (place + step / 2) * bins.width for place in starts], width,
        per_second(bins.held), per_second(bins.used), per_second(bins.ended),
        per_second(bins.points), done,
    )  # fmt: skip


def _seconds(bins: Bins, place: int, step: int, now: float) -> float:
    """Seconds of a span that have passed: the last one may be cut by `now`."""
    whole = step * bins.width
    passed = now - (bins.begin + place * bins.width)
    return passed if bins.width / 10 < passed < whole else whole


def _with_open(history: RunHistory, now: float, npoints: Mapping[int, int]) -> Bins:
    bins = history.bins.copy()
    for job in history.jobs:
        if job.begin and not job.ended:
            bins.add("held", job.begin, job.end(now), job.cores * (job.end(now) - job.begin))
    for number, one in history.running.items():
        if one.began < now:
            bins.add("used", one.began, now, one.cores * (now - one.began))
            bins.add("points", one.began, now, max(0, npoints.get(number, 0) - one.points))
    return bins
