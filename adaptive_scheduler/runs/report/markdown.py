"""A report as Markdown, for a letter."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

from adaptive_scheduler.core.history.core_use import PARTS
from adaptive_scheduler.runs.report.figures import RunReport
from adaptive_scheduler.runs.views.tables import duration

#: What became of the cores, in words.
LABELS = {
    "computing": "computing", "starting": "lost to start-up", "saving": "loading and saving",
    "crashes": "lost to failures and crashes", "walltime": "lost to walltime", "idle": "idle",
}  # fmt: skip
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|$~])")


def as_markdown(report: RunReport) -> str:
    """Return the whole text."""
    parts = [_head(report), _use(report), _waits(report), _slowest(report), _failures(report)]
    parts += [_retries(report), _settings(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Return a text of which Markdown makes itself, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(names: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    rows = [names, ["---"] * len(names), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def core_hours(seconds: float) -> str:
    """Core-seconds as people read them."""
    if seconds < 360:
        return f"{seconds:.3g} core-s"
    hours = seconds / 3600
    return f"{hours:,.1f} core-h" if hours >= 10 else f"{hours:.2f} core-h"


def lasting(seconds: float) -> str:
    """A duration, of which short ones have digits behind the point."""
    return f"{seconds:.2g} s" if 0 < seconds < 10 else duration(seconds)


def when(seconds: float | None) -> str:
    """A time of the calendar."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _head(report: RunReport) -> str:
    run = report.run
    lines = [f"# Report of {escape(run.name)}", "", escape(run.sentence), ""]
    facts = [("folder", escape(run.folder)), ("begun", when(run.begun)), ("ended", when(run.ended))]
    if run.begun and run.ended:
        facts.append(("took", lasting(run.ended - run.begun)))
    facts += [(f"{run.kind}s {phase}", f"{n:,}") for phase, n in run.phases.items()]
    if run.kind == "learner":
        facts.append(("points", f"{run.points:,}"))
    facts.append(("jobs", f"{report.jobs.total:,}"))
    lines.append(table(("what", "value"), [fact for fact in facts if fact[1]]))
    return "\n".join([*lines, *(f"\n{escape(one)}" for one in [*run.notes, *report.remarks])])


def _use(report: RunReport) -> str:
    use = report.use
    if not use.held:
        return "## What became of the cores\n\nNo job has held cores yet, as far as is known."
    lines = [
        (LABELS[name], core_hours(getattr(use, name)), f"{getattr(use, name) / use.held:.1%}")
        for name in PARTS
    ]
    rows = [*lines, ("**held in all**", core_hours(use.held), "100%")]
    return "## What became of the cores\n\n" + table(("part", "core time", "share"), rows)


def _waits(report: RunReport) -> str:
    waits = report.waits
    lines = [
        (name, lasting(value))
        for name, value in (
            ("mean", waits.mean), ("median", waits.median), ("90 % within", waits.ninety_percent),
            ("longest", waits.longest),
        )
        if value is not None
    ]  # fmt: skip
    lines.append(("jobs that have left the queue", f"{waits.jobs:,}"))
    lines.append(("jobs that wait now", f"{waits.waiting_now:,}"))
    return "## Waiting in the queue\n\n" + table(("what", "value"), lines)


def _slowest(report: RunReport) -> str:
    if not report.slowest:
        return ""
    lines = [
        (str(one.item), escape(one.name), one.phase, lasting(one.seconds), str(one.tries))
        for one in report.slowest[:10]
    ]
    return f"## Slowest {report.run.kind}s\n\n" + table(
        ("no.", "name", "phase", "worked for", "tries"), lines
    )


def _failures(report: RunReport) -> str:
    if not report.failures:
        return "## Failures\n\nNone."
    parts = ["## Failures"]
    for one in report.failures:
        parts.append(f"### {_times(one.count)}{escape(one.reason)}")
        named = [
            str(item) if name == f"{report.run.kind} {item}" else f"{item} ({escape(name)})"
            for item, name in zip(one.items, one.names, strict=False)
        ]
        more = " and others" if one.count > len(named[:10]) else ""
        parts.append(f"{report.run.kind}{'s' * (one.count > 1)} {', '.join(named[:10])}{more}")
        if one.traceback:
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", one.traceback)), default=0))
            parts.append(f"{fence}text\n{one.traceback.rstrip()}\n{fence}")
    return "\n\n".join(parts)


def _times(n: int) -> str:
    return f"{n:,} times: " if n > 1 else ""


def _retries(report: RunReport) -> str:
    if not report.retries.tries:
        return ""
    lines = [
        (one.how, f"{one.tries:,}", core_hours(one.core_seconds)) for one in report.retries.by_end
    ]
    text = "## Tries\n\n" + table(("ended", "tries", "held"), lines)
    reasons = [(f"{n:,}", escape(reason)) for reason, n in report.retries.reasons]
    return text + ("\n\n" + table(("tries", "reason"), reasons) if reasons else "")


def _settings(report: RunReport) -> str:
    lines = [(escape(name), escape(str(value))) for name, value in report.parameters.items()]
    versions = [(escape(name), escape(version)) for name, version in report.versions.items()]
    return (
        "## Settings\n\n" + table(("name", "value"), lines)
        + "\n\n## Versions\n\n" + table(("package", "version"), versions)
    )  # fmt: skip
