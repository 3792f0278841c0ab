"""Files are whole or untouched, private ones are refused when they are not private."""

from __future__ import annotations

import errno
import os

import pytest

from adaptive_scheduler.errors import DataFileError, FileError, PermissionsError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.append_file import Appender


class Failing(files.Operations):
    """Fails at the n-th call, with ENOSPC."""

    def __init__(self, n):
        self.left = n

    def count(self, name):
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    def open(self, path, flags, mode=0o666):
        self.count("open")
        return super().open(path, flags, mode)

    def write(self, fd, data):
        self.count("write")
        return super().write(fd, data[:3])

    def fsync(self, fd):
        self.count("fsync")
        super().fsync(fd)

    def close(self, fd):
        super().close(fd)
        self.count("close")

    def rename(self, source, target):
        self.count("rename")
        super().rename(source, target)


@pytest.fixture
def failing(monkeypatch):
    return lambda n: monkeypatch.setattr(files, "operations", Failing(n))


def test_write_atomically_is_all_or_nothing_wherever_it_fails(tmp_path, failing):
    path = tmp_path / ("n" * 255)
    failing(0)
    files.write_atomically(path, b"old content")
    n = 0
    while path.read_bytes() == b"old content" or n < 8:
        n += 1
        failing(n)
        with pytest.raises(DataFileError, match="No space left") as raised:
            files.write_atomically(path, b"new content", kind=DataFileError)
        assert raised.value.path == str(path)
        assert path.read_bytes() in (b"old content", b"new content")
        assert list(tmp_path.iterdir()) == [path]
    failing(0)
    files.write_atomically(path, b"new content")
    assert n > 8
    assert path.read_bytes() == b"new content"


def test_mode_is_exact_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        files.write_atomically(tmp_path / "open", b"x", mode=0o644)
        files.write_atomically(tmp_path / "umask", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "umask").stat().st_mode & 0o777 == 0o600


def test_a_failed_append_leaves_no_part_of_a_record(tmp_path, failing):
    appender = Appender(tmp_path / "a")
    appender.append(b"first")
    failing(2)
    with pytest.raises(FileError, match="No space left"):
        appender.append(b"second")
    failing(0)
    appender.append(b"third")
    appender.sync()
    appender.close()
    appender.close()
    assert (tmp_path / "a").read_bytes() == b"firstthird"


class NoTruncate(files.Operations):
    """Takes half of a write, and cannot take it back."""

    def write(self, fd, data):
        if len(data) < 4:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(fd, data[:3])

    def truncate(self, fd, size):
        raise OSError(errno.EIO, "Input/output error")


def test_a_torn_record_is_removed_before_the_next_append(tmp_path):
    appender = Appender(tmp_path / "a")
    appender.append(b"one\n")
    with files.through(NoTruncate()):
        for _ in range(2):
            with pytest.raises(FileError, match="Input/output"):
                appender.append(b"second\n")
    appender.append(b"two\n")
    appender.close()
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\n"


def test_parent_folders_are_made(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        files.make_folder(tmp_path / "file" / "a")


def test_an_appender_sees_that_its_file_was_deleted(tmp_path):
    appender = Appender(tmp_path / "a")
    assert not appender.is_deleted()
    (tmp_path / "a").unlink()
    assert appender.is_deleted()
    appender.close()


def test_private_files_and_folders(tmp_path):
    folder = files.private_folder(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o750)
    with pytest.raises(PermissionsError, match="chmod 700"):
        files.private_folder(folder)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    path.chmod(0o664)
    with pytest.raises(PermissionsError, match="chmod go-w"):
        files.read_private(path)
    path.chmod(0o644)
    assert files.read_private(path) == b"x"
    with pytest.raises(FileError, match="missing"):
        files.read_private(tmp_path / "missing")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    os.chown(path, 12345, -1)
    with pytest.raises(PermissionsError, match="12345"):
        files.read_private(path)


@pytest.mark.parametrize("name", ["a", "n" * 255, "ä" * 127, "n" * 250])
def test_names_beside_a_file_have_at_most_255_bytes(tmp_path, name):
    path = tmp_path / name
    for other in (files.name_beside(path, "damaged-1"), files.temporary_name(path)):
        other.write_bytes(b"")
        assert other.parent == path.parent
    assert files.temporary_name(path) != files.temporary_name(path)
