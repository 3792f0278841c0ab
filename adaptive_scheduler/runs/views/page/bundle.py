"""The front end as texts: single files for who serves them, one joined text for who cannot."""

from __future__ import annotations

import re
from pathlib import Path

#: Where the files are, for a server.
FOLDER = Path(__file__).with_name("static")
#: Modules, each before those that import it.
MODULES = ("uplot.js", "dom.js", "charts.js", "table.js", "view.js")
STYLES = ("uplot.css", "view.css")
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=function|const|class)", re.MULTILINE)
_UPLOT_EXPORT = "export { uPlot as default };"


def script(last: str = "widget.js") -> str:
    """Return one ES module that needs no other; `last` is what uses the view, and may export."""
    parts = [_inner(name) for name in MODULES]
    return "\n".join([*parts, _IMPORT.sub("", _text(last))])


def styles() -> str:
    """Return all styles as one text."""
    return "\n".join(_text(name) for name in STYLES)


def file_text(name: str) -> str:
    """Return one of the files."""
    return _text(name)


def _inner(name: str) -> str:
    text = _EXPORT.sub("", _IMPORT.sub("", _text(name)))
    if name == "uplot.js":  # it has many short names of its own
        return f"const uPlot = (() => {{\n{text.replace(_UPLOT_EXPORT, '')}\nreturn uPlot;\n}})();"
    return text


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
