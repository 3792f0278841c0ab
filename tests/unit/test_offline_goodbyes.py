"""Goodbyes that no manager received, and how long a client waits for a manager."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaptive_scheduler.client.link import BRIEF_PATIENCE, IDLE_PATIENCE, first_patience
from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.core.jobs.batch_jobs import JobState
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Goodbye, Owner
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.transport import offline_goodbyes
from adaptive_scheduler.io.transport.addresses import Address, write_address
from adaptive_scheduler.testing import World

OWNER = Owner("7/1", 0, 0, "anna")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "x.tinydb")
    files.private_folder(found.folder)
    return found


def publish(folder: RunFolder, instance: str) -> None:
    write_address(folder, Address(["tcp://127.0.0.1:1"], "key", "here", 1, instance))


def test_a_goodbye_is_read_and_other_files_are_skipped(folder: RunFolder) -> None:
    assert offline_goodbyes.read_goodbyes(folder) == []
    publish(folder, "one")
    offline_goodbyes.write_goodbye(folder, OWNER, "signal SIGTERM", False, False)
    (folder.offline_goodbyes / "garbage").write_bytes(b"{")
    (folder.offline_goodbyes / "garbage").chmod(0o600)
    [(path, word)] = offline_goodbyes.read_goodbyes(folder)
    assert (word.owner, word.reason, word.manager) == (OWNER, "signal SIGTERM", "one")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("manager", ["one", None])
def test_a_job_waits_briefly_for_a_manager_that_another_job_has_given_up(
    folder: RunFolder, manager: str | None
) -> None:
    if manager:
        publish(folder, manager)
    assert first_patience(folder, Timing()) == IDLE_PATIENCE
    assert first_patience(folder, Timing(client_patience=60)) == 60
    offline_goodbyes.write_goodbye(folder, OWNER, "signal SIGTERM", False, False)
    assert first_patience(folder, Timing()) == IDLE_PATIENCE, "its job ended: no word on a manager"
    offline_goodbyes.write_goodbye(folder, OWNER, "nobody answers", False, True)
    assert first_patience(folder, Timing()) == BRIEF_PATIENCE
    assert first_patience(folder, Timing(client_patience=3)) == 3
    publish(folder, "two")
    assert first_patience(folder, Timing()) == IDLE_PATIENCE, "another manager: another chance"


def world() -> World:
    items = [Item(row, f"f{row}", Phase.QUEUED) for row in range(2)]
    cluster = World(items, RunConfig("run", [Resources()], ["job"], "/logs"))
    cluster.run_for(3)
    return cluster


def test_jobs_that_left_while_no_manager_lived_have_not_crashed() -> None:
    cluster = world()
    running, starting = [job for job in cluster.batch.living() if job.state is JobState.PENDING]
    cluster.start(running, work=1e6)
    cluster.run_for(20)
    owner = cluster.clients[running.id].owner
    cluster.kill(running, "completed")
    cluster.kill(starting, "completed")
    cluster.kill_manager()
    clients, items = cluster.manager.dispatcher.clients, cluster.manager.state.items
    moment = cluster.clock.moment
    held = items.held_by(running.id)
    assert held is not None
    assert not clients.receive_offline_goodbye(
        Owner(running.id, 0, 0, "former"), Goodbye("old"), moment
    )
    assert clients.receive_offline_goodbye(owner, Goodbye("patience"), moment)
    assert not clients.receive_offline_goodbye(owner, Goodbye("patience"), moment), "it is known"
    assert clients.receive_offline_goodbye(
        Owner(starting.id, 0, 0, "new"), Goodbye("nobody"), moment
    )
    assert not clients.receive_offline_goodbye(
        Owner("stranger", 0, 0, "x"), Goodbye("nobody"), moment
    )
    assert items.rows[held.id].phase is Phase.QUEUED
    cluster.run_for(90)
    assert [item.crashes for item in items.rows] == [0, 0]
    assert cluster.manager.state.jobs.early_deaths == 0
    assert cluster.manager.state.stops.held == ""
