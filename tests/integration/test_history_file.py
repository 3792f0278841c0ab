"""The history of a run on disk: checkpoints, kills at any byte, databases of versions that kept none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from adaptive_scheduler.core.history.core_use import core_use
from adaptive_scheduler.core.wire.ends import How
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import history_file, journal
from adaptive_scheduler.io.storage.history_file import read_history
from adaptive_scheduler.io.storage.read_only import put_aside
from tests.run_folders import BEGIN, PastRun


def work(run: PastRun, checkpoints: bool = False) -> None:
    """A job of 4 cores from 10 to 60 s, in which one learner is done and another one fails."""
    run.submit(["7"], 0)
    run.start("7", 10)
    first = run.claim("7", 20)
    if checkpoints:
        run.checkpoint()
    run.finish(first, 40, 18.0)
    second = run.claim("7", 40)
    if checkpoints:
        run.checkpoint()
    run.fail(second, 50, "no such value")
    run.leave("7", 60)


@pytest.fixture
def run(tmp_path: Path) -> PastRun:
    return PastRun(tmp_path / "a $run", ["a", "b"])


def test_it_is_the_same_whether_checkpoints_have_read_the_lines_or_not(
    run: PastRun, tmp_path: Path
) -> None:
    work(run)
    other = PastRun(tmp_path / "other", ["a", "b"])
    work(other, checkpoints=True)
    found, same = read_history(run.folder), read_history(other.folder)
    assert other.folder.history.exists()
    assert not run.folder.history.exists()
    assert msgspec.structs.replace(same, segment=found.segment) == found
    use = core_use(found, BEGIN + 99)
    assert (use.held, use.starting, use.computing, use.saving) == (200.0, 40.0, 72.0, 8.0)
    assert (use.crashes, use.idle) == (40.0, 40.0)
    assert [one.how for one in found.stretches] == [How.DONE, How.FAILED]
    assert found.is_complete


def test_a_manager_that_was_killed_at_any_byte_leaves_a_history(run: PastRun) -> None:
    work(run)
    run.close()
    (number,) = journal.segments(run.folder)
    path = journal.segment_path(run.folder, number)
    whole = path.read_bytes()
    tries = []
    for size in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:size])
        history = read_history(run.folder)
        tries.append(len(history.stretches))
        use = core_use(history, BEGIN + 99)
        assert use.held >= use.computing >= 0
    assert tries == sorted(tries)
    assert tries[-1] == 2


def test_a_checkpoint_that_dies_between_two_files_counts_nothing_twice(run: PastRun) -> None:
    work(run)
    run.store.commit()
    numbers = journal.segments(run.folder)
    before = read_history(run.folder)
    history = history_file.open_history(run.folder, {})
    history_file.extend(
        run.folder, history, numbers
    )  # and is killed here: the lines are still there
    assert read_history(run.folder) == before
    run.checkpoint()
    after = read_history(run.folder)
    assert len(after.stretches) == 2
    assert core_use(after, BEGIN + 99) == core_use(before, BEGIN + 99)


def test_a_file_that_cannot_be_read_is_begun_anew(run: PastRun) -> None:
    work(run, checkpoints=True)
    run.folder.history.write_bytes(b"\x00 no history")
    history = read_history(run.folder)
    assert not history.is_complete
    assert [job.id for job in history.jobs] == ["7"]
    run.checkpoint()
    assert not read_history(run.folder).is_complete


def test_a_file_with_any_byte_changed_stops_nobody(run: PastRun) -> None:
    run.submit(["7"], 0)
    run.start("7", 10)
    run.finish(run.claim("7", 20), 40, 18.0)
    item = run.claim("7", 40)
    run.checkpoint()
    run.fail(item, 50, "no such value")
    whole = run.folder.history.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        run.folder.history.write_bytes(damaged)
        read_history(run.folder)  # the checkpoint reads it in the same way
    run.folder.history.write_bytes(whole.replace(b"\xa17", b"\xa1\xff"))  # no UTF-8
    run.checkpoint()
    assert not read_history(run.folder).is_complete


def test_what_a_version_without_a_history_did_meanwhile_leaves_no_job_alive(run: PastRun) -> None:
    run.submit(["7", "8"], 0)
    run.start("7", 10)
    item = run.claim("7", 20)
    run.checkpoint()
    former = run.folder.history.read_bytes()
    run.finish(item, 40, 18.0)
    run.leave("7", 50)
    run.start("8", 60)
    run.claim("8", 70)
    run.checkpoint()
    run.folder.history.write_bytes(former)  # that version, or a full disk, had left it so
    for _ in range(2):
        history = read_history(run.folder)
        assert not history.is_complete
        assert [(one.id, bool(one.ended)) for one in history.jobs] == [("7", True), ("8", False)]
        assert [(one.item, one.how) for one in history.stretches] == [(0, How.DONE)]
        assert list(history.running) == [1]
        use = core_use(history, BEGIN + 100)
        assert use.held == 4 * (30 + 40)  # until its last try ended, as far as is known; until now
        run.checkpoint()


def test_a_run_of_a_version_that_kept_none_tells_what_it_can(run: PastRun) -> None:
    work(run, checkpoints=True)
    run.checkpoint()
    run.close()
    run.folder.history.unlink()
    history = read_history(run.folder)
    assert not history.is_complete
    assert [(job.id, job.submitted, job.cause) for job in history.jobs] == [("7", BEGIN, "goodbye")]
    assert history.stretches == []


def test_what_runs_when_the_first_checkpoint_comes_is_known(run: PastRun) -> None:
    run.submit(["7"], 0)
    run.start("7", 10)
    item = run.claim("7", 20)
    run.checkpoint()
    run.folder.history.unlink()  # as if the version before had made that checkpoint
    run.finish(item, 40, 18.0)
    (one,) = read_history(run.folder).stretches
    assert (one.item, one.ended - one.began, one.how) == (0, 20.0, How.DONE)


def test_the_history_of_a_database_that_is_put_aside_goes_with_it(run: PastRun) -> None:
    work(run, checkpoints=True)
    run.checkpoint()
    run.close()
    put_aside(run.folder)
    assert not run.folder.history.exists()
    assert run.folder.history.with_name("history.old").exists()


def test_it_is_private(run: PastRun) -> None:
    work(run, checkpoints=True)
    assert run.folder.history.stat().st_mode & 0o077 == 0


def test_files_that_go_again_and_again_are_an_error_with_a_name(
    run: PastRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(run)

    def gone(*_: object) -> None:
        raise FileNotFoundError("a checkpoint deleted it")

    monkeypatch.setattr(history_file, "_read_file", gone)
    with pytest.raises(FileError, match="Ask again"):
        read_history(run.folder)
