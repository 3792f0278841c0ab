"""What a script shows while it waits for a run, and what is said about one that has ended."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs import run as run_module
from adaptive_scheduler.runs.run import Run
from adaptive_scheduler.runs.views.live.while_waiting import WaitView
from tests.made_runs import learners, make_run


class Terminal(io.StringIO):
    """A text that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def ended(home: Path, *phases: Phase) -> Run:
    make_run(home, [Item(n, f"/data/{n}.pickle", phase) for n, phase in enumerate(phases)])
    return Run.attach(home)


@pytest.fixture
def runs(tmp_path: Path) -> Snapshot:
    """A run of which most is to do."""
    make_run(tmp_path / "study", learners(12))
    return Run.attach(tmp_path / "study").snapshot()


def test_without_a_terminal_a_line_is_printed_now_and_then(runs: Snapshot) -> None:
    printed = io.StringIO()
    with WaitView(Console(file=printed, width=60), lines=1e9) as view:
        for done in range(5):
            view.show(
                msgspec.structs.replace(runs, phases={Phase.DONE: done, Phase.QUEUED: 12 - done})
            )
        view.end(msgspec.structs.replace(runs, phases={Phase.DONE: 12}))
    lines = printed.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["0/12 done", "12/12 done"]


def test_what_has_not_changed_is_not_printed_again(runs: Snapshot) -> None:
    printed = io.StringIO()
    with WaitView(Console(file=printed, width=60), lines=0) as view:
        for done in (1, 1, 1, 2, 2):
            view.show(
                msgspec.structs.replace(runs, phases={Phase.DONE: done, Phase.QUEUED: 12 - done})
            )
    assert len(printed.getvalue().splitlines()) == 2


def test_colours_that_are_forced_make_no_terminal(
    runs: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = io.StringIO()
    with WaitView(Console(file=printed, width=60)) as view:
        view.show(runs)
    assert "\x1b[?25l" not in printed.getvalue()


def test_in_a_terminal_it_moves_and_the_cursor_comes_back(runs: Snapshot) -> None:
    printed = Terminal()
    with WaitView(Console(file=printed, width=60, force_terminal=True)) as view:
        view.show(runs)
        view.end(runs)
    text = printed.getvalue()
    assert "2/12 done" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0


@pytest.mark.parametrize("progress", [True, False])
def test_wait_shows_how_far_the_run_is(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    progress: bool,
) -> None:
    found = ended(tmp_path / "my $study", Phase.DONE, Phase.DONE)
    last = found.snapshot()
    before = msgspec.structs.replace(last, phases={Phase.DONE: 1, Phase.RUNNING: 1}, alive=True)
    answers = iter([before, before, last])
    monkeypatch.setattr(run_module, "_POLL", 0)
    monkeypatch.setattr(found, "snapshot", lambda: next(answers))
    assert found.wait(progress=progress) is last
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ["1/2 done" in shown.err, "2/2 done" in shown.err] == [progress, progress]


def test_of_a_run_that_has_ended_nothing_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(tmp_path / "study", Phase.DONE).wait().over
    assert capsys.readouterr() == ("", "")


def test_cancel_and_resume_of_a_run_that_has_ended_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ended(tmp_path / "study", Phase.DONE, Phase.FAILED)
    assert found.cancel() == 0
    said = "all 2 learners have ended: 1 done, 1 failed."
    assert capsys.readouterr().out == f"Nothing to cancel: {said}\n"
    assert found.resume() == 0
    assert capsys.readouterr().out == (
        f"Nothing to resume: {said} retry() runs the failed ones again.\n"
    )


def test_cancel_of_what_has_not_ended_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(tmp_path / "study", Phase.DONE, Phase.QUEUED).cancel() == 1
    assert capsys.readouterr().out == ""
