"""Files that are certainly not there are not looked for one by one."""

from __future__ import annotations

import os
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import directory_cache, files
from adaptive_scheduler.io.disk.directory_cache import DirectoryCache
from adaptive_scheduler.io.disk.syscalls import Operations
from adaptive_scheduler.runs.start.fnames import absolute_fnames


class Counting(Operations):
    def __init__(self) -> None:
        self.read: list[str] = []

    def names(self, folder: files.Name, most: int | None = None) -> list[str]:
        self.read.append(os.fspath(folder))
        return super().names(folder, most)


class Closed(Operations):
    """A folder may let itself be passed but not read."""

    def names(self, folder: files.Name, most: int | None = None) -> list[str]:
        raise PermissionError(13, "Permission denied", folder)


def answers(folder: Path, *last: str) -> list[bool]:
    """For names of a folder, after so many others that it was read."""
    one = DirectoryCache()
    for n in range(directory_cache._SINGLE):
        assert one.may_exist(f"{folder}/{n}"), "few are looked for one by one"
    return [one.may_exist(f"{folder}/{name}") for name in last]


def test_only_existing_files_may_exist(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("nowhere")
    (tmp_path / "c").mkdir()
    assert answers(tmp_path, "a", "b", "c", "d") == [True, True, True, False]


def test_a_missing_folder_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert answers(tmp_path / "file", "a") == answers(tmp_path / "none", "a") == [False]


def test_files_of_an_unreadable_folder_are_looked_up_one_by_one(tmp_path: Path) -> None:
    with files.through(Closed()):
        assert answers(tmp_path, "a") == [True]


def test_a_folder_with_too_many_names_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_cache, "_TOO_MANY", 3)
    for name in "abc":
        (tmp_path / name).touch()
    assert answers(tmp_path, "a", "d") == [True, True]


def test_a_thousand_names_take_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    isdir = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: looked.append(path) or isdir(path))
    (tmp_path / "data").mkdir()
    learners = [adaptive.Learner1D(abs, (-1, 1)) for _ in range(1000)]
    counting = Counting()
    with files.through(counting):
        names = absolute_fnames([tmp_path / f"data/{n}" for n in range(1000)], learners)
    assert names[-1] == str(tmp_path / "data/999")
    assert counting.read == [str(tmp_path / "data")]
    assert len(looked) == directory_cache._SINGLE


def test_a_folder_among_a_thousand_names_is_found(tmp_path: Path) -> None:
    (tmp_path / "data/777").mkdir(parents=True)
    learners = [adaptive.Learner1D(abs, (-1, 1)) for _ in range(1000)]
    with pytest.raises(InputError) as error:
        absolute_fnames([tmp_path / f"data/{n}" for n in range(1000)], learners)
    assert "fnames[777]" in str(error.value)
    assert "is a folder" in str(error.value)
