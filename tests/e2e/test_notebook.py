"""`example.ipynb`, executed from top to bottom as a newcomer does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]


def read() -> Any:
    return nbformat.read(ROOT / "example.ipynb", as_version=4)


def outputs(notebook: Any, kind: str) -> list[str]:
    """All outputs of a MIME type."""
    return [
        output["data"][kind]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if kind in output.get("data", {})
    ]


def test_the_notebook_is_committed_without_outputs() -> None:
    code = [cell for cell in read().cells if cell.cell_type == "code"]
    assert code
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_notebook_runs_from_top_to_bottom_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a notebook"
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(tmp_path / "batch system"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE", "1")
    check(executed(folder))  # expected: 35 s
    again = executed(folder)  # "Restart & Run All": 10 s
    check(again)
    assert "1 learners that were done go on: the data of 1 are gone" in printed(again)


def executed(folder: Path) -> Any:
    """Run all cells in a new kernel; raises what a cell raises."""
    notebook = read()
    client = NotebookClient(
        notebook, timeout=250, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook


def printed(notebook: Any) -> str:
    return "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def check(notebook: Any) -> None:
    """What a reader is to see."""
    assert "no solution at x" in printed(notebook)
    assert "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n2.5\n" in printed(notebook)
    assert "(True, True)" in outputs(notebook, "text/plain")
    assert len(outputs(notebook, "image/png")) == 2
    assert any("points/s" in html for html in outputs(notebook, "text/html"))
