"""Makes the table of one learner: a row for each point, for every kind of learner and value.

The columns have adaptive's names. It also makes tables that adaptive's own ``to_dataframe`` cannot: of
a LearnerND of other than three dimensions, of values that are vectors, of a DataSaver of a sequence.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: Names of columns that users may change; `point_names` are those of a LearnerND.
DEFAULTS: Mapping[str, Any] = {
    "x_name": "x",
    "y_name": "y",
    "z_name": "z",
    "seed_name": "seed",
    "index_name": "i",
    "point_names": None,
    "value_name": "value",
    "extra_data_name": "extra_data",
    "function_prefix": "function.",
}


@dataclass
class _Table:
    """Columns of equal length, and for each row the learner's own point."""

    points: list[Any] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, name: str, values: list[Any]) -> None:
        """Add a column. Raises InputError if there is one of this name already."""
        if name in self.columns or name in ("learner", "fname"):
            raise InputError(
                f"two columns would be called {name!r}: choose others of x_name, y_name, ..., "
                "point_names or function_prefix"
            )
        self.columns[name] = values


def check_names(names: Mapping[str, Any]) -> None:
    """Raise InputError if there is no such column, or a new name is not a text."""
    for name, given in names.items():
        if name not in DEFAULTS:
            raise InputError(
                f"to_dataframe: {name!r} is not the name of a column. Known are {', '.join(DEFAULTS)}."
            )
        if name != "point_names":
            is_valid = isinstance(given, str)
        else:
            is_valid = given is None or _are_texts(given)
        if not is_valid:
            what = "a list of texts, or None" if name == "point_names" else "a text"
            raise InputError(f"to_dataframe: {name}={given!r} must be {what}.")


def _are_texts(given: Any) -> bool:
    return isinstance(given, (list, tuple, str)) and all(isinstance(one, str) for one in given)


def frame_of(learner: Any, names: Mapping[str, Any], pandas: Any) -> pd.DataFrame:
    """Make the table of one learner.

    Parameters
    ----------
    learner : adaptive.BaseLearner
    names : mapping
        New names for columns of `DEFAULTS`.
    pandas : module

    Raises
    ------
    Exception
        The learner is not one of adaptive's, and its ``to_dataframe`` raised.
    """
    table = _table(learner, {**DEFAULTS, **names})
    if table is None:
        return learner.to_dataframe()
    return pandas.DataFrame(
        {name: _column(values, pandas) for name, values in table.columns.items()}
    )


def _column(values: Sequence[Any], pandas: Any) -> Any:
    """Make a column; a vector is one value of a row."""
    import numpy as np

    plain = [
        value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        for value in values
    ]
    if any(hasattr(value, "__len__") and not isinstance(value, (str, bytes)) for value in plain):
        whole = np.empty(len(plain), dtype=object)
        for place, value in enumerate(plain):
            whole[place] = value
        return pandas.Series(whole)
    return pandas.Series(plain)


def _table(learner: Any, names: Mapping[str, Any]) -> _Table | None:
    """Make the table of a learner that is known; None if its class has its own to_dataframe."""
    from adaptive import BalancingLearner, DataSaver

    if not type(learner).to_dataframe.__module__.startswith(("adaptive.", "adaptive_scheduler.")):
        return None
    if isinstance(learner, BalancingLearner):
        return _of_several(learner.learners, names)
    if isinstance(learner, DataSaver):
        table = _table(learner.learner, names)
        if table is not None:
            extra = learner.extra_data
            if isinstance(learner.learner, DataSaver):  # its extra data are part of these
                table.columns.pop(names["extra_data_name"], None)
            table.add(names["extra_data_name"], [extra.get(x) for x in table.points])
        return table
    return _of_one(learner, names)


def _of_several(learners: Sequence[Any], names: Mapping[str, Any]) -> _Table | None:
    """Join the rows of all learners, one after the other."""
    joined = _Table(columns={"learner_index": []})
    for index, learner in enumerate(learners):
        table = _table(learner, names)
        if table is None:
            return None
        n_before, n = len(joined.points), len(table.points)
        if not n:
            continue
        joined.points += [(index, x) for x in table.points]
        for name in table.columns:  # a function may have other default arguments
            joined.columns.setdefault(name, [None] * n_before)
        table.columns["learner_index"] = [index] * n
        for name, values in joined.columns.items():
            values += table.columns.get(name, [None] * n)
    return joined


def _of_one(learner: Any, names: Mapping[str, Any]) -> _Table | None:
    from adaptive_scheduler.io.learner_data.adaptive_load import known_points

    found = _inputs(learner, names)
    if found is None:
        return None
    inputs, output = found
    pairs = _in_order(learner, list(known_points(learner)))
    table = _Table([x for x, _ in pairs])
    rows = [_parts(learner, x, len(inputs)) for x in table.points]
    for place, name in enumerate(inputs):
        table.add(name, [row[place] for row in rows])
    table.add(output, [y for _, y in pairs])
    for name, value in _defaults(learner).items():
        table.add(names["function_prefix"] + name, [value] * len(pairs))
    return table


def _parts(learner: Any, x: Any, n: int) -> Sequence[Any]:
    """Return what each column has of a point."""
    if _is_search(learner):
        return (x[0], *x[1])
    return x if n > 1 or _is_nd(learner) else (x,)


def _in_order(learner: Any, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Sort points as adaptive does."""
    from adaptive import AverageLearner1D, SequenceLearner

    if isinstance(learner, AverageLearner1D):
        return sorted(pairs, key=lambda pair: (pair[0][1], pair[0][0]))
    if isinstance(learner, SequenceLearner) or _is_nd(learner):
        return pairs
    return sorted(pairs, key=lambda pair: pair[0])


def _is_search(learner: Any) -> bool:
    from adaptive_scheduler.optimizers.numbered import NumberedLearner

    return isinstance(learner, NumberedLearner)


def _is_nd(learner: Any) -> bool:
    from adaptive import LearnerND

    return isinstance(learner, LearnerND)


def _inputs(learner: Any, names: Mapping[str, Any]) -> tuple[Sequence[str], str] | None:
    """Return names for the parts of a point, and for its value; None for unknown learners."""
    import adaptive

    if _is_nd(learner):
        return _point_names(learner.ndim, names["point_names"]), names["value_name"]
    x, y, seed = names["x_name"], names["y_name"], names["seed_name"]
    if _is_search(learner):
        columns: tuple[Sequence[str], str] = learner.columns(y_name=y)
        return columns
    kinds: dict[type, tuple[Sequence[str], str]] = {  # a subclass comes before its base
        adaptive.AverageLearner1D: ((seed, x), y),
        adaptive.AverageLearner: ((seed,), y),
        adaptive.SequenceLearner: ((names["index_name"], x), y),
        adaptive.Learner1D: ((x,), y),
        adaptive.Learner2D: ((x, y), names["z_name"]),
        adaptive.IntegratorLearner: ((x,), y),
    }
    return next((known for kind, known in kinds.items() if isinstance(learner, kind)), None)


def _point_names(ndim: int, wanted: Sequence[str] | None) -> Sequence[str]:
    """Return the names that are given, or x, y, z; with four and more dimensions x0, x1, ..."""
    if wanted is not None and len(wanted) == ndim:
        return wanted
    return "xyz"[:ndim] if ndim <= 3 else [f"x{place}" for place in range(ndim)]


def _defaults(learner: Any) -> dict[str, Any]:
    """Return the default arguments of the user's function; none if it has no signature."""
    from adaptive import SequenceLearner

    function = learner.function
    if isinstance(learner, SequenceLearner):
        function = function.function  # adaptive has wrapped it
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]
    except (TypeError, ValueError):
        return {}
    return {
        one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty
    }
