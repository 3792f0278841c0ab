"""What ``--json`` prints is as its schema says, for each command that has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

from adaptive_scheduler.cli import app
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Phase, TaskItem
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.io.storage import row_codec
from docs import json_schemas
from tests.made_runs import learners, make_run
from tests.unit.test_help import walk

SCHEMA = json.loads(json_schemas.DOCUMENT.read_text())


def printed(*words: str) -> list[Any]:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code in (0, 1, 3), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(command: str, value: Any) -> None:
    schema = {**SCHEMA["properties"][command], "$defs": SCHEMA["$defs"]}
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)


def test_the_schema_is_up_to_date_and_has_each_command() -> None:
    assert json_schemas.DOCUMENT.read_text() == json_schemas.document()
    commands = dict(walk(typer.main.get_command(app)))
    has_json = {
        " ".join(words)
        for words, command in commands.items()
        if any("--json" in option.opts for option in command.params)
    }
    assert has_json <= set(SCHEMA["properties"])
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("words", [["status"], ["logs"], ["logs", "3"]], ids=" ".join)
def test_of_a_run_of_learners(tmp_path: Path, words: list[str]) -> None:
    home = str(make_run(tmp_path / "my study", learners(12)).home)
    lines = printed(words[0], home, *words[1:])
    assert len(lines) == 1
    check(words[0], lines[0])
    broken = {**lines[0], "items": 7, "learners": 7}
    with pytest.raises(jsonschema.ValidationError):
        check(words[0], broken)


def test_of_a_run_of_tasks(tmp_path: Path) -> None:
    rows = [TaskItem(0, "", Phase.DONE, name="a"), TaskItem(1, "", Phase.FAILED, reason="no")]
    pool = Pool(name="big", resources=Resources(cores=4), max_jobs=2)
    tables = {
        "batches": {"a": {"items": [0, 1]}}, row_codec.POOLS: {"0": pool},
        row_codec.RESOURCES: {"0": {}},
    }  # fmt: skip
    home = str(make_run(tmp_path / "run", rows, "task", tables).home)
    for words in (["status"], ["tasks"], ["pool", "list"]):
        lines = printed(*words, home)
        assert len(lines) == (2 if words == ["tasks"] else 1)
        for line in lines:
            check(" ".join(words), line)


def test_of_all_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "one", learners(6))
    make_run(tmp_path / "two", learners(6)).database.write_text("{")
    (line,) = printed("list", str(tmp_path))
    check("list", line)
    assert len(line["runs"]) == 2
