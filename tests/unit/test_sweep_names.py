"""Names of a sweep's tasks: those of mlrunner 0.5.9, which is installed for this and asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrunner.utils.misc import spec2name

from adaptive_scheduler.core.sweeps.names import LONGEST_NAME, name_of, unique_names

SETS: list[dict[str, Any]] = [
    {"x": 1}, {"x": 1.0}, {"x": 0.1}, {"x": -3}, {"x": 1e-5}, {"x": 123456789}, {"x": 1e100},
    {"x": float("nan")}, {"x": float("-inf")}, {"x": True}, {"x": False}, {"x": None},
    {"x": "word"}, {"x": ""}, {"x": "two words"}, {"x": "  "}, {"x": "tab\there"},
    {"x": "a/b/c"}, {"x": "/abs/path"}, {"x": "../up/and/away"}, {"x": "./here"}, {"x": "dir/"},
    {"x": "data/set one.txt"}, {"x": "data"}, {"x": "data/"}, {"x": "data/../data"},
    {"x": "é ☃ 中文"}, {"größe": "ü"}, {"x": "a" * 150}, {"x": "p/" * 80},
    {"x": [1, 2]}, {"x": [0.5, "b", True]}, {"x": "it's"}, {"x": 'a"b'}, {"x": "$HOME;rm"},
    {"learning_rate": 0.1}, {"learning-rate": 0.1}, {"a_bcd_e": 1}, {"encoder-ffn_embed-dim": 4},
    {"_x": 1}, {"x_": 1}, {"UPPER_case": 1}, {"lr": 0.1, "weight_decay": 1e-4, "name": "a b"},
    {"b": 1, "a": 2}, {"early-stop": True, "norm": "batch", "moment": 0.05},
]  # fmt: skip


@pytest.mark.parametrize("parameters", SETS, ids=range(len(SETS)))
def test_names_are_those_of_mlrunner(
    parameters: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set one.txt").touch()
    assert name_of(parameters, os.path.exists) == spec2name(parameters, str_maxlen=100)


@pytest.mark.parametrize(
    ("parameters", "ours"),
    [
        ({}, "default"),
        ({"x": ["a/b"]}, "X_['a_b']"),
        ({"a/b": 1}, "A_B_1"),
        ({"x": 10**400}, f"X_{10**400}"[:2] + str(10**400)[-100:]),
    ],
)
def test_where_mlrunner_has_none_or_one_that_is_no_folder(
    parameters: dict[str, Any], ours: str
) -> None:
    assert name_of(parameters, lambda _: False) == ours


def test_fault_43_different_sets_of_one_name_get_six_digits_each() -> None:
    plain = [{"x": "a/f"}, {"x": "a_f"}, {"y": 1}, {"z": 1.0000001}, {"z": 1.0000002}]
    names = unique_names(plain, lambda _: False)
    assert len(set(names)) == len(names)
    assert names[2] == "Y_1"
    assert {name.rpartition("-")[0] for name in names[:2]} == {"X_a_f"}
    assert all(len(name.rpartition("-")[2]) == 6 for name in (*names[:2], *names[3:]))
    assert unique_names(plain[:2][::-1], lambda _: False) == names[:2][::-1]


VALUES = st.one_of(
    st.text(max_size=300),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.integers()),
)


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=80), VALUES, max_size=6), max_size=8))
def test_names_are_different_and_can_be_folders(sets: list[dict[str, Any]]) -> None:
    different = list({repr(one): one for one in sets}.values())
    names = unique_names(different, lambda _: False)
    as_texts = {repr(sorted(one.items(), key=repr)) for one in different}
    assert len(set(names)) >= len(as_texts)
    for name in names:
        assert "/" not in name
        assert 0 < len(name.encode("utf-8", "surrogatepass")) <= LONGEST_NAME
