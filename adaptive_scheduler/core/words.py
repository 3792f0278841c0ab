"""Makes texts of the user's code safe for messages, logs and screens."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

#: Letters kept of one text. A traceback of a recursion has 100,000; an exception that holds
#: a whole array as text can have millions, and a message of 16 MB is refused by the manager.
LONGEST = 100_000
#: Control characters but newline and tab: a terminal would obey them. And halves of
#: characters, which UTF-8 has no bytes for: `os.fsdecode` makes them of foreign file names.
_UNSPEAKABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

_Message = TypeVar("_Message", bound=msgspec.Struct)


def speakable(text: str) -> str:
    """Return a text of at most about `LONGEST` letters that is UTF-8 and commands no terminal.

    Its beginning and its end are kept: one tells what, the other where.
    """
    if len(text) > LONGEST:
        left_out = len(text) - LONGEST
        head, tail = text[: LONGEST // 2], text[-(LONGEST // 2) :]
        text = f"{head}\n… {left_out} letters are left out …\n{tail}"
    return _UNSPEAKABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def with_speakable_words(message: _Message) -> _Message:
    """Return a message whose ``reason`` and ``traceback`` are `speakable`."""
    texts = {name: getattr(message, name, None) for name in ("reason", "traceback")}
    changes = {
        name: spoken
        for name, text in texts.items()
        if isinstance(text, str) and (spoken := speakable(text)) != text
    }
    return msgspec.structs.replace(message, **changes) if changes else message
