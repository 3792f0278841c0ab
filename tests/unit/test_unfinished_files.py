"""Files that are being written, or whose writer was killed, are nobody's complaint and no goodbye."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.system.complaints import FIRST, Complaint, read_complaints
from adaptive_scheduler.io.transport import offline_goodbyes


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "x.tinydb")
    files.private_folder(made.folder)
    return made


class LooksBeforeRenames(files.Operations):
    """Calls a function when a file is written and does not have its name yet."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def rename(self, source: files.Name, target: files.Name) -> None:
        self._look()
        super().rename(source, target)


def complain(folder: RunFolder) -> None:
    Complaint(folder, "17").make("no route to host", FIRST)


def say_goodbye(folder: RunFolder) -> None:
    offline_goodbyes.write_goodbye(folder, Owner("17", 0, 0, "a"), "over", False, True)


def goodbyes(folder: RunFolder) -> list[str]:
    return [path.name for path, _ in offline_goodbyes.read_goodbyes(folder)]


WRITERS = [(complain, lambda folder: list(read_complaints(folder))), (say_goodbye, goodbyes)]


@pytest.mark.parametrize(("write", "read"), WRITERS)
def test_what_is_being_written_is_not_read(
    folder: RunFolder, write: Callable[[RunFolder], None], read: Callable[[RunFolder], Any]
) -> None:
    """It was read as one of a job that does not exist, and a second time when it had its name."""
    seen: list[Any] = []
    with files.through(LooksBeforeRenames(lambda: seen.append(read(folder)))):
        write(folder)
    assert seen == [[]]
    assert read(folder) == ["17"]


@pytest.mark.parametrize(("write", "read"), WRITERS)
def test_what_a_killed_writer_left_is_not_read(
    folder: RunFolder, write: Callable[[RunFolder], None], read: Callable[[RunFolder], Any]
) -> None:
    left: list[str] = []

    def keep() -> None:
        parents = [one for one in (folder.complaints, folder.offline_goodbyes) if one.exists()]
        for path in [path for parent in parents for path in parent.iterdir()]:
            left.append(shutil.copy2(path, path.with_name(path.name.replace(".tmp", "0.tmp"))))  # noqa: PERF401

    with files.through(LooksBeforeRenames(keep)):
        write(folder)
    assert left
    assert read(folder) == ["17"]
