"""Texts that leave this process: made safe for messages and screens, or refused by name."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from adaptive_scheduler.errors import InputError

#: Characters kept of one text. The traceback of a recursion has 100,000; an exception that holds
#: a whole array as text can have millions, and the manager refuses a message of 16 MB.
MAX_TEXT = 100_000
#: Control characters but newline and tab, which a terminal would obey; and lone surrogates, which
#: UTF-8 cannot encode: `os.fsdecode` makes them of file names in other encodings.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
#: execve(2): one argument, or one ``KEY=value``, has at most 32 pages, its end included.
MAX_ARGUMENT = 32 * 4096 - 1
#: What msgspec raises of a file that is damaged; the second, which is none of msgspec's, of text that is not UTF-8.
NOT_DECODED = (msgspec.MsgspecError, UnicodeDecodeError)
_DIGITS = re.compile(r"([0-9]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_Message = TypeVar("_Message", bound=msgspec.Struct)


def sanitize(text: str) -> str:
    """Return a text of about `MAX_TEXT` characters at most, valid UTF-8, without terminal commands.

    A longer one keeps its beginning, which says what went wrong, and its end, which says where.
    """
    if len(text) > MAX_TEXT:
        left_out = len(text) - MAX_TEXT
        head, tail = text[: MAX_TEXT // 2], text[-(MAX_TEXT // 2) :]
        text = f"{head}\n… {left_out} letters are left out …\n{tail}"
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def sanitize_message(message: _Message) -> _Message:
    """Return a message with `sanitize` applied to its ``reason`` and ``traceback``."""
    texts = {name: getattr(message, name, None) for name in ("reason", "traceback")}
    changes = {
        name: safe
        for name, text in texts.items()
        if isinstance(text, str) and (safe := sanitize(text)) != text
    }
    return msgspec.structs.replace(message, **changes) if changes else message


def check_argument(text: str, name: str) -> str:
    """Return `text` if it can be an argument or a variable of a program, or raise InputError.

    Parameters
    ----------
    text : str
        Bytes that are not UTF-8 are represented as `os.fsdecode` does.
    name : str
        Name of the option, for the error.
    """
    if "\0" in text:
        raise InputError(f"{name}={_start(text)} holds a NUL character, which no program can take.")
    try:
        length = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name}={_start(text)} holds {text[error.start]!r}, which is half a character. "
            "Bytes that are no UTF-8 can be given as os.fsdecode(...) makes them."
        ) from error
    if length > MAX_ARGUMENT:
        raise InputError(
            f"{name}={_start(text)} has {length} bytes; Linux starts no program with more than "
            f"{MAX_ARGUMENT} in one argument. Put it into a file, and give the file's name."
        )
    return text


def check_line(text: str, name: str) -> str:
    """Return `text` if it is an argument without control characters, or raise InputError.

    A directive of a job script ends at a newline, so what follows would be another line of the
    script.
    """
    if (found := _CONTROL.search(check_argument(text, name))) is not None:
        raise InputError(
            f"{name}={_start(text)} holds the control character {found[0]!r}; it must be one "
            "line of visible text."
        )
    return text


def _start(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def counted(n: int, what: str, many: str = "") -> str:
    """``1 job``, ``2 jobs``; `many` is a plural that is not `what` and an s."""
    return f"{n} {what if n == 1 else many or f'{what}s'}"


def natural(text: str) -> list[str | int]:
    """A key that sorts texts as people count: job 9 before 10, ``12_3`` before ``12_10``, ``99.server`` too.

    Parameters
    ----------
    text : str
        Whose digits are compared as numbers.
    """
    parts: list[str | int] = list(_DIGITS.split(text))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts
