"""Every path of a run follows from any of its names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adaptive_scheduler.core.paths import RunFolder


def test_a_database_its_run_folder_and_a_managers_folder(tmp_path: Path) -> None:
    database = RunFolder(tmp_path / "running.tinydb")
    assert database.folder == tmp_path / "running.tinydb.run"
    assert RunFolder(database).database == database.database
    assert database.home == tmp_path
    managed = RunFolder(tmp_path / "my_run")
    assert managed.database == tmp_path / "my_run" / "db.tinydb"
    assert RunFolder(managed.database).folder == managed.folder
    assert managed.logs == tmp_path / "my_run" / "logs"


def test_a_folder_that_exists_may_have_a_dot(tmp_path: Path) -> None:
    (tmp_path / "v1.5").mkdir()
    assert RunFolder(tmp_path / "v1.5").database == tmp_path / "v1.5" / "db.tinydb"


@pytest.mark.parametrize("name", ["a b.tinydb", "ü\n.tinydb", "-x.tinydb", "$(x).tinydb"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / name)
    assert RunFolder(os.fspath(folder)).database == tmp_path / name


def test_relative_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/anna")
    assert RunFolder("x.tinydb").database == tmp_path / "x.tinydb"
    assert RunFolder("../x.tinydb").database == tmp_path.parent / "x.tinydb"
    assert RunFolder("~/x.tinydb").database == Path("/home/anna/x.tinydb")


def test_symbolic_links_are_kept(tmp_path: Path) -> None:
    """On a cluster, one path may lead to different disks on different hosts."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    assert RunFolder(tmp_path / "link" / "x.tinydb").home == tmp_path / "link"


def test_all_that_is_secret_is_in_the_private_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "x.tinydb")
    secret = [folder.journals, folder.keys, folder.manager, folder.lock, folder.config]
    secret += [folder.learners, folder.callables, folder.scripts, folder.ends, folder.complaints]
    secret.append(folder.offline_goodbyes)
    assert all(path.is_relative_to(folder.folder) for path in secret)
    assert len(set(secret)) == len(secret)
