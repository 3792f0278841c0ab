"""One fact as a line: of the journal first, and then of a file of facts."""

from __future__ import annotations

import base64
import re

#: Kinds of facts; their places in this list are stored.
TABLES = ("spec", "value", "error", "path", "times", "told")
NUMBERS = {name: number for number, name in enumerate(TABLES)}
#: What begins the line of a fact, and of nothing else, in the journal.
PREFIX = b'["f:'
_LINE = re.compile(rb'\["f:([a-z]+)","([0-9]+)","([A-Za-z0-9+/=]*)"\]')


def line(table: str, item: int, data: bytes) -> bytes:
    """Return the journal's line of a fact, without its newline."""
    return b'["f:%s","%d","%s"]' % (table.encode(), item, base64.b64encode(data))


def parse(text: bytes) -> tuple[str, int, bytes]:
    """Return table, item and data of a line; ValueError for any other line."""
    match = _LINE.fullmatch(text)
    if match is None or match[1].decode() not in NUMBERS:
        raise ValueError("not a fact of this version")
    return match[1].decode(), int(match[2]), base64.b64decode(match[3])
