"""The space of a search: ranges and choices, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from adaptive_scheduler.errors import InputError

#: One point: a value for each parameter, in the order of the space.
Values = tuple[Any, ...]

#: What may stand third in a tuple, after low and high: also as scikit-optimize calls it.
_SCALES = {"log": True, "log-uniform": True, "uniform": False, "linear": False}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; whole ones if both are.

    Parameters
    ----------
    low, high : int or float
        Its ends, which belong to it.
    log : bool
        Whether each order of magnitude has the same share.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if not is_number(bound) or not math.isfinite(bound):
                raise InputError(f"{self!r}: its ends must be numbers, and finite.")
        if self.low >= self.high:
            raise InputError(
                f"{self!r}: its low end must be below its high end. What does not change belongs "
                "into the function or the command."
            )
        if self.log and self.low <= 0:
            raise InputError(f"{self!r}: the low end of a logarithmic range must be above 0.")

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def draw(self, random: Random) -> float:
        """Return a random value."""
        if self.is_whole and not self.log:
            return random.randint(int(self.low), int(self.high))
        if not self.log:
            return random.uniform(self.low, self.high)
        value = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
        return self.native(min(max(value, self.low), self.high))

    def unit(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def native(self, value: Any) -> float:
        """Return a value as Python's own int or float; ValueError if it is none of this range."""
        if not is_number(value) and not hasattr(value, "dtype"):  # NumPy's numbers have one
            raise ValueError(f"{value!r} is no number")
        number = round(float(value)) if self.is_whole else float(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"{value!r} is not between {self.low!r} and {self.high!r}")
        return number


@dataclass(frozen=True)
class Choices:
    """One of some values: numbers, texts, True, False or None."""

    values: Values

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("A choice of no values: give a list of at least one.")
        for value in self.values:
            if not (value is None or isinstance(value, str | bool) or is_number(value)):
                raise InputError(
                    f"{value!r} cannot be chosen: give numbers, texts, True, False or None, and let "
                    "your function look up what they stand for."
                )
        seen: list[Any] = []
        for value in self.values:
            if _in(value, seen):
                raise InputError(f"{list(self.values)!r} has {value!r} twice.")
            seen.append(value)

    def draw(self, random: Random) -> Any:
        """Return a random value."""
        return random.choice(self.values)

    def native(self, value: Any) -> Any:
        """Return the value that is chosen, as it was given; ValueError if it is none of these."""
        plain = value.item() if hasattr(value, "dtype") else value
        for own in self.values:
            if _is(own, plain):
                return own
        for own in self.values:  # 16.0 for 16: of an optimiser that knows only numbers
            if own == plain and not isinstance(own, bool):
                return own
        raise ValueError(f"{value!r} is none of {list(self.values)!r}")


class Space:
    """The parameters of a search.

    Parameters
    ----------
    parameters : dict
        Name to `Range` or `Choices`.

    Attributes
    ----------
    names : tuple of str
    axes : tuple of Range or Choices
    """

    def __init__(self, parameters: Mapping[str, Range | Choices]) -> None:
        self.names = tuple(parameters)
        self.axes = tuple(parameters.values())
        for name in self.names:
            if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
                raise InputError(
                    f"space: {name!r} is no name of a parameter: letters, digits and _, and no _ first."
                )
        if all(isinstance(axis, Choices) and len(axis.values) == 1 for axis in self.axes):
            raise InputError(
                "space has only one point, so there is nothing to search for. (0, 1) is a range, "
                "[16, 32] a choice."
            )

    def __repr__(self) -> str:
        return f"Space({self.named(self.axes)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.named(self.axes) == other.named(other.axes)

    def __hash__(self) -> int:
        return hash((self.names, self.axes))

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return a point as name to value."""
        return dict(zip(self.names, values, strict=True))

    def draw(self, random: Random) -> Values:
        """Return a random point."""
        return tuple(axis.draw(random) for axis in self.axes)

    def native(self, values: Any) -> Values:
        """Return a point as this space has it.

        Parameters
        ----------
        values : sequence, or dict by name

        Raises
        ------
        InputError
            It is no point of this space.
        """
        if isinstance(values, Mapping):
            missing = [name for name in self.names if name not in values]
            if missing:
                raise InputError(f"{values!r} has no {missing[0]}, which the space has.")
            values = [values[name] for name in self.names]
        if len(values) != len(self.axes):
            raise InputError(f"{values!r} is no point of {', '.join(self.names)}.")
        try:
            return tuple(axis.native(value) for axis, value in zip(self.axes, values, strict=True))
        except ValueError as error:
            raise InputError(
                f"{self.named(values)!r} is no point of this space: {error}. A search that is run "
                "again must have the space that it had; for another one, begin anew elsewhere."
            ) from error


def parse_space(given: Any) -> Space:
    """Return the space that a user has given.

    Parameters
    ----------
    given : Space, dict, list of scikit-optimize's dimensions, or an object with such a `space`

    Raises
    ------
    InputError
        Names the parameter, what is wrong and what to give.
    """
    if isinstance(given, Space):
        return given
    if not isinstance(given, Mapping | list | tuple) and hasattr(given, "space"):
        return parse_space(given.space)
    dimensions = getattr(given, "dimensions", given)  # scikit-optimize's own Space
    if not isinstance(dimensions, Mapping):
        dimensions = _by_name(dimensions)
    if not dimensions:
        raise InputError(
            "space has no parameters. Give it some, such as {'x': (0, 1), 'kind': ['a', 'b']}."
        )
    return Space({name: _axis(name, one) for name, one in dimensions.items()})


def _by_name(dimensions: Any) -> dict[str, Any]:
    names = [getattr(one, "name", None) for one in dimensions] if _is_list(dimensions) else [None]
    if not all(names):
        raise InputError(
            f"space={dimensions!r:.200}: give each parameter by its name: {{'x': (0, 1), 'kind': "
            "['a', 'b']}, or scikit-optimize's dimensions with name=."
        )
    if len(set(names)) < len(names):
        raise InputError(f"space={dimensions!r:.200}: two parameters have the same name.")
    return dict(zip(map(str, names), dimensions, strict=True))


def _axis(name: str, given: Any) -> Range | Choices:
    try:
        return _parsed(given)
    except InputError as error:
        raise InputError(f"space, {name}: {error}") from error


def _parsed(given: Any) -> Range | Choices:
    if isinstance(given, Range | Choices):
        return given
    if hasattr(given, "categories"):  # scikit-optimize's Categorical
        return Choices(tuple(given.categories))
    if hasattr(given, "low") and hasattr(given, "high"):  # its Real and Integer
        return _range([given.low, given.high, getattr(given, "prior", "uniform")])
    if isinstance(given, tuple):
        return _range(given)
    if isinstance(given, Mapping):
        return _of_mapping(given)
    if isinstance(given, list | range):
        return Choices(tuple(given))
    raise InputError(
        f"{given!r} is neither a range, such as (0, 0.9), nor a choice, such as [16, 32]."
    )


def _range(given: Sequence[Any]) -> Range:
    scale = given[2] if len(given) == 3 else "linear"
    if len(given) not in (2, 3) or not isinstance(scale, str) or scale not in _SCALES:
        raise InputError(
            f"{given!r} is no range: give (low, high) or (low, high, 'log'). A choice is a list."
        )
    return Range(given[0], given[1], log=_SCALES[scale])


def _of_mapping(given: Mapping[str, Any]) -> Range | Choices:
    """Return what a file of YAML, which has no tuples, says."""
    unknown = set(given) - {"range", "log", "choice"}
    if unknown or ("range" in given) == ("choice" in given) or {"choice", "log"} <= set(given):
        raise InputError(f"{dict(given)!r}: give {{range: [low, high], log: true}}, or a list.")
    if "choice" in given:
        return _parsed(given["choice"])
    ends, log = given["range"], given.get("log", False)
    if not _is_list(ends) or len(ends) != 2 or not isinstance(log, bool):
        raise InputError(f"{dict(given)!r}: give {{range: [low, high], log: true}}.")
    return Range(_number(ends[0]), _number(ends[1]), log=log)


def _number(value: Any) -> Any:
    """Return a number also of ``1e-5``, which is a text for YAML."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def is_number(value: object) -> bool:
    """Whether it is an int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is(one: Any, other: Any) -> bool:
    """Whether two values are the same; 1, 1.0 and True are not."""
    return type(one) is type(other) and bool(one == other)


def _in(value: Any, values: Sequence[Any]) -> bool:
    return any(_is(value, one) for one in values)
