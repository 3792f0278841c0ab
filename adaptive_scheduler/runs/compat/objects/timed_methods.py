"""Measures how long the methods of an object take."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


def add_timing_to_object(
    obj: Any,
    timing_dict: dict[str, list[float]] | None = None,
    *,
    include_private: bool = True,
    include_magic: bool = False,
    print_times: bool = True,
    print_cutoff: float = 0.01,
) -> dict[str, list[float]]:
    """Let each method of an object note how long its calls take.

    Parameters
    ----------
    obj : object or class
        It is changed. What cannot be set on it is left out.
    timing_dict : dict, optional
        Where the times go. Default: a new one.
    include_private, include_magic : bool
        Also methods with one underscore, and with two, before their names.
    print_times : bool
        Print calls that take longer than `print_cutoff` seconds.
    print_cutoff : float

    Returns
    -------
    dict
        ``CLASS.METHOD`` to the seconds of each call.
    """
    times = {} if timing_dict is None else timing_dict
    kind = obj.__name__ if isinstance(obj, type) else type(obj).__name__
    least = print_cutoff if print_times else None
    for name in dir(obj):
        if not _is_included(name, include_private, include_magic):
            continue
        with suppress(AttributeError, TypeError):  # a property that raises; what cannot be set
            method = getattr(obj, name)
            if callable(method) and not isinstance(method, type):
                setattr(obj, name, _timed(method, times, f"{kind}.{name}", least))
    return times


def _is_included(name: str, include_private: bool, include_magic: bool) -> bool:
    if name.startswith("__"):
        return include_magic
    return include_private or not name.startswith("_")


def _timed(
    method: Callable[..., Any], times: dict[str, list[float]], name: str, least: float | None
) -> Callable[..., Any]:
    @functools.wraps(method)
    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            took = time.perf_counter() - begin
            times.setdefault(name, []).append(took)
            if least is not None and took > least:
                print(f"{datetime.now(UTC).isoformat(timespec='seconds')} {name}: {took:.6f} s")

    return timed
