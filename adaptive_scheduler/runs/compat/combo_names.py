"""Names data files by the parameters of their learners."""

from __future__ import annotations

import datetime as dt
import enum
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adaptive_scheduler.io.disk import files
from adaptive_scheduler.runs.compat.content import hash_anything

#: Values whose text says all of them; others are named by their content.
_READABLE = (str, int, float, complex, type(None), enum.Enum, dt.date, dt.timedelta)
#: What no part of a file's name may hold, or what a shell or a listing would break at.
_UNFIT = re.compile(r"[/\x00-\x1f\x7f]")
#: Letters of a hash in a name.
_HASH = 12


def round_sigfigs(num: float, sig_figs: int) -> float:
    """Return a number rounded to `sig_figs` significant figures."""
    return float(f"{float(num):.{sig_figs - 1}e}") + 0.0  # no -0.0


def maybe_round(x: Any, sig_figs: int) -> Any:
    """Round a float or complex to `sig_figs` significant figures; return anything else as it is."""
    if isinstance(x, float):
        return round_sigfigs(x, sig_figs)
    if isinstance(x, complex):
        return complex(round_sigfigs(x.real, sig_figs), round_sigfigs(x.imag, sig_figs))
    return x


def combo2fname(
    combo: Mapping[str, Any],
    folder: str | os.PathLike[str] | None = None,
    ext: str = ".pickle",
    sig_figs: int = 8,
) -> Path:
    """Return a readable name of a file for a combination of parameters, such as ``a_1__b_0.5.pickle``.

    Parameters
    ----------
    combo : mapping
        Names of parameters to values. They are sorted by name.
    folder : path-like, optional
    ext : str
    sig_figs : int
        Floats are rounded to as many significant figures.

    Returns
    -------
    Path
        An array, an object, or a text with a ``/`` in it stands there as a hash of its content; so
        does the end of a name of over 255 bytes.
    """
    parts = {name: maybe_round(value, sig_figs) for name, value in sorted(combo.items())}
    return _path(parts, folder, ext)


def combo_to_fname(
    combo: Mapping[str, Any], folder: str | os.PathLike[str] | None = None, ext: str = ".pickle"
) -> Path:
    """Return such a name without rounding, and with the parameters in the order given.

    Use `combo2fname`, whose names do not depend on that order.
    """
    return _path(combo, folder, ext)


def add_constant_to_fname(
    combo: dict[str, Any],
    constant: Mapping[str, Any],
    *,
    folder: str | os.PathLike[str] | None = None,
    ext: str = ".pickle",
    sig_figs: int = 8,
) -> tuple[Path, Path]:
    """Add constants to a combination; return the names of its file before and after.

    Parameters
    ----------
    combo : dict
        `constant` is added to it.
    constant : mapping
    folder, ext, sig_figs
        As in `combo2fname`.

    Returns
    -------
    old_fname, new_fname : Path
        The old name is that without any of the constants.
    """
    without = {name: value for name, value in combo.items() if name not in constant}
    combo.update(constant)
    names = [combo2fname(one, folder, ext, sig_figs) for one in (without, combo)]
    return names[0], names[1]


def _path(parts: Mapping[str, Any], folder: str | os.PathLike[str] | None, ext: str) -> Path:
    name = "__".join(f"{_fit(key)}_{_said(value)}" for key, value in parts.items())
    if len(os.fsencode(name + ext)) > files.MAX_NAME:
        kept = files.MAX_NAME - _HASH - 1 - len(os.fsencode(ext))
        start = os.fsencode(name)[:kept].decode(errors="ignore")
        name = f"{start}~{hash_anything(dict(parts))[:_HASH]}"
    return Path(folder or "") / f"{name}{ext}"


def _said(value: Any) -> str:
    return _fit(str(value)) if _is_readable(value) else hash_anything(value)[:_HASH]


def _is_readable(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_readable, value))
    if isinstance(value, dict):
        return all(map(_is_readable, (*value, *value.values())))
    is_numpy_number = hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0
    return isinstance(value, _READABLE) or is_numpy_number


def _fit(text: str) -> str:
    return hash_anything(text)[:_HASH] if _UNFIT.search(text) else text
