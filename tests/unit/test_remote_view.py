"""What a view of a run on another host says when the connection is lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from adaptive_scheduler.errors import FarHostError
from adaptive_scheduler.io.ssh.far_session import LostConnectionError, NoConnectionError
from adaptive_scheduler.runs.sites.remote_view import RemoteView


@pytest.mark.parametrize(
    ("error", "begin"),
    [
        (NoConnectionError("ssh was ended by signal 9"), "Not done: there is no connection"),
        (LostConnectionError("it has ended"), "The connection to the host of the run was lost"),
    ],
)
def test_a_button_is_called_without_effect_only_where_nothing_was_sent(
    error: LostConnectionError, begin: str
) -> None:
    def ask(what: str, *values: Any) -> msgspec.Raw:
        raise error

    message = {"type": "do", "request": 3, "action": "cancel", "items": [1]}
    (answer,) = RemoteView(ask, may_change=True).receive(message)
    assert (answer["type"], answer["request"]) == ("error", 3)
    assert answer["text"].startswith(begin)


@pytest.mark.parametrize("error", [FarHostError("KeyError there: 7"), OSError("no disk there")])
def test_what_is_wrong_there_is_told_and_the_view_goes_on(error: Exception) -> None:
    """A page whose view raises must be loaded again."""

    def ask(what: str, *values: Any) -> msgspec.Raw:
        raise error

    view = RemoteView(ask, may_change=True)
    told = {"type": "error", "text": str(error)}
    assert view.tick() == [{**told, "request": 0}]
    assert view.receive({"type": "rows", "request": 3}) == [{**told, "request": 3}]
