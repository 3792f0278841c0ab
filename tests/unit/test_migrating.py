"""What docs/migrating.md says of the names of adaptive-scheduler 2.17 is true of this tree."""

from __future__ import annotations

import json

import pytest

from docs import compat, public_api

TEXT = compat.DOCUMENT.read_text()
THEIRS = json.loads(compat.STORED.read_text())


def test_the_table_is_that_of_the_code():
    assert compat.inserted(TEXT) == TEXT, "run: python -m docs.compat"


def test_all_names_of_theirs_are_in_it():
    assert len(THEIRS) > 200
    assert {"utils.split", "RunManager", "SlurmExecutor", "slurm_run"} <= THEIRS.keys()
    missing = {name for name in THEIRS if f"`{name}`" not in TEXT}
    owners = {name.rpartition(".")[0] for name in missing}
    assert {owner for owner in owners if f"`{owner}` | " not in TEXT} == set()


def test_no_name_is_missing_without_a_word_what_to_use():
    assert compat.MISSING not in TEXT.partition(compat.BEGIN)[2]


def test_what_is_said_by_hand_is_of_names_that_there_are():
    by_hand = compat.INSTEAD.keys() | compat.BEHAVES
    assert by_hand <= THEIRS.keys()
    above = TEXT.partition(compat.BEGIN)[0]
    assert {name for name in compat.BEHAVES if f"`{said(name)}`" not in above} == set()


def said(name):
    """As the tables above say it: without the module."""
    return (
        name.removeprefix("server_support.")
        .removeprefix("scheduler.")
        .removeprefix("client_support.")
        .removeprefix("utils.")
    )


def test_every_name_of_utils_that_is_there_takes_what_theirs_takes():
    ours = public_api.describe()
    named = {name for name in THEIRS if name.startswith("utils.") and name in ours}
    assert len(named) >= 25
    assert {name: faults for name in named if (faults := differences(name, ours))} == {}


def differences(name, ours):
    return [] if THEIRS[name] == public_api.VALUE else compat.differences(THEIRS[name], ours[name])


@pytest.mark.parametrize(
    ("theirs", "ours", "faults"),
    [
        ({"a": "-", "b": "300"}, {"a": "-", "b": "300.0", "c": "1"}, []),
        ({"a": "-"}, {"a": "None"}, []),
        ({"a": "1", "b": "2"}, {"a": "1"}, ["without `b`"]),
        ({"a": "1"}, {"a": "2"}, ["`a=2`, there 1"]),
        ({"a": "1"}, {"a": "1", "b": "-"}, ["needs `b`"]),
        ({"job_name": "1"}, {"name": "1"}, []),  # another name that is accepted
        ({"a": "-", "more": "**"}, {"a": "-", "options": "**"}, []),
    ],
)
def test_how_calls_differ(theirs, ours, faults):
    assert compat.differences(theirs, ours) == faults
