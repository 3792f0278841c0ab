"""Makes texts of the user's code safe for messages, logs and screens."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

#: Characters kept of one text. A traceback of a recursion has 100,000; an exception that holds
#: a whole array as text can have millions, and the manager refuses a message of 16 MB.
LONGEST = 100_000
#: Control characters except newline and tab, because a terminal would obey them; and surrogates,
#: which cannot be encoded as UTF-8: `os.fsdecode` makes them of file names in other encodings.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

_Message = TypeVar("_Message", bound=msgspec.Struct)


def sanitize(text: str) -> str:
    """Shorten a text to about `LONGEST` characters, and escape what a terminal would obey.

    The beginning and the end are kept: one says what happened, the other where.
    """
    if len(text) > LONGEST:
        left_out = len(text) - LONGEST
        head, tail = text[: LONGEST // 2], text[-(LONGEST // 2) :]
        text = f"{head}\n… {left_out} letters are left out …\n{tail}"
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def sanitized_message(message: _Message) -> _Message:
    """Return the message with its ``reason`` and ``traceback`` sanitized."""
    texts = {name: getattr(message, name, None) for name in ("reason", "traceback")}
    changes = {
        name: safe
        for name, text in texts.items()
        if isinstance(text, str) and (safe := sanitize(text)) != text
    }
    return msgspec.structs.replace(message, **changes) if changes else message
