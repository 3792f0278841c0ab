"""The point journal: points that were flushed are read again, whatever happened to the end of the file."""

from __future__ import annotations

import errno
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import DataFileError, PermissionsError
from adaptive_scheduler.io.learner_data import point_journal
from adaptive_scheduler.io.learner_data import point_journal as points
from adaptive_scheduler.io.learner_data.point_journal import (
    PointJournal,
    decode,
    encode,
    read_journals,
)

pairs = st.lists(st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)), max_size=5)


@given(st.lists(pairs, max_size=4))
def test_decode_is_the_opposite_of_encode(batches):
    content = b"".join(map(encode, batches))
    assert decode(content) == ([pair for batch in batches for pair in batch], 0, 0)


@given(st.lists(pairs, min_size=1, max_size=4), st.data())
def test_a_torn_tail_costs_only_its_record(batches, data):
    whole = b"".join(map(encode, batches[:-1]))
    last = encode(batches[-1])
    cut = data.draw(st.integers(0, len(last) - 1))
    found, torn, damaged = decode(whole + last[:cut])
    assert found == [pair for batch in batches[:-1] for pair in batch]
    assert (torn, damaged) == (cut, 0)


def test_damage_in_the_middle_costs_only_its_record():
    records = [encode([(i, i)]) for i in range(3)]
    records[1] = records[1][:-1] + b"\0"
    assert decode(b"".join(records)) == ([(0, 0), (2, 2)], 0, len(records[1]))


def test_journals_are_read_by_token(tmp_path):
    fname = str(tmp_path / ("n" * 255))
    for token in (12, 3, 100):
        journal = PointJournal(fname, token)
        journal.add(token, math.inf)
        assert journal.n_waiting == 1
        journal.flush()
        journal.flush(sync=True)
        assert (journal.n_waiting, journal.n_written) == (0, 1)
        journal.close()
    PointJournal(str(tmp_path / "other"), 5).close()
    found = list(read_journals(fname))
    assert [journal.token for journal in found] == [3, 12, 100]
    assert [journal.points for journal in found] == [[(t, math.inf)] for t in (3, 12, 100)]


def test_a_journal_that_others_may_write_is_refused(tmp_path):
    journal = PointJournal(str(tmp_path / "a"), 1)
    journal.add(1, 2)
    journal.close()
    assert journal.path.stat().st_mode & 0o077 == 0
    journal.path.chmod(0o620)
    with pytest.raises(PermissionsError, match="chmod"):
        list(read_journals(str(tmp_path / "a")))


def test_values_that_cannot_be_unpickled_are_reported_with_the_file(tmp_path):
    payload = pickle.dumps([(1, 2)]).replace(b"K\x01", b"cnowhere\nat_all\n")
    head = point_journal._HEAD.pack(
        point_journal._MARK, len(payload), point_journal.zlib.crc32(payload)
    )
    path = point_journal.journal_path(str(tmp_path / "a"), 1)
    path.write_bytes(head + payload)
    path.chmod(0o600)
    with pytest.raises(DataFileError, match="nowhere"):
        list(read_journals(str(tmp_path / "a")))


def test_points_wait_in_memory_while_the_disk_is_full(tmp_path, monkeypatch):
    from tests.unit.test_files import Failing

    journal = PointJournal(str(tmp_path / "a"), 1)
    journal.add(1, 2)
    monkeypatch.setattr(points.files, "operations", Failing(2))
    with pytest.raises(DataFileError, match="No space left"):
        journal.flush()
    assert journal.n_waiting == 1
    journal.add(3, 4)
    journal.close()
    (read,) = read_journals(str(tmp_path / "a"))
    assert read.points == [(1, 2), (3, 4)]


def test_a_point_costs_at_most_100_bytes(tmp_path):
    journal = PointJournal(str(tmp_path / "a"), 1)
    for i in range(1000):
        journal.add(i / 7, i / 11)
    journal.close()
    assert journal.path.stat().st_size <= 100_000


def test_discard_deletes_the_journal(tmp_path):
    journal = PointJournal(str(tmp_path / "a"), 1)
    journal.discard()
    journal.add(1, 2)
    journal.flush()
    journal.discard()
    assert list(tmp_path.iterdir()) == []


def test_points_that_fsync_lost_are_written_again(tmp_path, monkeypatch):
    journal = PointJournal(str(tmp_path / "a"), 1)
    journal.add(1, 2)
    journal.flush()

    class FullAtSync(points.files.Operations):
        """NFS takes what is written, and says only at fsync that the disk is full."""

        def fsync(self, fd):
            points.files.operations.truncate(fd, 0)
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(points.files, "operations", FullAtSync())
        with pytest.raises(DataFileError, match="No space left"):
            journal.flush(sync=True)
    assert journal.n_waiting == 1
    journal.close()
    (read,) = read_journals(str(tmp_path / "a"))
    assert read.points == [(1, 2)]


def test_a_journal_that_another_host_deleted_is_made_anew(tmp_path, monkeypatch):
    journal = PointJournal(str(tmp_path / "a"), 1)
    journal.add(1, 2)
    journal.flush()
    journal.path.unlink()

    class Stale(points.files.Operations):
        """NFS, where the deleted file's handle is of no more use."""

        def write(self, fd, data):
            monkeypatch.undo()
            raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(points.files, "operations", Stale())
    journal.add(3, 4)
    journal.close()
    (read,) = read_journals(str(tmp_path / "a"))
    assert read.points == [(3, 4)]


def test_a_journal_that_is_listed_but_gone_is_no_error(tmp_path, monkeypatch):
    for token in (1, 2):
        journal = PointJournal(str(tmp_path / "a"), token)
        journal.add(token, 0)
        journal.close()

    class LateList(points.files.Operations):
        """NFS lists a file that another host has deleted."""

        def open(self, path, flags, mode=0o666):
            if ".000000000001." in str(path):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            return super().open(path, flags, mode)

    monkeypatch.setattr(points.files, "operations", LateList())
    assert [journal.token for journal in read_journals(str(tmp_path / "a"))] == [2]
