"""A report as one page that needs no network: the view of the run at its end, and the figures."""

from __future__ import annotations

import base64
import gzip
import html
import os
from typing import TYPE_CHECKING, Any

import msgspec

from adaptive_scheduler.core.history.core_use import PARTS
from adaptive_scheduler.core.rows.row import LEARNER
from adaptive_scheduler.runs.report.decide import COLUMNS, ENDS, table_rows, without_unused
from adaptive_scheduler.runs.report.figures import RunReport
from adaptive_scheduler.runs.report.markdown import LABELS, core_hours, lasting, when
from adaptive_scheduler.runs.views.page import bundle
from adaptive_scheduler.runs.views.page.messages import Column, SeriesData, Summary
from adaptive_scheduler.runs.views.render import common_folder

if TYPE_CHECKING:
    from adaptive_scheduler.runs.report.collect import Collected

#: Nothing is loaded from anywhere, even if a text of the run got past the escaping.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
_NO_SCRIPT = (
    "<noscript>This report is drawn by JavaScript, which is switched off here. "
    "<code>adaptive-scheduler report --markdown</code> gives the same as text.</noscript>"
)


def as_page(found: Collected) -> str:
    """Return the whole HTML."""
    kind = found.report.run.kind
    title = html.escape(f"Report of {found.report.run.name}")
    styles = "\n".join([bundle.styles(), bundle.file_text("report.css")])
    return "\n".join([
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{title}</title>\n<style>{_in_element(styles)}</style>\n</head>\n<body>",
        '<main id="report"></main>',
        _NO_SCRIPT,
        _embedded("report-data", _as_json(data_of(found))),
        _embedded("report-rows", _packed(_rows(found, kind))),
        f'<script type="module">{_in_element(bundle.script("report.js"))}</script>',
        "</body>\n</html>\n",
    ])  # fmt: skip


def _rows(found: Collected, kind: str) -> list[list[Any]]:
    """The table, without the folder that all data are in."""
    rows, folder = table_rows(found.rows), _shared_folder(found)
    for row in rows:
        row[1] = _short(row[1], folder)
    return [without_unused(row, kind) for row in rows]


def _shared_folder(found: Collected) -> str:
    folder = common_folder(found.rows) if found.report.run.kind == LEARNER else ""
    return "" if folder == os.sep else folder


def _short(name: str, folder: str) -> str:
    """A learner's name without the folder that is shown once; several files are one name."""
    return ", ".join(one.removeprefix(folder) for one in name.split(", "))


def data_of(found: Collected) -> dict[str, Any]:
    """What the page draws: the figures as texts and numbers, and the view's own messages."""
    report, folder = found.report, _shared_folder(found)
    return {
        "summary": msgspec.to_builtins(_at_the_end(found.summary, report)),
        "columns": [
            msgspec.to_builtins(Column(*one)) for one in without_unused(COLUMNS, report.run.kind)
        ],
        "title": f"Report of {report.run.name}",
        "head": [*_head(report), *([("data in", folder)] if folder else [])],
        "remarks": report.remarks,
        "kind": report.run.kind,
        "use": _use(report),
        "held": core_hours(report.use.held),
        "waits": _waits(report),
        "ends": {str(int(how)): text for how, text in ENDS.items()} | {"-1": "goes on"},
        "tries": [
            [one.how, f"{one.tries:,}", core_hours(one.core_seconds)]
            for one in report.retries.by_end
        ],
        "reasons": [[f"{n:,}", reason] for reason, n in report.retries.reasons],
        "slowest": [
            [one.item, _short(one.name, folder), one.phase, lasting(one.seconds), one.tries]
            for one in report.slowest
        ],
        "failures": _failures(report, folder),
        "chart": msgspec.to_builtins(report.chart),
        "series": msgspec.to_builtins(report.series),
        "parameters": [[name, _setting(value)] for name, value in report.parameters.items()],
        "versions": list(report.versions.items()),
    }


def _use(report: RunReport) -> list[dict[str, Any]]:
    """What cores were held for, part by part."""
    return [
        {
            "part": name,
            "label": LABELS[name],
            "value": getattr(report.use, name),
            "text": core_hours(getattr(report.use, name)),
        }
        for name in PARTS
    ]


def _failures(report: RunReport, folder: str) -> Any:
    """Groups of failures, with short names."""
    return msgspec.to_builtins([
        msgspec.structs.replace(one, names=[_short(name, folder) for name in one.names])
        for one in report.failures
    ])  # fmt: skip


def _at_the_end(shown: Summary, report: RunReport) -> Summary:
    """The view without buttons, with the series of the whole run."""
    series, is_learner = report.series, report.run.kind == "learner"
    data = SeriesData(
        list(series.time), list(series.cores_held), list(series.cores_used),
        list(series.points if is_learner else series.ended),
    )  # fmt: skip
    return msgspec.structs.replace(shown, actions=[], series=data)


def _head(report: RunReport) -> list[tuple[str, str]]:
    run = report.run
    took = lasting(run.ended - run.begun) if run.begun and run.ended else ""
    facts = [
        ("folder", run.folder), ("begun", when(run.begun)), ("ended", when(run.ended)), ("took", took),
        (f"{run.kind}s", f"{run.total:,}"),
        ("points", f"{run.points:,}" if run.kind == "learner" else ""),
        ("jobs", _jobs(report)), ("report of", when(report.made)),
    ]  # fmt: skip
    return [fact for fact in facts if fact[1]]


def _jobs(report: RunReport) -> str:
    ended = ", ".join(f"{n:,} {cause}" for cause, n in report.jobs.ended_by.items())
    return f"{report.jobs.total:,}" + (f" (ended: {ended})" if ended else "")


def _waits(report: RunReport) -> list[tuple[str, str]]:
    waits = report.waits
    named = (
        ("mean", waits.mean), ("median", waits.median), ("90 % within", waits.ninety_percent),
        ("longest", waits.longest),
    )  # fmt: skip
    found = [(name, lasting(value)) for name, value in named if value is not None]
    return [
        *found, ("jobs that have left the queue", f"{waits.jobs:,}"),
        ("jobs that wait now", f"{waits.waiting_now:,}"),
    ]  # fmt: skip


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _packed(value: Any) -> str:
    """Compressed; the browser's own DecompressionStream reads it."""
    return base64.b64encode(gzip.compress(msgspec.json.encode(value), 6, mtime=0)).decode()


def _embedded(name: str, text: str) -> str:
    """A block of data; in JSON and Base64 a ``<`` stands in strings alone, which may have it escaped."""
    escaped = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{escaped}</script>'


def _in_element(text: str) -> str:
    """A script or style of our own, which must not end its element."""
    return text.replace("</script", "<\\/script").replace("</style", "<\\/style")
