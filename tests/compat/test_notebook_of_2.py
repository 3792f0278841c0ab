"""A notebook in the manner of adaptive-scheduler 2.17 runs from top to bottom on a real Slurm."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from tests.compat.cells import CELLS

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


def run_cell(client: Any, code: str, seconds: float) -> str:
    """Run a cell, and return what it printed; fails with what it raises."""
    printed: list[str] = []

    def hook(message: Any) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        elif message["msg_type"] == "error":
            printed.append("\n".join(content["traceback"]))

    reply = client.execute_interactive(code, timeout=seconds, output_hook=hook)
    assert reply["content"]["status"] == "ok", code + "".join(printed)
    return "".join(printed)


def test_its_cells_run_in_order(in_slurm: Path) -> None:
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=120)
    try:
        begin = time.monotonic()
        printed = [run_cell(client, code, 300) for code in CELLS]
        took = time.monotonic() - begin
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    print(f"{len(CELLS)} cells in {took:.1f} s", file=sys.stderr)
    assert "finished" in printed[11]
    assert "6 []" in printed[11]
    assert "cleanup_first" not in printed[2]  # as by default: nothing to tell
    assert "cleanup_first= has no effect" in printed[12]
    assert "No job in the queue" in printed[-1]
