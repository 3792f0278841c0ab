"""Splits and joins lists, and learners of sequences with their data."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.compat.content import hash_anything

if TYPE_CHECKING:
    from adaptive import BalancingLearner, SequenceLearner


def shuffle_list(*lists: Sequence[Any], seed: int | None = 0) -> Iterator[tuple[Any, ...]]:
    """Shuffle lists of equal length, all in the same order.

    Parameters
    ----------
    *lists : sequence
    seed : int or None
        The same seed gives the same order; None: another one each time.

    Returns
    -------
    iterator of tuple
        One for each list.
    """
    rows = list(zip(*lists, strict=True))
    random.Random(seed).shuffle(rows)  # noqa: S311  no secret
    return iter(zip(*rows, strict=True) if rows else [() for _ in lists])


def split(seq: Iterable[Any], n_parts: int) -> Iterator[tuple[Any, ...]]:
    """Split a sequence into `n_parts` parts, in order.

    Parameters
    ----------
    seq : iterable
    n_parts : int

    Returns
    -------
    iterator of tuple
        None is empty: of a sequence that is shorter than `n_parts` there are fewer.
    """
    items = list(seq)
    if n_parts < 1:
        raise InputError(f"n_parts={n_parts!r} must be at least 1.")
    return itertools.starmap(
        lambda start, end: tuple(items[start:end]), _bounds(len(items), n_parts)
    )


def _bounds(n: int, n_parts: int) -> list[tuple[int, int]]:
    """Begins and ends: all as long as the first but for the last, if this makes `n_parts` parts."""
    n_parts = min(n, n_parts)
    if not n:
        return []
    size = math.ceil(n / n_parts)
    if math.ceil(n / size) == n_parts:
        return [(start, min(start + size, n)) for start in range(0, n, size)]
    ends = [n * part // n_parts for part in range(n_parts + 1)]
    return list(itertools.pairwise(ends))


def split_in_balancing_learners(
    learners: Sequence[Any], fnames: Sequence[Any], n_parts: int, strategy: str = "npoints"
) -> tuple[list[BalancingLearner], list[list[Any]]]:
    """Make BalancingLearners of a list of learners.

    Parameters
    ----------
    learners, fnames : sequence
        Of equal length.
    n_parts : int
        How many BalancingLearners.
    strategy : str
        Theirs.

    Returns
    -------
    new_learners, new_fnames : list
        Each of `new_fnames` is a list with one name for each learner.
    """
    from adaptive import BalancingLearner

    parts = [
        list(zip(*part, strict=True)) for part in split(zip(learners, fnames, strict=True), n_parts)
    ]
    balanced = [BalancingLearner(list(part), strategy=strategy) for part, _ in parts]
    return balanced, [list(names) for _, names in parts]


def split_sequence_in_sequence_learners(
    function: Callable[[Any], Any],
    sequence: Sequence[Any],
    n_learners: int,
    folder: str | os.PathLike[str] = "",
) -> tuple[list[SequenceLearner], list[str]]:
    """Split a sequence into SequenceLearners, and name their files.

    Parameters
    ----------
    function : callable
    sequence : sequence
    n_learners : int
    folder : path-like
        Where the files are to be.

    Returns
    -------
    new_learners : list of SequenceLearner
    new_fnames : list of str
        They depend on the function, on the whole sequence, and on the place of the part in it: where
        any of these is another one, so are the names.
    """
    from adaptive import SequenceLearner

    parts = list(split(sequence, n_learners))
    whole = hash_anything((function, list(sequence)))
    names = [hash_anything((whole, place, len(parts))) for place in range(len(parts))]
    learners = [SequenceLearner(function, part) for part in parts]
    return learners, [str(Path(folder) / f"{name}.pickle") for name in names]


def split_sequence_learner(
    big_learner: SequenceLearner, n_learners: int, folder: str | os.PathLike[str] = ""
) -> tuple[list[SequenceLearner], list[str]]:
    """Split a SequenceLearner into several, each with its part of the data.

    Parameters
    ----------
    big_learner : SequenceLearner
    n_learners, folder
        As in `split_sequence_in_sequence_learners`.

    Returns
    -------
    new_learners : list of SequenceLearner
    new_fnames : list of str
    """
    learners, fnames = split_sequence_in_sequence_learners(
        _function(big_learner), big_learner.sequence, n_learners, folder
    )
    places = itertools.count()
    for learner in learners:
        for index, (x, place) in enumerate(zip(learner.sequence, places, strict=False)):
            if place in big_learner.data:
                learner.tell((index, x), big_learner.data[place])
    return learners, fnames


def combine_sequence_learners(
    learners: Sequence[SequenceLearner], big_learner: SequenceLearner | None = None
) -> SequenceLearner:
    """Join SequenceLearners of one function into one that has all their data.

    Parameters
    ----------
    learners : sequence of SequenceLearner
    big_learner : SequenceLearner, optional
        Gets the data, each at its entry, in whatever order its sequence is. Default: a new one.

    Raises
    ------
    InputError
        There are no learners, or `big_learner` has no place for some of the data.
    """
    from adaptive import SequenceLearner

    if big_learner is None:
        if not learners:
            raise InputError("learners is empty: give at least one, or big_learner.")
        entries = list(itertools.chain.from_iterable(one.sequence for one in learners))
        big_learner = SequenceLearner(_function(learners[0]), entries)
    n_left = _tell(big_learner, _values(learners), repeat=False)
    if n_left:
        raise InputError(
            f"big_learner has no place for {n_left} of the values of learners: its sequence must "
            "have all entries of theirs, each as often as they have it."
        )
    return big_learner


def copy_from_sequence_learner(learner_from: SequenceLearner, learner_to: SequenceLearner) -> None:
    """Copy the values of all entries that both learners have.

    Parameters
    ----------
    learner_from, learner_to : SequenceLearner
        Entries are equal if their content is.
    """
    _tell(learner_to, _values([learner_from]), repeat=True)


def _function(learner: SequenceLearner) -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = learner.function.function  # adaptive has wrapped it
    return function


def _values(learners: Sequence[SequenceLearner]) -> dict[str, list[Any]]:
    """The values by the content of their entries; those of equal entries in order."""
    values = defaultdict(list)
    for learner in learners:
        for index, x in enumerate(learner.sequence):
            if index in learner.data:
                values[hash_anything(x)].append(learner.data[index])
    return values


def _tell(learner: SequenceLearner, values: dict[str, list[Any]], repeat: bool) -> int:
    """Tell values to the entries that they belong to; return how many found no place.

    With `repeat` the last value of an entry is that of all equal ones behind it.
    """
    left = {key: list(reversed(several)) for key, several in values.items()}
    for index, x in enumerate(learner.sequence):
        several = left.get(hash_anything(x))
        if several:
            keeps = repeat and len(several) == 1
            learner.tell((index, x), several[-1] if keeps else several.pop())
    return 0 if repeat else sum(map(len, left.values()))
