"""What a user changes while the manager of the run ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaptive_scheduler.core.rows.row import QUEUED, Item
from adaptive_scheduler.errors import ManagerUnreachableError
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.reasons.explain import explain_item
from tests.unit.test_explain import stored


def never_answers() -> int:
    raise ManagerUnreachableError("it does not answer.")


def client_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *lives: bool) -> ManagerClient:
    answers = iter(lives)
    client = ManagerClient(folder)
    monkeypatch.setattr(client, "lives", lambda: next(answers))
    return client


def test_what_a_manager_does_not_answer_as_it_ends_is_done_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(tmp_path, monkeypatch, True, False)
    assert client.change(never_answers, lambda: 3) == 3


def test_beside_a_manager_that_hangs_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(tmp_path, monkeypatch, True, True)
    with pytest.raises(ManagerUnreachableError):
        client.change(never_answers, lambda: pytest.fail("the manager has the database"))


def test_without_a_manager_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(tmp_path, monkeypatch, False)
    assert client.change(lambda: pytest.fail("there is nobody"), lambda: 3) == 3


@pytest.mark.parametrize(
    ("lives", "told"),
    [((False,), "this run has no manager"), ((True, False), "this run has no manager"),
     ((True, True), "its manager does not say: it does not answer.")],
)  # fmt: skip
def test_an_item_is_explained_also_while_its_manager_ends_or_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: tuple[bool, ...], told: str
) -> None:
    """What its manager says of it is the smaller part."""
    client = client_of(tmp_path, monkeypatch, *lives)
    monkeypatch.setattr(client, "ask", lambda _question: never_answers())
    client.folder = stored(tmp_path, [Item(0, "/a", QUEUED)])
    (reason,) = explain_item(client, 0).reasons
    assert reason.text.startswith(told)
