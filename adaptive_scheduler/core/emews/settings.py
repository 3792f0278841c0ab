"""Checks of single settings of an EMEWS file, each with the name under which it stands there."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.core.texts import check_line
from adaptive_scheduler.errors import InputError

#: What of EMEWS has no meaning here, and what does the same: as a key, and as the ``type`` of anything.
_NO_FUNCX = (
    "there is no funcX here: `scheduler:` of a pool says what submits its jobs, and a queue of "
    "`type: emews_service` with a `tunnel:` lets all of it run on another host, through ssh"
)
REFUSED = {
    "funcx": _NO_FUNCX,
    "fx_endpoint": _NO_FUNCX,
    "fx_endpoints": _NO_FUNCX,
    "proxystore": (
        "functions, their arguments and models travel with the tasks, and are stored once, so that "
        "nothing has to carry them"
    ),
}


def mapping(found: Any, what: str, example: str) -> dict[Any, Any]:
    """Return a mapping that is not empty."""
    if not isinstance(found, dict) or not found:
        raise InputError(
            f"{what}: {found!r:.80} must be a mapping that is not empty, such as `{example}`."
        )
    return found


def refuse_unknown(found: Mapping[Any, Any], known: Collection[str], what: str) -> None:
    """Raise InputError that names what has no meaning here, all of it at once, or is not known."""
    refused = [key for key in found if key in REFUSED]
    if refused:
        reasons = list(dict.fromkeys(REFUSED[key] for key in refused))
        told = [
            f"{', '.join(key for key in refused if REFUSED[key] == reason)}: {reason}"
            for reason in reasons
        ]
        raise InputError(
            f"{what}{'; '.join(told)}. Leave {'it' if len(refused) == 1 else 'them'} out."
        )
    for key in found:
        if key not in known:
            raise InputError(
                f"{what}there is no key {key!r}.{did_you_mean(str(key), known)} There are: "
                f"{', '.join(known)}."
            )


def kind(found: Any, known: Collection[str], what: str) -> str:
    """Return the ``type`` of a pool or a queue."""
    if found == "funcx":
        raise InputError(
            f"{what}: {found}: {REFUSED['funcx']}. Write another type, and leave fx_endpoint out."
        )
    if found not in known:
        raise InputError(
            f"{what}: {found!r:.80} is not known.{did_you_mean(str(found), known)} Give "
            f"{' or '.join(known)}."
        )
    return str(found)


def whole(found: Any, what: str, least: int = 1) -> int:
    """Return a whole number of at least `least`."""
    if type(found) is not int or found < least:
        raise InputError(f"{what}: {found!r:.80} must be a whole number of at least {least}.")
    return found


def number(found: Any, what: str) -> float:
    """Return a number that is finite, and not negative."""
    if type(found) not in (int, float) or not 0 <= found < math.inf:
        raise InputError(f"{what}: {found!r:.80} must be a number of seconds, 0 or more.")
    return float(found)


def word(found: Any, what: str) -> str:
    """Return a text of one line, or a number as a text; nothing in it is for a shell."""
    if type(found) not in (str, int) or not str(found).strip():
        raise InputError(f"{what}: {found!r:.80} must be a text.")
    text = check_line(str(found).strip(), what)
    if "$" in text or "`" in text:
        raise InputError(
            f"{what}: {text!r:.80} has a $ or a `, but no shell reads it. Write what it stands for."
        )
    return text


def names(found: Any, what: str) -> list[str]:
    """Return a list of names, each once; one name may stand for a list."""
    listed = found if isinstance(found, list) else [found]
    if not listed:
        raise InputError(f"{what}: there is none. Give a list of names, such as `[pool1]`.")
    words = [word(one, what) for one in listed]
    for one in words:
        if words.count(one) > 1:
            raise InputError(f"{what}: {one} is there twice.")
    return words


def one_of(found: str, known: Iterable[str], what: str) -> str:
    """Return a name of something that the file has elsewhere."""
    listed = list(known)
    if found not in listed:
        raise InputError(
            f"{what}: there is no {found}.{did_you_mean(found, listed)} There are: {', '.join(listed)}."
        )
    return found
