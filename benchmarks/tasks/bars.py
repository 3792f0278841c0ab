"""What the rows of tasks must reach, on two cores, by the name of the figure."""

from __future__ import annotations

from benchmarks.figures import Bar, at_least, at_most

BARS: dict[str, Bar] = {
    "calls": at_least(15_000),
    "calls-executorlib": at_least(2, "ratio"),
    "calls-parsl": at_least(2, "ratio"),
    "calls-dask": at_least(2, "ratio"),
    "calls-1ms": at_least(0.85),
    "calls-latency": at_most(2.5),
    "calls-latency-parsl": at_most(1, "ratio"),
    "calls-submit": at_most(0.6),
    "calls-submit-answer": at_most(50),
    "commands": at_least(0.7, "ratio"),
    "ask-tell": at_least(5_000),
    "place-empty": at_most(70),
    "place-half": at_most(70),
    "place-full": at_most(70),
    "place-hand-out": at_most(200),
    "programs": at_least(0.5, "ratio"),
    "sweep": at_least(0.5, "ratio"),
    "sweep-mlrunner": at_least(2, "ratio"),
    "ranked": at_least(0.9),
    "ranked-evaluations": at_most(0.5, "ratio"),
    "prioritise": at_most(0.5),
    "million": at_most(1.2),
    "million-hand-out": at_most(1.3, "ratio"),
    "million-reopened": at_most(4),
    "million-future": at_most(600),
}
