"""Files: who may read them, and which are not unpickled."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Claim, Hello, Owner, Welcome
from adaptive_scheduler.errors import DataFileError, PermissionsError
from adaptive_scheduler.evaluation.learners.data_file import DataFile, LoadReport
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.syscalls import Name, Operations
from adaptive_scheduler.io.learner_data.point_journal import list_journals, read_journals
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.pickling.learner_file import LearnerFile, write_learners
from adaptive_scheduler.io.transport import keys
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.runs.load_data import load_data, load_learners
from tests.effort import times
from tests.integration.attacker import NOBODY
from tests.integration.client_runs import ClientRun

ROOT = Path(__file__).resolve().parents[2]

# ------------------------------------------------------------------------- modes


def _modes(folder: Path) -> Iterator[tuple[Path, int]]:
    # os.walk passes over a folder that is gone when it is read; pathlib's rglob raises
    inside = (Path(at, name) for at, folders, files in os.walk(folder) for name in folders + files)
    for path in chain([folder], inside):
        try:
            found = path.lstat()
        except FileNotFoundError:  # a temporary one
            continue
        if not stat.S_ISLNK(found.st_mode):
            yield path, found.st_mode


@pytest.mark.parametrize("umask", [0o000, 0o077][: times(1, 2)])
def test_modes_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Watched while a real run goes on: not even a temporary file is wider for a moment."""
    words = ["-m", "tests.integration.run_driver", str(tmp_path), "local", "process-pool"]
    environ = os.environ | {"ADAPTIVE_SCHEDULER_LOCALBATCH": str(tmp_path / "batch")}
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environ, umask=umask)
    private = tmp_path / "run" / "db.tinydb.run"
    looks, seen = 0, set[str]()
    while process.poll() is None:
        for path, mode in (
            [*_modes(private), *_modes(tmp_path / "batch")] if private.exists() else ()
        ):
            assert not mode & 0o077, f"{path} is {stat.filemode(mode)}"
            seen.add(path.name)
        looks += 1
        time.sleep(0.02)
    assert process.returncode == 0
    assert stat.S_IMODE((tmp_path / "run" / "db.tinydb").stat().st_mode) == 0o600
    assert {"client.key", "server.key", "manager.json", "learners.pickles", "run.json"} <= seen
    shared = {
        path: stat.S_IMODE(mode)
        for folder in (tmp_path / "data", tmp_path / "run" / "logs")
        for path, mode in _modes(folder)
    }
    data = {mode for path, mode in shared.items() if path.parent.name == "data"}
    logs = {mode for path, mode in shared.items() if path.parent.name == "logs"}
    assert data == {0o664 & ~umask}, "the user's umask, but for the world's right to write"
    assert logs == {0o666 & ~umask}
    print(f"umask {umask:03o}: {looks} looks at {len(seen)} private names")


def test_a_wider_key_folder_is_refused_with_the_chmod_that_mends_it(tmp_path: Path) -> None:
    folder = tmp_path / "a 'b' $x" / "keys"
    keys.load_or_make(folder, "client")
    for path, mode in ((folder, 0o750), (folder, 0o701), (folder / "client.key", 0o640)):
        path.chmod(mode)
        for use in (keys.load, keys.load_or_make):
            with pytest.raises(PermissionsError, match="Mend it with: ") as caught:
                use(folder, "client")
        subprocess.run(
            ["bash", "-c", caught.value.reason.partition("Mend it with: ")[2]], check=True
        )
        assert keys.load(folder, "client") == keys.load_or_make(folder, "client")


class NoModes(Operations):
    """A file system without modes below a folder: all is as the mount says, chmod does nothing."""

    def __init__(self, mount: Path, mode: int) -> None:
        self._mount, self._mode = str(mount), mode

    def _is_there(self, path: Name) -> bool:
        return os.path.realpath(path).startswith(self._mount)

    def _shown(self, path: Name, found: os.stat_result) -> os.stat_result:
        if not self._is_there(path):
            return found
        return os.stat_result((stat.S_IFMT(found.st_mode) | self._mode, *found[1:]))

    def fchmod(self, fd: int, mode: int) -> None:
        if not self._is_there(f"/proc/self/fd/{fd}"):
            super().fchmod(fd, mode)

    def fstat(self, fd: int) -> os.stat_result:
        return self._shown(f"/proc/self/fd/{fd}", super().fstat(fd))

    def chmod(self, path: Name, mode: int) -> None:
        if not self._is_there(path):
            super().chmod(path, mode)

    def stat(self, path: Name) -> os.stat_result:
        return self._shown(path, super().stat(path))


def test_where_chmod_has_no_effect_keys_lie_in_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    mount = tmp_path / "mount"
    mount.mkdir()
    with files.through(NoModes(mount, 0o755)):
        run = ClientRun(mount / "run", 3, interface="127.0.0.1")
        run.fill([], ["/nowhere/0"])
        with run.manage():
            connection = Connection(run.folder)
            me = Owner("1", 0, 0, "me")
            assert isinstance(connection.ask(me, 1, Hello("here", 1, 1), 10), Welcome)
            connection.ask(me, 2, Claim(), 10)
            connection.close()
            first = keys.load(run.folder.keys, "client")
        assert keys.load_or_make(run.folder.keys, "client") == first
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.key"))
    assert [path.parts[0] for path in found] == ["state", "state"]
    for path, mode in _modes(tmp_path / "state"):
        assert path == tmp_path / "state" or not mode & 0o077, path


def test_where_everybody_may_write_no_run_is_begun(tmp_path: Path) -> None:
    with (
        files.through(NoModes(tmp_path, 0o777)),
        pytest.raises(PermissionsError, match="Choose a folder on another"),
    ):
        keys.load_or_make(tmp_path / "keys", "client")


# --------------------------------------------------------------------- unpickling


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = str(mark)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self._mark, "w"))


def _learner() -> adaptive.Learner1D:
    return adaptive.Learner1D(abs, (-1, 1))


def _in_the_notebook(path: Path) -> None:
    load_learners([_learner()], [str(path)], progress=False)


def _journals(path: Path) -> None:
    """A journal's name is made of its data file's."""
    data = path.with_name("data")
    journal = path.with_name(f".{files.short_hash(data)}.7.points")
    path.rename(journal)
    assert any(True for _ in _listed(data)), "the name is one of a journal"
    list(read_journals(str(data)))


def _listed(data: Path) -> Iterator[Path]:
    found = list_journals(data.parent)
    yield from (path for _, path in found[files.short_hash(data)])


READERS: list[Callable[[Path], object]] = [
    LearnerFile,
    lambda path: read_callable(path, "scheduler"),
    lambda path: DataFile(_learner(), path).load(LoadReport()),
    lambda path: load_data(_learner(), str(path)),
    _in_the_notebook,
    _journals,
    lambda path: keys.load(path.parent, path.stem),
]


@pytest.mark.parametrize("reader", range(len(READERS)))
@pytest.mark.parametrize("fault", ["another's", "a link to another's", "world-writable"])
def test_files_of_others_are_not_unpickled(tmp_path: Path, reader: int, fault: str) -> None:
    if "another's" in fault and os.getuid() != 0:
        pytest.skip("not root: no file can be given to another user")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    path = folder / "file.key"
    path.write_bytes(gzip.compress(pickle.dumps(Trap(tmp_path / "mark"))))
    path.chmod(0o602 if fault == "world-writable" else 0o600)
    if "another's" in fault:
        os.chown(path, NOBODY, NOBODY)
    if fault.startswith("a link"):
        path.rename(tmp_path / "theirs")
        path.symlink_to(tmp_path / "theirs")
    with pytest.raises((PermissionsError, DataFileError), match=r"not loaded|can read") as caught:
        READERS[reader](path)
    assert not (tmp_path / "mark").exists()
    assert re.search(r"Ask its owner|cp .* && mv|chmod", str(caught.value))


def test_what_we_write_is_what_we_load_with_umask_002(tmp_path: Path) -> None:
    """Many sites have it, as each user has a group of their own."""
    before = os.umask(0o002)
    try:
        folder = RunFolder(tmp_path / "run")
        folder.home.mkdir()
        files.private_folder(folder.folder)
        write_learners(folder.learners, [_learner()])
        with LearnerFile(folder.learners) as learners:
            one = DataFile(learners.read(0), tmp_path / "data")
        one.learner.tell(0.5, 0.25)
        one.replace_safely(gzip_free(one.learner), tmp_path / "x", lambda: True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o664
    again = DataFile(_learner(), tmp_path / "data")
    again.load(LoadReport())
    assert again.learner.data == {0.5: 0.25}


def gzip_free(learner: Any) -> bytes:
    return pickle.dumps(learner._get_data())
