"""A view of a run that is known by ``ssh://``: through real ssh and a real sshd, which is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adaptive_scheduler import Executor
from adaptive_scheduler.runs.sites.find_site import views_of
from adaptive_scheduler.runs.views.widget import Watcher
from tests.clusters.sshd import PrivateSshd
from tests.integration.test_remote import PATIENCE, jobs, kill_own_ssh, shared, until


def double(x: int) -> int:
    return 2 * x


@pytest.fixture
def executor(sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_SSH", sshd.ssh)
    with Executor(jobs(), folder=shared(sshd), python=str(sshd.python)) as made:
        assert made.submit(double, 1).result(PATIENCE) == 2
        yield made


@pytest.mark.timeout(300)
def test_a_view_of_a_run_there_is_live_and_says_when_it_is_old(
    executor: Executor, sshd: PrivateSshd
) -> None:
    """The conversation is held there; it begins anew with each connection, and is called old between."""
    shown: dict[str, dict[str, Any]] = {}
    watcher = Watcher(
        views_of(executor._book.site, 0.1), 0.1, lambda _, told: shown.update({told["type"]: told})
    )

    def summary(words: str) -> bool:
        return words in shown.get("summary", {}).get("sentence", "")

    try:
        watcher.put("a", {"type": "hello"})
        watcher.put("a", {"type": "rows", "request": 1, "search": "visible"})
        until(lambda: summary("done") and "rows" in shown)
        assert shown["summary"]["kind"] == "task"
        until(lambda: not shown["summary"]["is_old"])
        future = executor.options(tag="visible").submit(double, 4)
        until(lambda: shown["rows"]["matching"] == 1)
        assert future.result(PATIENCE) == 8
        until(lambda: [row[2] for row in shown["rows"]["rows"]] == ["done"])
        watcher.put("a", {"type": "open", "item": future.task})
        until(lambda: "detail" in shown)
        assert shown["detail"]["item"] == future.task
        sshd.stop()
        kill_own_ssh()
        until(lambda: shown["summary"]["is_old"])
        until(lambda: "no connection" in shown["summary"]["age_text"])
        watcher.put("a", {"type": "do", "request": 9, "action": "cancel", "items": [future.task]})
        until(lambda: shown.get("error", {}).get("request") == 9)
        assert shown["error"]["text"].startswith("Not done")
        sshd.start()
        until(lambda: not shown["summary"]["is_old"])
        again = executor.options(tag="visible").submit(double, 5)
        until(lambda: shown["rows"]["matching"] == 2)
        watcher.put("a", {"type": "do", "request": 10, "action": "cancel", "items": [again.task]})
        until(lambda: "done" in shown or shown["error"]["request"] == 10)
    finally:
        watcher.end()
        if sshd._process is None:
            sshd.start()
