"""The help of each command, those that other parts add included: plain words, in 80 columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.cells import cell_len
from typer.testing import CliRunner

import adaptive_scheduler
from adaptive_scheduler.cli import app
from adaptive_scheduler.commandline.input.find_run import split_run
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError, RunError


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, inside in getattr(command, "commands", {}).items():
        yield from walk(inside, (*words, name))


COMMANDS = dict(walk(typer.main.get_command(app)))
#: Commands that change nothing. A new command is one of them, or has ``--dry-run``.
SHOWS = {("status",), ("list",), ("explain",), ("logs",), ("report",), ("doctor",), ("check",), ("help",),
         ("tasks",), ("task",), ("results",), ("pool", "list")}  # fmt: skip
#: Commands that are about files of their own, or print what only people read.
NOT_ABOUT_A_RUN = {(), ("pool",), ("run",), ("search",), ("sweep",), ("results",), ("list",), ("help",),
                   ("check",), ("doctor",)}  # fmt: skip


def shown(words: tuple[str, ...], option: str = "-h", columns: int = 80) -> str:
    done = CliRunner().invoke(app, [*words, option], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_in_plain_words_and_fits(words: tuple[str, ...]) -> None:
    text = shown(words)
    assert text == shown(words, "--help")
    assert not re.search(r"<[a-z]+(\[[a-z]+\])?>|\[\[|\{|x>=", text), "no names of Python's types"
    assert "…" not in text, "nothing is cut"
    assert max(map(cell_len, text.splitlines())) <= 80
    for found in re.findall(r"^ Example: (.*)$", text, re.MULTILINE):
        assert found.startswith("adaptive-scheduler "), "it is on one line"


@pytest.mark.parametrize("words", sorted(set(COMMANDS) - NOT_ABOUT_A_RUN), ids=" ".join)
def test_a_run_may_be_left_out_where_there_is_only_one(words: tuple[str, ...]) -> None:
    usage = next(line for line in shown(words).splitlines() if "Usage:" in line)
    assert re.search(r"\[RUN\b", usage)
    assert "only" in " ".join(shown(words).split())


CHANGES = [words for words, command in COMMANDS.items()
           if words not in SHOWS and not getattr(command, "commands", None)]  # fmt: skip


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_what_changes_something_has_a_dry_run(words: tuple[str, ...]) -> None:
    assert "--dry-run" in shown(words)


@pytest.mark.parametrize(
    "argv", [["-m", "adaptive_scheduler"], ["-m", "adaptive_scheduler.cli"]], ids=" ".join
)
def test_it_is_also_a_module(argv: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *argv, "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"adaptive-scheduler {adaptive_scheduler.__version__}\n"


# ------------------------------------------------------------ words that name a run, or do not


def make_run(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    run.folder.mkdir(parents=True)
    run.config.write_text("{}")
    return run


def test_the_first_word_may_be_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make_run(tmp_path / "my study")
    monkeypatch.chdir(tmp_path)
    assert split_run(["my study", "3"]) == (one, ["3"]) or split_run(["my study", "3"])[1] == ["3"]
    for words in ([], ["3"], ["3", "17"], ["data/2.pickle"], ["20-29", "$x"]):
        run, rest = split_run(words)
        assert (os.path.realpath(run.folder), rest) == (os.path.realpath(one.folder), words)


def test_with_several_runs_one_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "one")
    make_run(tmp_path / "two")
    monkeypatch.chdir(tmp_path)
    assert split_run(["one", "3"])[1] == ["3"]
    with pytest.raises(InputError, match="There are 2 runs"):
        split_run(["3"])
    with pytest.raises(RunError, match="Did you mean one"):
        split_run(["on", "3"])


def test_a_run_of_which_a_number_is_the_name_is_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "7")
    monkeypatch.chdir(tmp_path)
    assert split_run(["7", "7"])[1] == ["7"]
    assert split_run(["8"])[1] == ["8"]


def test_a_run_that_is_gone_is_not_taken_for_a_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="is no run"):
        split_run(["other/db.tinydb"])
