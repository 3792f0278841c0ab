"""The few pages of HTML; what they show comes by scripts."""

from __future__ import annotations

import html
from dataclasses import dataclass
from string import Template

from adaptive_scheduler.runs.views.page.bundle import STYLES

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
$head<link rel="icon" href="data:,">
<title>$title</title>
</head>
<body>
$body
</body>
</html>
""")


def refusal(reason: str) -> str:
    """Return the page for who is not let in."""
    body = f"<h1>Not shown</h1>\n<p>{html.escape(reason)}</p>"
    return _page("adaptive-scheduler", "", body)


def entered(path: str) -> str:
    """Return the page that goes on to the one behind it, with the cookie."""
    to = html.escape(path)
    head = f'<meta http-equiv="refresh" content="0; url={to}">\n'
    return _page("adaptive-scheduler", head, f'<p><a href="{to}">Go on to your runs</a></p>')


@dataclass(frozen=True)
class ShownRun:
    """The run of a page: what stands for it in addresses, its name, whether it may be changed."""

    key: str
    name: str
    may_change: bool


def run_page(path: str, run: ShownRun, has_index: bool) -> str:
    """Return the page of one run."""
    back = f'<a href="{html.escape(path)}runs">All runs</a>' if has_index else ""
    mode = "" if run.may_change else '<span id="mode">read-only</span>'
    nav = f"<nav>{back}{mode}</nav>\n" if back or mode else ""
    body = (
        f'{nav}<p id="connection" role="status" hidden></p>\n'
        f'<main id="view" data-key="{html.escape(run.key)}" '
        f'data-may-change="{str(run.may_change).lower()}"></main>\n{_NO_SCRIPTS}'
    )
    return _page(run.name, _scripts(path, "web.js"), body)


def index_page(path: str, folder: str) -> str:
    """Return the page with all runs."""
    body = (
        f'<main id="runs"><h1>Runs below <span class="path">{html.escape(folder)}</span></h1>\n'
        '<p id="connection" role="status" hidden></p>\n'
        f'<div id="table"><p>Looks for runs …</p></div></main>\n{_NO_SCRIPTS}'
    )
    return _page(f"Runs below {folder}", _scripts(path, "index.js"), body)


_NO_SCRIPTS = "<noscript><p>This page needs JavaScript.</p></noscript>"


def _scripts(path: str, script: str) -> str:
    static = html.escape(path) + "static/"
    styles = [f'<link rel="stylesheet" href="{static}{name}">\n' for name in (*STYLES, "web.css")]
    return "".join(styles) + f'<script type="module" src="{static}{script}"></script>\n'


def _page(title: str, head: str, body: str) -> str:
    return _PAGE.substitute(title=html.escape(title), head=head, body=body)
