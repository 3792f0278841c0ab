"""How a single learner of a run is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.retry import places
from adaptive_scheduler.runs.run_item import RunItem, place_of

NAMES = ["/data/x=1/a", "/data/x=2/a", "/data/x=2/b", ["/data/two/c", "/data/two/d"]]


@pytest.mark.parametrize(
    ("named", "place"),
    [
        (0, 0), (3, 3), (-1, 3), (np.int64(2), 2),
        ("/data/x=2/a", 1), (Path("/data/x=2/b"), 2), ("x=1/a", 0), ("./x=1/a", 0), ("b", 2),
        (["/data/two/c", "/data/two/d"], 3), ("d", 3),
    ],
)  # fmt: skip
def test_a_learner_is_found_by_its_number_its_fname_or_the_end_of_it(
    named: Any, place: int
) -> None:
    assert place_of(named, NAMES) == place


def test_a_relative_fname_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of("data/../a", [str(tmp_path / "b"), str(tmp_path / "a")]) == 1


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (4, r"no learner 4: they are 0 to 3"),
        (-5, r"no learner -5: they are 0 to 3"),
        (1.5, r"1\.5 names no learner: give a number from 0 to 3, or an fname"),
        ("a", r"'a' is the end of 2 fnames, of learners 0, 1: give a number"),
        ("x=1/aa", r"no learner 'x=1/aa'.*Did you mean a\?"),
        ("zzz", r"no learner 'zzz' in this run\. Give a number from 0 to 3, an fname"),
        ("ata/x=1/a", "no learner"),
        (["/data/two/c"], "no learner"),
    ],
)
def test_an_unknown_learner_is_refused_with_near_names(named: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        place_of(named, NAMES)


def test_a_name_is_found_among_many() -> None:
    names = [f"/data/{os.urandom(4).hex()}/{n}" for n in range(20_000)]
    assert place_of("19999", names) == 19_999


def test_a_retry_takes_one_learner_or_a_list() -> None:
    learners = [object() for _ in NAMES]
    item = RunItem.__new__(RunItem)
    item.place = 2
    for wanted, found in [
        (1, [1]), ("b", [2]), (learners[3], [3]), (item, [2]),
        ([0, "b", learners[1], item, Path("/data/x=1/a")], [0, 2, 1, 2, 0]), ([], []),
    ]:  # fmt: skip
        assert places(wanted, learners, NAMES) == found
