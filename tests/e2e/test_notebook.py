"""`example.ipynb`, executed from top to bottom as a newcomer does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbformat.v4 import output_from_msg

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
@pytest.mark.timeout(1200)
def test_the_notebook_runs_from_top_to_bottom_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a notebook"
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(tmp_path / "batch system"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE", "1")
    check(executed(folder))  # expected: 35 s; 200 s where 20 programs share 2 cores
    again = executed(folder)  # "Restart & Run All": 10 s
    check(again)
    assert "1 learners that were done go on: the data of 1 are gone" in printed(again)


def executed(folder: Path) -> Any:
    """Run all cells in a new kernel, one after the other; fails with what a cell raises.

    By the blocking client: that of `nbclient` waits for replies with asyncio, and was seen to sleep
    through one until its timeout, 250 s later (pyzmq hands asyncio an edge-triggered socket).
    """
    notebook = read()
    manager, kernel = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                execute(kernel, cell)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    return notebook


def execute(kernel: Any, cell: Any) -> None:
    def keep(message: Any) -> None:
        if message["msg_type"] in ("stream", "display_data", "execute_result"):
            cell.outputs.append(output_from_msg(message))

    reply = kernel.execute_interactive(cell.source, timeout=500, output_hook=keep)["content"]
    assert reply["status"] == "ok", "\n".join(reply["traceback"])


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
    # no rate: the run may be over when it is looked at
    assert any(" points" in html for html in outputs(notebook, "text/html"))
