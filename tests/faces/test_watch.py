"""``status --watch`` on a whole terminal: its keys, small terminals, restarts of the manager, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Item, Phase
from tests.faces.terminals import PseudoTerminal
from tests.integration.test_cli import LOCAL, Terminal
from tests.integration.test_cli import terminal as terminal  # noqa: PLC0414  a fixture
from tests.made_runs import learners, make_run

WATCH = [sys.executable, "-m", "adaptive_scheduler", "status", "--watch"]


def watch(folder: Path, columns: int = 80, lines: int = 24, **environ: str) -> PseudoTerminal:
    return PseudoTerminal(WATCH, columns, lines, folder, environ)


@pytest.fixture(params=[(80, 24), (60, 20), (200, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PseudoTerminal]:
    make_run(tmp_path / "study", learners(60))
    with watch(tmp_path, *request.param) as seen:
        seen.until_shown("your function rais")
        seen.until(lambda text: "q Leave" in text.splitlines()[-1], "the keys are not there")
        yield seen


def test_in_any_size_the_run_its_learners_and_the_keys_are_there(shown: PseudoTerminal) -> None:
    def rows_of(text: str) -> list[str]:
        return [line for line in text.splitlines() if re.match(r" *\d+ +\S*…?\S*pickle", line)]

    shown.until(lambda text: len(rows_of(text)) >= 6, "there are no six rows")
    shown.until_shown("10/60 done")
    shown.until(
        lambda text: all("failed" in row for row in rows_of(text)[:6]),
        "what needs attention does not come first",
    )
    shown.until(lambda text: "/ Search" in text.splitlines()[-1])
    shown.until(
        lambda text: "no manager runs: adaptive-scheduler resume" in text.splitlines()[0],
    )


def test_the_keys_that_people_expect(shown: PseudoTerminal) -> None:
    shown.type("/")
    shown.type("_8.pickle")
    shown.until(
        lambda text: "_8.pickle" in text and "your func" not in text and "_3.pickle" not in text
    )
    shown.until(lambda text: "q Leave" not in text.splitlines()[-1], "letters are for the search")
    shown.type("\r")
    shown.until(lambda text: "q Leave" in text.splitlines()[-1], "the table has the keys again")
    shown.type("\r")  # all about it
    shown.until_shown("learner 8 is running")
    shown.type("\x1b")
    shown.until_hidden("learner 8 is running")
    shown.until_shown("10/60 done")
    shown.type("\x1b")  # the search is over
    shown.until_shown("your function rais")
    shown.type("?")
    shown.until_shown("words of name, number, phase, job, reason")
    shown.type("q")
    shown.until_hidden("words of name, number, phase, job, reason")
    shown.until_shown("10/60 done")
    shown.type("\x1b[B\x1b[B\r")  # two lines down from where the search had gone: 8, 14, 20
    shown.until_shown("learner 20 is running")
    shown.type("\x1b")
    shown.until_hidden("learner 20 is running")
    shown.until_shown("10/60 done")
    shown.type("q")
    assert shown.end() == 0
    assert shown.is_restored()
    shown.until_written(b"The run goes on")


@pytest.mark.parametrize(
    ("how", "code"),
    [("\x03", 130), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-c", "SIGINT", "SIGTERM", "SIGHUP"],
)
def test_however_it_ends_the_terminal_is_restored(
    tmp_path: Path, how: str | signal.Signals, code: int
) -> None:
    make_run(tmp_path / "study", learners(6))
    with watch(tmp_path) as seen:
        seen.until_shown("1/6 done")
        assert not seen.looks_restored()
        if isinstance(how, str):
            seen.type(how)
        else:
            seen.send(how)
        assert seen.end() == code
        assert seen.is_restored()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGTSTP])
def test_after_a_stop_it_goes_on_and_leaves_the_terminal_as_it_was(
    tmp_path: Path, how: signal.Signals
) -> None:
    """After a SIGSTOP and a SIGCONT it left the terminal without echo."""
    make_run(tmp_path / "study", learners(6))
    with watch(tmp_path) as seen:
        seen.until_shown("1/6 done")
        process = psutil.Process(seen.process.pid)
        seen.send(how)
        seen.until(lambda _: process.status() == psutil.STATUS_STOPPED, "it is not stopped")
        seen.send(signal.SIGCONT)
        seen.type("?")
        seen.until_shown("words of name, number, phase, job, reason")
        seen.type("q")
        seen.until_hidden("words of name, number, phase, job, reason")
        seen.type("q")
        assert seen.end() == 0
        assert seen.is_restored()


def test_a_run_that_is_over_is_told_and_left(tmp_path: Path) -> None:
    make_run(
        tmp_path / "study", [Item(0, "/x", Phase.DONE), Item(1, "/y", Phase.FAILED, reason="no")]
    )
    with watch(tmp_path) as seen:
        assert seen.end() == 1
        assert seen.is_restored()
        seen.until_written(b"learner 1")
        seen.until_written(b"adaptive-scheduler retry")


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    make_run(tmp_path / "study", [Item(0, "/x", Phase.DONE)])
    done = subprocess.run(
        WATCH, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    assert "1/1 done" in done.stdout
    assert "\x1b" not in done.stdout


def test_it_goes_on_while_the_manager_dies_and_another_comes(terminal: Terminal) -> None:
    terminal.run("run", terminal.learners_file(), *LOCAL, "--goal", "1h", "--detach")
    environ = {
        name: terminal.environ[name]
        for name in terminal.environ
        if os.environ.get(name) != terminal.environ[name]
    }
    environ.pop("COLUMNS")
    lock = RunFolder(terminal.folder / "study").lock
    with watch(terminal.folder, 100, 30, **environ) as seen:
        seen.until(lambda text: "  manager " in text and re.search(r"\d running", text))
        os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
        seen.until_shown("no manager runs: adaptive-scheduler resume")
        terminal.run("resume", "study")
        seen.until(lambda text: "  manager " in text and "no manager" not in text)
        terminal.run("cancel", "study")
        assert seen.end() == 1
        assert seen.is_restored()
