"""Runs benchmarks on the private Slurm of the tests, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clusters.slurm import PrivateSlurm, missing_programs

HERE = Path(__file__).parent


@contextmanager
def cluster(settings: Mapping[str, str] | None = None) -> Iterator[PrivateSlurm]:
    """A private Slurm of four nodes of eight cores; RuntimeError if Slurm is not installed."""
    absent = missing_programs()
    if absent:
        raise RuntimeError(
            f"Slurm is missing ({', '.join(absent)}): apt-get install slurm-wlm munge"
        )
    slurm = PrivateSlurm(settings=settings).start()
    try:
        yield slurm
    finally:
        slurm.stop()


def drive(slurm: PrivateSlurm, python: str, program: str, **task: Any) -> Any:
    """Run a driver program on the cluster, in a new folder; returns the JSON of its last line.

    It is given its task as JSON, and a folder whose ledger says when each point began and ended.
    """
    # jobs of a failed run may still write there, which must not hide why it failed
    with tempfile.TemporaryDirectory(
        prefix="as-bench-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        done = subprocess.run(
            [python, str(HERE / program), json.dumps({**task, "folder": folder})],
            env={**os.environ, **slurm.env, "PYTHONPATH": str(HERE.parent) if python == sys.executable else ""},
            cwd=folder, capture_output=True, text=True, timeout=task["timeout"] + 60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(
                f"{program} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        wait_until_idle(slurm)
        return json.loads(done.stdout.strip().splitlines()[-1])


def wait_until_idle(slurm: PrivateSlurm, seconds: float = 60) -> None:
    """Wait until the queue is empty, before the next run starts."""
    end = time.monotonic() + seconds
    while slurm.run("squeue", "-h").stdout.strip():
        if time.monotonic() > end:
            raise RuntimeError(f"jobs are left: {slurm.run('squeue').stdout}")
        time.sleep(0.2)
