"""Tasks and commands of a sweep: those that mlrunner 0.5.9 makes of the same file, asked for this."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
from mlrunner.run import build_tasks
from mlrunner.utils.config import load_yaml

from adaptive_scheduler.core.sweeps.sweep_file import check_file
from adaptive_scheduler.core.sweeps.tasks import Selection, tasks_of
from adaptive_scheduler.core.sweeps.templates import complete
from adaptive_scheduler.core.sweeps.yaml_text import read_documents

FILE = """
---
template:
  train: >
    python train.py data-bin/{data} --save-dir {_output} --norm {norm}
    [moment] [early-stop]
  avg: python avg.py --inputs {_output} --output {_output}/avg.pt && echo [note]
  test: >
    python generate.py data-bin/{data} --beam 5 --path {_output}/avg.pt > "{_output}/x" [act]
default:
  data: iwslt14
  norm: batch
  moment: 0.1
  early-stop: False
  note: it's
  act: relu
alias:
  arch:
    pre: {norm: new, act: tanh}
    post: {norm: old, act: relu}
resource: [0, "1,2"]
---
_title: one
norm: [new, batch, "two words"]
moment: [0.1, 0.05, 1.0e-7, -3, 10]
---
_title: two
norm: [batch]
early-stop: [True, False]
unused: [a/b, .hidden/c]
---
_title: three
arch: [pre, post]
note: ["$HOME", "a;b", "", "-x", 5]
---
_title: four
_cmd: [train, test]
data: data-bin
"""


def theirs(path: Path, title: str | None) -> list[tuple[str, dict[str, str]]]:
    args = argparse.Namespace(
        yaml=str(path), title=title, resource="", command=None, sample=None, output="output",
        no_subdir=False, debug=False, force=False,
    )  # fmt: skip
    _, templates, aliases, defaults, choices = load_yaml(args)
    made: list[dict[str, Any]] = build_tasks(args, templates, aliases, defaults, choices)
    return [
        (
            one["spec"]["_name"],
            {
                name: text.rpartition(" > ")[0].strip()
                for name, text in one["scripts"].items()
            },
        )
        for one in made
    ]  # fmt: skip


def ours(path: Path, title: str | None) -> list[tuple[str, dict[str, str]]]:
    file = check_file(read_documents(path.read_text(), "params.yaml"), "params.yaml")
    return [
        (
            one.name,
            {
                name: complete(text, {"_output": f"output/{one.name}"}).strip()
                for name, text in one.commands.items()
            },
        )
        for one in tasks_of(file, Selection(title), os.path.exists)
    ]


@pytest.mark.parametrize("title", ["one", "two", "three", "four"])
def test_tasks_and_commands_are_those_of_mlrunner(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(FILE)
    assert ours(path, title) == theirs(path, title)
