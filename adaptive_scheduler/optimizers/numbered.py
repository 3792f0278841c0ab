"""What learners have in common whose points are ``(number, values)`` and that look for the best one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from adaptive.learner.base_learner import BaseLearner

from adaptive_scheduler.core.searches.space import Values
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Point = tuple[int, Values]


class NumberedLearner(BaseLearner):  # type: ignore[misc]
    """A learner that looks for the smallest value, or the largest.

    Parameters
    ----------
    names : tuple of str
        Of the values of a point.
    maximize : bool

    Attributes
    ----------
    data : dict
        (number, values) to value.
    pending_points : set
        Points that were asked for and have no value yet.
    """

    def __init__(self, names: tuple[str, ...], maximize: bool) -> None:
        self._names = names
        self._sign = -1.0 if maximize else 1.0
        self.data: dict[Point, Any] = {}
        self.pending_points: set[Point] = set()

    @property
    def npoints(self) -> int:
        """How many points have a value."""
        return len(self.data)

    @property
    def best(self) -> tuple[dict[str, Any], float] | None:
        """The parameters of the best point, and its value; None if there is none yet."""
        finite = [(float(y), x) for x, y in self.data.items() if math.isfinite(float(y))]
        if not finite:
            return None
        value, (_, values) = min(finite, key=lambda one: (self._sign * one[0], one[1][0]))
        return dict(zip(self._names, values, strict=True)), value

    def loss(self, real: bool = True) -> float:  # noqa: ARG002  nothing is known of what is pending
        """Return the best value; with `maximize`, its negative. Infinite if there is none."""
        best = self.best
        return math.inf if best is None else self._sign * best[1]

    def _get_data(self) -> dict[Point, Any]:
        return self.data

    def _set_data(self, data: dict[Point, Any]) -> None:
        for x in sorted(data, key=lambda point: point[0]):
            self.tell(x, data[x])

    def columns(self, number_name: str = "number", y_name: str = "y") -> tuple[list[str], str]:
        """Return the names of a table's columns: of a point, and of its value.

        Raises
        ------
        InputError
            A parameter has one of these names.
        """
        names = [number_name, *self._names, y_name]
        if len(set(names)) < len(names):
            raise InputError(
                f"A parameter is called {number_name!r} or {y_name!r}, as another column of the table. Give "
                "y_name='loss', or number_name=."
            )
        return names[:-1], y_name

    def to_dataframe(
        self,
        with_default_function_args: bool = True,  # noqa: ARG002  its points have all arguments
        function_prefix: str = "function.",  # noqa: ARG002
        number_name: str = "number",
        y_name: str = "y",
    ) -> pd.DataFrame:
        """Return a row for each point: its number, its parameters, its value."""
        import pandas as pd

        inputs, output = self.columns(number_name, y_name)
        in_order = sorted(self.data.items(), key=lambda pair: pair[0][0])
        rows = [(number, *values, y) for (number, values), y in in_order]
        return pd.DataFrame(rows, columns=[*inputs, output])

    def load_dataframe(
        self,
        df: pd.DataFrame,
        with_default_function_args: bool = True,  # noqa: ARG002  its points have all arguments
        function_prefix: str = "function.",  # noqa: ARG002
        number_name: str = "number",
        y_name: str = "y",
    ) -> None:
        """Take the points of a table that `to_dataframe` has made."""
        inputs, output = self.columns(number_name, y_name)
        for number, *values, y in df[[*inputs, output]].itertuples(index=False, name=None):
            self.tell((int(number), tuple(values)), y)


def number_of(x: Point, y: Any) -> float:
    """Return the value of a point as a number; InputError if it is none."""
    try:
        return float(y)
    except (TypeError, ValueError):
        raise InputError(
            f"{y!r:.200} is the value of point {x}, but an optimiser needs a number. If your function returns "
            "more, use adaptive.DataSaver(learner, itemgetter('loss'))."
        ) from None
