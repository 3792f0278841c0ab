"""`report`: a report of 100,000 learners; `history`: what it is made of, and what it costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage import history_file, journal
from adaptive_scheduler.runs.report.write import write_report
from benchmarks.figures import Figure, at_most
from tests.run_folders import PastRun, large_run

MANY = 100_000
#: Lines of one checkpoint: of a busy manager, in fifty seconds.
LINES = 10_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Seconds and bytes of the report; bytes of the history; what a checkpoint takes for it."""
    with tempfile.TemporaryDirectory() as home:
        folder = large_run(Path(home) / "large", MANY)
        path = Path(home) / "report.html"
        seconds = [_cpu(lambda: write_report(folder, path)) for _ in range(rounds)]
        yield Figure(
            "report", "a report of 100,000 learners, written", "s", seconds, bar=at_most(5)
        )
        size = path.stat().st_size / 1e6
        yield Figure("report-size", "the same: its file", "MB", [size], bar=at_most(5))
        kept = folder.history.stat().st_size / (2 * MANY)
        yield Figure(
            "history-bytes", "the history on disk", "bytes/transition", [kept], bar=at_most(100)
        )
        reads = [_cpu(lambda: history_file.read_history(folder)) for _ in range(rounds)]
        yield Figure("history-read", "reading it: 100,000 tries in 50 jobs", "s", reads)
        folds = [_fold(Path(home) / f"fold{n}") for n in range(rounds)]
        yield Figure(
            "history-fold", "a checkpoint's time for a line, in its own process", "µs", folds
        )


def _cpu(what: Callable[[], object]) -> float:
    """Seconds of processor time: nothing here waits, and other processes of the machine do not count."""
    begin = time.process_time()
    what()
    return time.process_time() - begin


def _fold(home: Path) -> float:
    """Microseconds of one line of the journal."""
    run = PastRun(home, [str(n) for n in range(LINES // 2)])
    run.commit = run.note  # type: ignore[method-assign]
    run.submit(["1"], 0.0)
    run.start("1", 1.0)
    for n in range(LINES // 2):
        run.finish(run.claim("1", 2.0 + n), 2.5 + n, 0.4)
    folder: RunFolder = run.close()
    history = history_file.open_history(folder, {})
    numbers = journal.segments(folder)
    return 1e6 * _cpu(lambda: history_file.extend(folder, history, numbers)) / LINES
