"""The data of a learner as numbers to be drawn: few enough to be sent again and again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from adaptive import (
    AverageLearner,
    AverageLearner1D,
    BalancingLearner,
    DataSaver,
    Learner1D,
    Learner2D,
    LearnerND,
    SequenceLearner,
)

from adaptive_scheduler.core.texts import counted

#: What is drawn.
Plot = dict[str, Any]
#: Points of a line, points in an image, and its pixels along each side.
MOST_POINTS, MOST_IN_IMAGE, PIXELS = 2000, 800, 96
#: Lines in one plot.
MOST_LINES = 8
#: Significant digits of what is sent.
DIGITS = 6


def plot_of(learner: Any) -> Plot | None:
    """Return the plot of a learner's data; None if it has none yet."""
    for kind, make in _PLOTS.items():
        if isinstance(learner, kind):
            return make(learner)
    return _by_number(learner)


def as_text(text: str) -> Plot:
    """What is shown where nothing can be drawn."""
    return {"kind": "text", "text": text}


# ------------------------------------------------------------------------- lines


def _line(learner: Any) -> Plot | None:
    if not learner.data:
        return None
    xs = np.array(sorted(learner.data), dtype=float)
    components = _components([learner.data[x] for x in sorted(learner.data)])
    if components is None:
        return as_text(f"{counted(len(xs), 'point')}, whose values are no numbers.")
    return _lines("line", xs, components, f"{counted(len(xs), 'point')}{_loss(learner)}")


def _mean_line(learner: AverageLearner1D) -> Plot | None:
    if not learner.data:
        return None
    xs = np.array(sorted(learner.data), dtype=float)
    mean = np.array([learner.data[x] for x in sorted(learner.data)], dtype=float)
    error = np.array([learner.error.get(x, np.nan) for x in sorted(learner.data)], dtype=float)
    lines = {"mean": mean, "mean + error": mean + error, "mean - error": mean - error}
    return _lines("line", xs, lines, f"{counted(len(xs), 'point')}, {learner.nsamples:,} samples")


def _average(learner: AverageLearner) -> Plot | None:
    """The mean of the first n samples, over n."""
    values = np.array([learner.data[seed] for seed in sorted(learner.data)], dtype=float)
    n = np.arange(1, len(values) + 1)
    if not len(values):
        return None
    mean = np.cumsum(values) / n
    spread = np.sqrt(np.maximum(0.0, np.cumsum(values**2) / n - mean**2) / n)
    lines = {"mean": mean, "mean + error": mean + spread, "mean - error": mean - spread}
    text = f"mean {mean[-1]:.6g} ± {spread[-1]:.2g} of {counted(len(values), 'sample')}"
    return {**_lines("line", n.astype(float), lines, text), "x_label": "samples"}


def _sequence(learner: SequenceLearner) -> Plot | None:
    if not learner.data:
        return None
    done = sorted(learner.data)
    text = f"{len(done):,} of {counted(len(learner.sequence), 'point')}"
    components = _components([learner.data[n] for n in done])
    if components is None:
        return as_text(f"{text}; the last value: {learner.data[done[-1]]!r:.500}")
    plot = _lines("points", np.array(done, dtype=float), components, text)
    return {**plot, "x_label": "place in the sequence"}


def _by_number(learner: Any) -> Plot | None:
    """Any learner with data: its values in the order in which it has them."""
    data = getattr(learner, "data", None)
    if not isinstance(data, Mapping) or not data:
        return None
    components = _components(list(data.values()))
    text = counted(len(data), "point")
    if components is None:
        return as_text(f"{text}, whose values are no numbers.")
    plot = _lines("points", np.arange(len(data), dtype=float), components, text)
    return {**plot, "x_label": "number of the point"}


def _children(learner: BalancingLearner) -> Plot | None:
    """The first children that are lines in one plot, else the first that has data."""
    children = learner.learners
    lines = [(n, child) for n, child in enumerate(children) if isinstance(child, Learner1D)]
    if not lines:
        return next(filter(None, map(plot_of, children)), None)
    drawn: dict[str, dict[float, float]] = {}
    for n, child in lines[:MOST_LINES]:
        found = _components(list(child.data.values())) if child.data else None
        if found is not None:
            values = next(iter(found.values()))
            drawn[str(n)] = dict(zip(map(float, child.data), values.tolist(), strict=True))
    xs = np.array(sorted({x for line in drawn.values() for x in line}))
    if not len(xs):
        return None
    ys = {name: np.array([line.get(x, np.nan) for x in xs]) for name, line in drawn.items()}
    more = f"; the first {len(drawn)} are shown" if len(children) > len(drawn) else ""
    return _lines("line", xs, ys, f"{counted(len(children), 'learner')}{more}")


def _lines(kind: str, xs: Any, ys: Mapping[str, Any], text: str) -> Plot:
    chosen = thinned(ys.values(), len(xs))
    return {
        "kind": kind,
        "x": numbers(xs[chosen]),
        "ys": [{"label": label, "values": numbers(values[chosen])} for label, values in ys.items()],
        "x_label": "x",
        "y_label": "",
        "text": text,
    }


def thinned(lines: Iterable[Any], n: int) -> Any:
    """Return which of `n` points are drawn: of each stretch the least and the largest value."""
    if n <= MOST_POINTS:
        return np.arange(n)
    lines = list(lines)
    stretches = np.array_split(np.arange(n), MOST_POINTS // (2 * len(lines)))
    chosen = {0, n - 1}
    for values in lines:
        known = np.nan_to_num(values)
        for stretch in stretches:
            part = known[stretch]
            chosen |= {int(stretch[part.argmin()]), int(stretch[part.argmax()])}
    return np.array(sorted(chosen))


def numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers as JSON has them, with few digits; None for what is none."""
    return [float(f"{one:.{DIGITS}g}") if np.isfinite(one) else None for one in values]


def _components(values: Sequence[Any]) -> dict[str, Any] | None:
    """Values as lines: the parts of complex ones, the elements of vectors; None if they are no numbers."""
    try:
        array = np.array(values)
        array = array if array.dtype.kind in "biufc" else array.astype(float)
    except (TypeError, ValueError):
        return None
    array = array.reshape(len(values), -1)
    if np.iscomplexobj(array):
        named = [(f"{part} {n}".strip(), one) for n, column in _numbered(array)
                 for part, one in (("real", column.real), ("imaginary", column.imag))]  # fmt: skip
    else:
        named = [(f"y {n}".strip(), column) for n, column in _numbered(array)]
    return {label: one.astype(float) for label, one in named[:MOST_LINES]}


def _numbered(array: Any) -> list[tuple[str, Any]]:
    if array.shape[1] == 1:
        return [("", array[:, 0])]
    return [(str(n), array[:, n]) for n in range(array.shape[1])]


def _loss(learner: Any) -> str:
    loss = learner.loss(real=True)
    return f", loss {loss:.3g}" if np.isfinite(loss) else ""


# ------------------------------------------------------------------------ images


def _plane(learner: Learner2D) -> Plot | None:
    if not learner.data:
        return None
    text = f"{counted(learner.npoints, 'point')}{_loss(learner)}"
    return _image(list(learner.data), list(learner.data.values()), learner.bounds, text)


def _space(learner: LearnerND) -> Plot | None:
    if not learner.data:
        return None
    text = f"{counted(learner.npoints, 'point')}{_loss(learner)}"
    points, values = list(learner.data), list(learner.data.values())
    if learner.ndim == 2:
        bounds = [(one.min(), one.max()) for one in np.array(points).T]
        return _image(points, values, bounds, text)
    components = _components(values)
    if components is None:
        return as_text(f"{text}, whose values are no numbers.")
    first = np.array([np.atleast_1d(point)[0] for point in points], dtype=float)
    order = np.argsort(first)
    ordered = {label: one[order] for label, one in components.items()}
    plot = _lines(
        "points", first[order], ordered, f"{text}; over the first of {learner.ndim} coordinates"
    )
    return {**plot, "x_label": "x 0"}


def _image(points: Sequence[Any], values: Sequence[Any], bounds: Any, text: str) -> Plot:
    components = _components(values)
    if components is None:
        return as_text(f"{text}, whose values are no numbers.")
    label, z = next(iter(components.items()))
    xy = np.array(points, dtype=float)
    grid = _interpolated(xy, z, bounds)
    least, most = float(np.nanmin(z)), float(np.nanmax(z))
    shown = np.linspace(0, len(xy) - 1, min(len(xy), MOST_IN_IMAGE)).astype(int)
    more = f"; {label} of {counted(len(components), 'component')}" if len(components) > 1 else ""
    return {
        "kind": "image", "nx": PIXELS, "ny": PIXELS, "data": _encoded(grid, least, most),
        "x": numbers(bounds[0]), "y": numbers(bounds[1]), "z": numbers([least, most]),
        "points": [numbers(xy[shown, 0]), numbers(xy[shown, 1])], "text": text + more,
    }  # fmt: skip


def _interpolated(xy: Any, z: Any, bounds: Any) -> Any:
    """Values on a grid, linear between the points; not a number outside of them."""
    from scipy.interpolate import LinearNDInterpolator
    from scipy.spatial import QhullError

    (x_low, x_high), (y_low, y_high) = bounds
    low, size = np.array([x_low, y_low]), np.array([x_high - x_low, y_high - y_low])
    steps = np.linspace(0, 1, PIXELS)
    nothing = np.full((PIXELS, PIXELS), np.nan)
    try:
        found = LinearNDInterpolator((xy - low) / size, z)(*np.meshgrid(steps, steps))
    except (QhullError, ValueError):  # fewer than three points, or all on one line
        return nothing
    return found


def _encoded(grid: Any, least: float, most: float) -> str:
    """One byte for each pixel, 0 to 254; 255 where nothing is known."""
    scale = 254 / (most - least) if most > least else 0.0
    levels = np.where(np.isfinite(grid), np.clip((grid - least) * scale, 0, 254), 255)
    return base64.b64encode(levels.astype(np.uint8).tobytes()).decode()


#: A subclass comes before its base.
_PLOTS: dict[type, Callable[[Any], Plot | None]] = {
    DataSaver: lambda learner: plot_of(learner.learner),
    BalancingLearner: _children,
    AverageLearner1D: _mean_line,
    Learner1D: _line,
    Learner2D: _plane,
    LearnerND: _space,
    AverageLearner: _average,
    SequenceLearner: _sequence,
}
