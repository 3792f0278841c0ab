"""What ``--json`` prints is as its schema says, for each command that has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from adaptive_scheduler.cli import app
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Phase, TaskItem
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.io.storage import row_codec
from docs import json_schemas
from tests import schemas
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
    schemas.validate(value, schema, cls=schemas.Draft202012Validator)


COMMANDS = {
    " ".join(words): command
    for words, command in walk(typer.main.get_command(app))
    if not getattr(command, "commands", None)
}
#: Whose other fields are named by the user: the columns of a sweep, what an event of a log is about.
FREE = ({"task"},)


def test_the_schema_is_up_to_date() -> None:
    assert json_schemas.DOCUMENT.read_text() == json_schemas.document()
    schemas.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("words", COMMANDS)
def test_each_command_has_json_with_a_schema(words: str) -> None:
    assert any("--json" in option.opts for option in COMMANDS[words].params)
    assert words in SCHEMA["properties"], "say in docs/json_schemas.py what it prints"


def test_no_schema_is_of_a_command_that_is_not_there() -> None:
    assert set(SCHEMA["properties"]) == set(COMMANDS)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """All objects with fields, in a schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema is not SCHEMA:
            yield schema
        for one in schema.values():
            yield from objects(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from objects(one)


def test_the_schema_allows_no_field_that_it_does_not_describe() -> None:
    found = list(objects(SCHEMA))
    assert len(found) > 40
    for one in found:
        assert set(one["properties"]) in FREE or one["additionalProperties"] is False, one


@pytest.mark.parametrize("words", [["status"], ["logs"], ["logs", "3"]], ids=" ".join)
def test_of_a_run_of_learners(tmp_path: Path, words: list[str]) -> None:
    home = str(make_run(tmp_path / "my study", learners(12)).home)
    lines = printed(words[0], home, *words[1:])
    assert len(lines) == 1
    check(words[0], lines[0])
    for broken in ({**lines[0], "items": 7, "learners": 7}, {**lines[0], "more": 1}):
        with pytest.raises(schemas.ValidationError):
            check(words[0], broken)


def test_of_a_run_of_tasks(tmp_path: Path) -> None:
    rows = [TaskItem(0, "", Phase.DONE, name="a"), TaskItem(1, "", Phase.FAILED, reason="no")]
    pool = Pool(name="big", resources=Resources(cores=4), max_jobs=2)
    tables = {
        "batches": {"a": {"items": [0, 1]}}, row_codec.POOLS: {"0": pool},
        row_codec.RESOURCES: {"0": {}},
    }  # fmt: skip
    home = str(make_run(tmp_path / "run", rows, "task", tables).home)
    for words in (["status"], ["tasks"], ["pool", "list"], ["pool"], ["report"], ["doctor"]):
        lines = printed(*words, home)
        assert len(lines) == (2 if words == ["tasks"] else 1)
        for line in lines:
            check("pool list" if words == ["pool"] else " ".join(words), line)


def test_pools_of_the_only_run_and_a_report_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "run", [TaskItem(0, "", Phase.DONE)], "task", {"batches": {}})
    monkeypatch.chdir(tmp_path)
    (line,) = printed("pool")
    check("pool list", line)
    assert printed("report", "-o", "numbers.json") == []
    check("report", json.loads(Path("numbers.json").read_text()))


def test_of_all_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "one", learners(6))
    make_run(tmp_path / "two", learners(6)).database.write_text("{")
    (line,) = printed("list", str(tmp_path))
    check("list", line)
    assert len(line["runs"]) == 2


SWEEP = "template:\n  say: echo {x}\n---\nx: [1, 2]\n"
SEARCH = "task: echo\nvalue: exit_code\nspace: {x: [0.0, 1.0]}\nmax_tasks: 3\n"


@pytest.mark.parametrize(
    ("words", "is_so"),
    [(["cancel", "study"], {"cancelled": 3, "ended_before": 3, "jobs": 0}),
     (["cancel", "study", "0", "1"], {"cancelled": 1, "ended_before": 1, "jobs": None}),
     (["resume", "study"], {"to_do": 4, "nothing_because": ""}),
     (["retry", "study"], {"queued_again": 2}),
     (["manager", "study"], {"job": None, "job_script": None}),
     (["web", "study"], {"allow_changes": False, "url": None}),
     (["web", ".", "--allow-changes", "--port", "9"], {"allow_changes": True}),
     (["sweep", "-y", "sweep.yaml"], {"total": 2, "progress": None}),
     (["search", "search.yaml"], {"tasks": 3, "best": None})],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)  # fmt: skip
def test_what_a_dry_run_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], is_so: dict[str, Any]
) -> None:
    make_run(tmp_path / "study", learners(6))
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "search.yaml").write_text(SEARCH)
    monkeypatch.chdir(tmp_path)
    (line,) = printed(*words, "--dry-run")
    check(words[0], line)
    assert line["dry_run"] is True
    assert {name: line[name] for name in is_so} == is_so


@pytest.mark.parametrize(
    ("words", "is_so"),
    [(["cancel", "1"], {"kind": "task", "cancelled": 0}), (["prioritise", "0", "5"], {"changed": 0}),
     (["retry"], {"kind": "task", "queued_again": 1}), (["pool", "remove", "big"], {"pool": "big"})],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)  # fmt: skip
def test_what_a_dry_run_would_do_to_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], is_so: dict[str, Any]
) -> None:
    rows = [TaskItem(0, "", Phase.DONE, name="a"), TaskItem(1, "", Phase.FAILED, reason="no")]
    pool = Pool(name="big", resources=Resources(cores=4), max_jobs=2)
    tables = {"batches": {"a": {"items": [0, 1]}}, row_codec.POOLS: {"0": pool}}
    make_run(tmp_path / "run", rows, "task", tables)
    monkeypatch.chdir(tmp_path)
    (line,) = printed(*words, "--dry-run")
    check(" ".join(words[:2]) if words[0] == "pool" else words[0], line)
    assert {name: line[name] for name in is_so} == is_so


def test_a_sweep_and_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    (line,) = printed("sweep", "-y", "sweep.yaml")
    check("sweep", line)
    assert line["folder"] == str(tmp_path / "output"), "as other commands have it"
    assert (line["dry_run"], line["progress"]["done"]) == (False, 2)
    for row in printed("results", "output"):
        check("results", row)


@pytest.mark.parametrize("words", [[], ["status"], ["pool", "add"], ["pool"], ["InputError"]])
def test_help(words: list[str]) -> None:
    (line,) = printed("help", *words)
    check("help", line)
    if words == ["status"]:
        assert ["--watch", "-w"] in [option["names"] for option in line["options"]]


@pytest.mark.parametrize(
    ("words", "kind", "status"),
    [(["status", "nowhere"], "RunError", 2), (["cancel", "nowhere"], "RunError", 2),
     (["run", "nowhere.py"], "InputError", 2), (["status", "--foo"], "NoSuchOption", 2),
     (["statsu"], "UsageError", 2), (["--foo"], "NoSuchOption", 2), (["pool", "lsit"], "UsageError", 2),
     (["task"], "MissingParameter", 2), (["run", "bad.py"], "UserCodeError", 2),
     (["help", "NoError"], "InputError", 2)],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)  # fmt: skip
def test_errors_are_for_programs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], kind: str, status: int
) -> None:
    (tmp_path / "bad.py").write_text("learners = [1 / 0]")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*words, "--json"])
    (line,) = map(json.loads, done.stdout.splitlines())
    schemas.validate(line, {**SCHEMA["$defs"]["Error"], "$defs": SCHEMA["$defs"]})
    assert (done.exit_code, line["error"]["exit_status"]) == (status, status)
    assert line["error"]["class"] == kind
    assert line["error"]["text"]
    assert ("ZeroDivisionError" in line["error"]["traceback"]) is (words == ["run", "bad.py"])
    assert done.stderr, "people are told, too"
