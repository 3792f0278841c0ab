"""What `adaptive-scheduler help ERROR` prints, and the page that is made of the same texts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import adaptive_scheduler
from adaptive_scheduler import errors
from adaptive_scheduler.cli import app
from adaptive_scheduler.core.reasons.error_help import SPECIAL_CASES, all_errors, error_help
from adaptive_scheduler.errors import InputError
from docs import errors as page

PACKAGE = Path(adaptive_scheduler.__file__).parent


def test_each_error_has_all_parts_of_its_help() -> None:
    found = {one.name: one for one in all_errors()}
    assert sorted(found) == sorted(errors.__all__)
    for one in found.values():
        for part in (one.meaning, one.when, one.remedy, one.example):
            assert len(part) > 10, one


def test_the_page_has_a_section_for_each_error_and_is_up_to_date() -> None:
    text = page.DOCUMENT.read_text()
    assert [f"## {name}" for name in errors.__all__ if f"\n## {name}\n" not in text] == []
    assert text == page.page(), "run: python -m docs.errors"


def test_classes_of_special_cases_lead_to_their_error() -> None:
    found = {}
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    header = re.compile(rf"^ *class \w+\([^)]*\b({'|'.join(errors.__all__)})\b", re.MULTILINE)
    for path in (path for path, text in texts.items() if header.search(text)):
        for node in ast.walk(ast.parse(texts[path])):
            if isinstance(node, ast.ClassDef) and path.name != "errors.py":
                public = [b.id for b in node.bases if getattr(b, "id", "") in errors.__all__]
                found.update({node.name: public[0]} if public else {})
    assert found == SPECIAL_CASES


@pytest.mark.parametrize(
    "typed",
    ["SubmitRefusedError", "submitrefusederror", "adaptive_scheduler.errors.SubmitRefusedError:"],
)
def test_an_error_may_be_pasted_from_a_traceback(typed: str) -> None:
    assert error_help(typed).name == "SubmitRefusedError"


def test_a_message_of_today_looks_like_the_example() -> None:
    from adaptive_scheduler.scheduler import SLURM

    for wrong, kind in (({"cores": 0}, "InputError"), ({"walltme": 1}, "UnknownArgumentError")):
        with pytest.raises(getattr(errors, kind)) as caught:
            SLURM(**wrong)
        assert str(caught.value) == error_help(kind).example


def test_the_nearest_name_is_offered() -> None:
    for typed, meant in (("SubmitRefusedEror", "SubmitRefusedError"), ("timeout", "PointTimeout")):
        with pytest.raises(InputError, match=f"Did you mean {meant}"):
            error_help(typed)
    with pytest.raises(InputError, match="Did you mean status"):
        error_help("statsu", ["status", "run"])
    with pytest.raises(InputError, match="These have help: AdaptiveSchedulerError"):
        error_help("qqqqqq")


def test_the_command_prints_errors_and_commands() -> None:
    shown = CliRunner().invoke(app, ["help", "TaskError"])
    assert shown.exit_code == 0
    assert "adaptive-scheduler retry RUN ID" in " ".join(shown.output.split())
    assert "adaptive-scheduler status" in CliRunner().invoke(app, ["help", "status"]).output
    wrong = CliRunner().invoke(app, ["help", "TasksEror"])
    assert wrong.exit_code == 2
    assert "Did you mean TaskError" in wrong.output
