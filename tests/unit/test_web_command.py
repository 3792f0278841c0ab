"""What `adaptive-scheduler web` refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adaptive_scheduler.cli import app


def refused(*words: str) -> str:
    told = CliRunner().invoke(app, ["web", *words])
    assert told.exit_code == 2, told.output
    return " ".join(told.output.split())


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'adaptive-scheduler[web]'" in refused()


def test_a_run_that_is_none(tmp_path: Path) -> None:
    assert "is no run" in refused(str(tmp_path / "typo"))


def test_a_socket_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = str(tmp_path)
    assert "is no socket of yours" in refused(folder, "--socket", str(tmp_path / "file"))
    assert "at most 107 bytes" in refused(folder, "--socket", str(tmp_path / ("x" * 120)))
    assert "cannot be made" in refused(folder, "--socket", str(tmp_path / "no" / "socket"))
    assert "exclude each other" in refused(folder, "--socket", "s", "--port", "8000")
