"""The source of functions that travel to another process."""

from __future__ import annotations

import linecache
from types import CodeType

#: Lines of one function that are sent at most.
_MOST = 5_000


class Sources:
    """Reads source as tracebacks do: files, cells of a notebook, what came with a function."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}
        self._texts: dict[tuple[str, range], str] = {}

    def lines(self, code: CodeType) -> range:
        """Lines that the code of a function spans, with the functions in it."""
        first = code.co_firstlineno
        last = min(max(first, _last_line(code)), first + _MOST)
        return range(first, last + 1)

    def text(self, filename: str, lines: range) -> str:
        """The lines as one text, the same object each time; "" if they are not known."""
        key = filename, lines
        if key not in self._texts:
            known = self._of(filename)[max(0, lines.start - 1) : lines.stop - 1]
            self._texts[key] = "".join(known)
        return self._texts[key]

    def _of(self, filename: str) -> list[str]:
        if filename not in self._files:
            linecache.checkcache(filename)
            self._files[filename] = linecache.getlines(filename)
        return self._files[filename]


def _last_line(code: CodeType) -> int:
    own = [end for _, end, _, _ in code.co_positions() if end is not None]
    inner = [_last_line(one) for one in code.co_consts if isinstance(one, CodeType)]
    return max([code.co_firstlineno, *own, *inner])
