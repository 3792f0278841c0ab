"""Whether a command of a sweep is to be run: what its row, its task's files and its text say."""

from __future__ import annotations

from typing import Any

import pytest

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.runs.sweep.decisions import (
    Action,
    Decision,
    Past,
    decide,
    in_order,
    row_key,
    split_key,
    what_changed,
)


def entry(code: int, key: str = "k", generation: int = 3, title: str = "all") -> dict[str, Any]:
    return {"code": code, "key": key, "generation": generation, "title": title}


@pytest.mark.parametrize(
    ("past", "action"),
    [
        (Past(), Action.RUN),
        (Past(entry(0), 3, Phase.DONE), Action.SKIP),
        (Past(entry(0), -1, None, is_done_elsewhere=True), Action.SKIP),
        (Past(entry(0)), Action.RUN),  # the books are gone
        (Past(None, 3, Phase.DONE), Action.RUN),  # the folder is gone
        (Past(entry(0, "other"), 3, Phase.DONE), Action.RUN),
        (Past(entry(0), 3, Phase.FAILED), Action.RUN),
        (Past(entry(1), 3, Phase.FAILED), Action.RUN),
        (Past(entry(1), 3, Phase.DONE), Action.RUN),
        (Past(entry(-1), 3, Phase.DONE), Action.NOTE),
        (Past(entry(-1, generation=2), 3, Phase.DONE), Action.RUN),
        (Past(entry(-1, title="one"), 3, Phase.DONE), Action.RUN),
        (Past(entry(-1), 3, Phase.CANCELLED), Action.RUN),
        (Past(entry(-1), 3, Phase.RUNNING), Action.FOLLOW),
        (Past(entry(-1), 3, Phase.QUEUED), Action.FOLLOW),
        (Past(None, 3, Phase.WAITING), Action.FOLLOW),
        (Past(entry(-1), 3, Phase.QUEUED, is_as_wanted=False), Action.RUN),
        (Past(entry(0), 3, Phase.DONE, is_as_wanted=False), Action.SKIP),
    ],
)
def test_what_is_done_about_a_command(past: Past, action: Action) -> None:
    found = decide("k", "all", past, is_forced=False)
    assert found.action is action
    assert found.generation == (past.generation + 1 if action is Action.RUN else past.generation)


@pytest.mark.parametrize("phase", list(Phase))
def test_force_runs_what_has_ended_and_follows_what_has_not(phase: Phase) -> None:
    found = decide("k", "all", Past(entry(0), 3, phase), is_forced=True)
    has_ended = phase in (Phase.DONE, Phase.FAILED, Phase.CANCELLED)
    assert found.action is (Action.RUN if has_ended else Action.FOLLOW)


def test_none_goes_on_that_waits_for_what_is_run_anew() -> None:
    run, follow, skip = (Decision(action, 1) for action in (Action.RUN, Action.FOLLOW, Action.SKIP))
    assert in_order({"a": follow, "b": follow}) == {"a": follow, "b": follow}
    found = in_order({"a": skip, "b": run, "c": follow})
    assert [one.action for one in found.values()] == [Action.SKIP, Action.RUN, Action.RUN]
    assert found["c"].generation == 2


def test_why_a_command_is_run_again() -> None:
    former = {"x": 1, "y": 2, "_name": "n"}
    assert what_changed(former, {"x": 1, "y": 2}, "a") == "the template of a has changed"
    assert (
        what_changed(former, {"x": 1.0, "z": "b"}, "a")
        == 'x: 1 -> 1.0, y: 2 -> none, z: none -> "b"'
    )


def test_keys_of_rows() -> None:
    assert split_key(row_key("k", 12)) == ("k", 12)
    assert split_key("of another program") == ("", 0)
