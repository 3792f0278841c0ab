"""Checks texts that reach other programs; what they cannot take is refused by name."""

from __future__ import annotations

import re

from adaptive_scheduler.errors import InputError

#: execve(2): one argument, or one ``KEY=value``, has at most 32 pages, its end included.
LONGEST_ARGUMENT = 32 * 4096 - 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_argument(text: str, name: str) -> str:
    """Return the text if it can be an argument or a variable of a program, or raise InputError.

    Parameters
    ----------
    text : str
        Bytes that are no UTF-8 are there as `os.fsdecode` gives them.
    name : str
        Of the option, for the error.
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
    if length > LONGEST_ARGUMENT:
        raise InputError(
            f"{name}={_start(text)} has {length} bytes; Linux starts no program with more than "
            f"{LONGEST_ARGUMENT} in one word. Put it into a file, and give the file's name."
        )
    return text


def one_line(text: str, name: str) -> str:
    """Return a text that passes `check_argument` and has no control characters, or raise InputError.

    A directive line of a job script ends at a newline, and what follows would be
    another line of the script.
    """
    if (found := _CONTROL.search(check_argument(text, name))) is not None:
        raise InputError(
            f"{name}={_start(text)} holds the control character {found[0]!r}; it must be one "
            "line of visible text."
        )
    return text


def _start(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
