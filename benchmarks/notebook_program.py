"""Runs the cells of a notebook, as one would by hand; `notebook_program.py TASK` prints JSON.

By the Python of this package, and by that of the peer: nothing here is of either.
"""

import json
import sys
import time
from pathlib import Path

from jupyter_client.manager import start_new_kernel


def main(task):
    """Run all cells in a kernel of this Python; the seconds that each took."""
    manager, client = start_new_kernel(
        kernel_name="python3", startup_timeout=120, cwd=task["folder"]
    )
    seconds = []
    try:
        for number, code in enumerate(task["cells"], 1):
            begin = time.perf_counter()
            run_cell(client, number, code, task["timeout"])
            seconds.append(time.perf_counter() - begin)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    print(json.dumps({"seconds": seconds}), flush=True)


def run_cell(client, number, code, seconds):
    """Run one; RuntimeError with all that it and the jobs printed, if it fails."""
    printed = []

    def hook(message):
        content = message["content"]
        printed.extend([content.get("text", ""), *content.get("traceback", [])])

    reply = client.execute_interactive(code, timeout=seconds, output_hook=hook)
    if reply["content"]["status"] != "ok":
        jobs = [
            path.read_text(errors="replace")[-600:] for path in sorted(Path.cwd().rglob("*.out"))
        ]
        words = "".join(printed[-40:]) + "\n".join(jobs[-3:])
        raise RuntimeError(f"cell {number} failed:\n{code}\n{words}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
