"""One manager per run, on real files with real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.io.disk import files, lock
from adaptive_scheduler.io.disk.lock import Holder, Lock, boot_id, holder, started_at

RACER = """
import sys
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.io.disk.lock import Lock
print("ready", flush=True)
for path in sys.stdin:
    mine = Lock(RunFolder(path.strip()))
    try:
        mine.acquire()
    except RunError:
        print("lost", flush=True)
    else:
        print("won", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "x.tinydb")
    files.private_folder(folder.folder)
    return folder


def write(folder: RunFolder, other: Holder) -> None:
    folder.lock.write_bytes(msgspec.json.encode(other))


def dead() -> Holder:
    process = subprocess.Popen(["true"])
    process.wait()
    return Holder(lock.socket.gethostname(), process.pid, boot_id(), 1.0, "secret")


def test_a_second_manager_is_refused_by_name(folder: RunFolder) -> None:
    mine = Lock(folder)
    mine.acquire()
    found = holder(folder.lock)
    assert found is not None
    with pytest.raises(RunError, match=f"process {found.pid} on {found.host}"):
        Lock(folder).acquire()
    mine.release()
    assert not folder.lock.exists()
    Lock(folder).acquire()


def test_the_lock_of_a_dead_holder_is_taken(folder: RunFolder) -> None:
    write(folder, dead())
    Lock(folder).acquire()
    assert [path.name for path in folder.folder.iterdir()] == ["manager.lock"]


def test_a_recycled_pid_is_not_the_holder(folder: RunFolder) -> None:
    write(folder, msgspec.structs.replace(dead(), pid=1, started=started_at(1) + 5))
    Lock(folder).acquire()


def test_another_boot_is_not_the_holder(folder: RunFolder) -> None:
    write(folder, msgspec.structs.replace(dead(), pid=1, started=started_at(1), boot="before"))
    Lock(folder).acquire()


def test_a_holder_on_another_host_is_alive_while_it_updates_its_file(folder: RunFolder) -> None:
    write(folder, msgspec.structs.replace(dead(), host="elsewhere"))
    with pytest.raises(RunError, match="elsewhere"):
        Lock(folder).acquire()


def test_a_new_empty_lock_file_counts_as_held(folder: RunFolder) -> None:
    """Made, but not yet written: somebody is just taking it."""
    folder.lock.touch()
    with pytest.raises(RunError):
        Lock(folder).acquire()


def test_a_holder_that_lost_the_lock_notices_and_does_not_touch_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.0)
    mine = Lock(folder)
    mine.acquire()
    mine.renew()
    found = holder(folder.lock)
    assert found is not None
    assert found.counter == 1
    write(folder, msgspec.structs.replace(found, secret="another"))
    with pytest.raises(RunError, match="taken over"):
        mine.renew()
    mine.release()
    assert folder.lock.exists()


@pytest.mark.parametrize("kind", ["free", "dead"])
def test_of_two_that_race_exactly_one_wins(tmp_path: Path, kind: str) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(2)
    ]
    try:
        assert [racer.stdout.readline() for racer in racers if racer.stdout] == ["ready\n"] * 2
        for n in range(20):
            folder = RunFolder(tmp_path / f"{n}.tinydb")
            files.private_folder(folder.folder)
            if kind == "dead":
                write(folder, dead())
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"{folder.database}\n")
            said = [racer.stdout.readline() for racer in racers if racer.stdout]
            assert sorted(said) == ["lost\n", "won\n"]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
