"""`points`: cost of the point journal, and time to load a Learner1D.

The journal's cost is CPU time in this process: each point is added as the runner adds it, and
what waits is written each 0.1 s of points at 5,000 a second, with the fsync each 10 s.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import PointJournal
from benchmarks.figures import Figure, at_most
from benchmarks.runners import line, peak

RATE, INTERVAL, POINTS, NEXT = 5_000, 0.1, 20_000, 50


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """The journal at 5,000 points/s, and loading 20,000 points compared with adaptive's load."""
    points = sampled(POINTS)
    with tempfile.TemporaryDirectory() as folder:
        journals = [journal(Path(folder), turn, points) for turn in range(rounds)]
        fname = str(Path(folder) / "line")
        save(points, fname)
        loads = [loaded(fname, with_peer) for _ in range(rounds)]
    yield Figure(
        "points-bytes", "size of the point journal, a record each 0.1 s", "bytes/point",
        [size for size, _ in journals], bar=at_most(100),
    )  # fmt: skip
    yield Figure(
        "points-share", "the journal's share of one core at 5,000 points/s", "",
        [share for _, share in journals], bar=at_most(0.05),
    )  # fmt: skip
    yield Figure(
        "points-load", f"loading a Learner1D of {POINTS:,} points", "s",
        [ours for ours, _ in loads], [theirs for _, theirs in loads if theirs], at_most(1.0),
        "adaptive's own load", "equal in losses, neighbors and the next 50 points: asserted",
    )  # fmt: skip


def sampled(n: int) -> list[tuple[float, float]]:
    """Points that a Learner1D asked for, in the order of `tell`."""
    learner = line()
    while learner.npoints < n:
        for x in learner.ask(16)[0]:
            learner.tell(x, peak(x))
    return list(learner.data.items())


def journal(folder: Path, turn: int, points: list[tuple[float, float]]) -> tuple[float, float]:
    """Bytes per point, and the share of a core at `RATE`."""
    kept = PointJournal(str(folder / f"line{turn}"), 1)
    learner = line()
    at_a_time = int(RATE * INTERVAL)
    begin = time.process_time()
    for start in range(0, len(points), at_a_time):
        for x, y in points[start : start + at_a_time]:
            kept.add(adaptive_private.compact(learner, x), y)
        kept.flush()
    kept.flush(sync=True)
    seconds = time.process_time() - begin
    size = kept.path.stat().st_size
    kept.discard()
    return size / len(points), seconds / (len(points) / RATE)


def save(points: list[tuple[float, float]], fname: str) -> None:
    """Write the data file as a client would."""
    learner = line()
    learner.data.update(points)
    Path(fname).write_bytes(adaptive_private.compress(adaptive_private.dump_data(learner)))


def loaded(fname: str, with_peer: bool) -> tuple[float, float | None]:
    """Seconds of our load and of adaptive's; both must give the same learner."""
    ours, seconds = timed(
        lambda learner: adaptive_private.set_data(
            learner, adaptive_private.read_data(Path(fname).read_bytes())
        )
    )
    if not with_peer:
        return seconds, None
    theirs, their_seconds = timed(lambda learner: learner.load(fname))
    if known(ours) != known(theirs):
        raise RuntimeError("our load led to another learner than adaptive's own")
    return seconds, their_seconds


def timed(load: Callable[[Any], None]) -> tuple[Any, float]:
    """Load a learner in one way; returns it and the seconds it took."""
    learner = line()
    begin = time.perf_counter()
    load(learner)
    return learner, time.perf_counter() - begin


def known(learner: Any) -> tuple[Any, ...]:
    """What must be equal: losses, neighbors, and the next points."""
    losses, neighbors = list(learner.losses.items()), dict(learner.neighbors)
    return losses, neighbors, learner.ask(NEXT)
