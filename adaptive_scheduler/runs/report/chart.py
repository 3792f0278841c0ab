"""The chart of jobs over time: which lines are drawn, and what is put together on them."""

from __future__ import annotations

from collections import defaultdict

from adaptive_scheduler.core.history.records import JobSpan, RunHistory, Stretch
from adaptive_scheduler.core.texts import natural
from adaptive_scheduler.core.wire.ends import How
from adaptive_scheduler.runs.report.figures import Bar, Chart, Line

#: Lines, and parts of a line, at most.
MOST_LINES, MOST_BARS = 200, 150
#: Names of one part that are given.
_NAMED = 3
#: A try that goes on.
GOES_ON = -1


def chart(history: RunHistory, now: float) -> Chart:
    """Return the lines of those jobs that held most, in the order of their submits."""
    known = [(place, job) for place, job in enumerate(history.jobs) if job.submitted or job.begin]
    begin = min((job.submitted or job.begin for _, job in known), default=now)
    end = max((_end(job, now) for _, job in known), default=now)
    known.sort(key=lambda one: -one[1].cores * (_end(one[1], now) - (one[1].begin or now)))
    shown = sorted(known[:MOST_LINES], key=lambda one: (one[1].submitted, natural(one[1].id)))
    tries = _tries(history, {place for place, _ in shown}, now)
    width = max(end - begin, 1e-9) / MOST_BARS
    return Chart(
        begin, end, len(history.jobs) + history.past.jobs,
        [_line(job, tries[place], width, history.kind, now) for place, job in shown],
    )  # fmt: skip


def _end(job: JobSpan, now: float) -> float:
    return job.end(now) if job.begin else (job.ended or now)


def _tries(history: RunHistory, places: set[int], now: float) -> dict[int, list[Stretch]]:
    found: defaultdict[int, list[Stretch]] = defaultdict(list)
    for one in history.stretches:
        if one.job in places:
            found[one.job].append(one)
    for item, under_way in history.running.items():
        if under_way.job in places:
            end = max(now, under_way.began)
            found[under_way.job].append(
                Stretch(item, under_way.job, under_way.began, end, how=GOES_ON)
            )
    return found


def _line(job: JobSpan, tries: list[Stretch], width: float, kind: str, now: float) -> Line:
    how = (job.goodbye or job.cause) if job.ended else "goes on"
    few = len(tries) <= MOST_BARS and not _overlap(tries)
    bars = (
        [_bar([one], one.began, one.ended, 1.0, kind) for one in tries]
        if few
        else _together(tries, width, job.cores, kind)
    )
    return Line(
        job.id, job.host, job.cores, job.submitted, job.begin, _end(job, now), how, bars
    )  # fmt: skip


def _overlap(tries: list[Stretch]) -> bool:
    ends = 0.0
    for one in sorted(tries, key=lambda one: one.began):
        if one.began < ends - 1e-3:
            return True
        ends = max(ends, one.ended)
    return False


def _together(tries: list[Stretch], width: float, cores: int, kind: str) -> list[Bar]:
    """One part for each span of time, as dark as its cores were busy."""
    inside: defaultdict[int, list[Stretch]] = defaultdict(list)
    busy: defaultdict[int, float] = defaultdict(float)
    first = min(one.began for one in tries)
    for one in tries:
        places = range(int((one.began - first) / width), int((one.ended - first) / width) + 1)
        for place in places:
            low, high = first + place * width, first + (place + 1) * width
            busy[place] += max(0.0, min(high, one.ended) - max(low, one.began))
            inside[place].append(one)
    of_one = cores if kind == "task" else 1
    return [
        _bar(
            inside[place], first + place * width, first + (place + 1) * width,
            min(1.0, busy[place] / (width * max(1, of_one))), kind,
        )
        for place in sorted(inside)
    ]  # fmt: skip


#: What is shown where several ends meet: the worst.
_WORST = (
    How.CRASHED, How.FAILED, How.LOST, How.WALLTIME, How.CANCELLED, How.GIVEN_BACK, GOES_ON, How.DONE,
)  # fmt: skip


def _bar(tries: list[Stretch], begin: float, end: float, share: float, kind: str) -> Bar:
    ends = {one.how for one in tries}
    how = next(int(one) for one in _WORST if one in ends)
    items = list(dict.fromkeys(one.item for one in tries))
    named = ", ".join(map(str, items[:_NAMED]))
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    what = f"{kind}{'s' * (len(items) > 1)} {named}{more}"
    return Bar(round(begin, 3), round(end, 3), how, round(share, 3), what)
