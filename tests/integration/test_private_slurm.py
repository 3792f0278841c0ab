"""The private Slurm of the tests leaves nothing behind, however its owner ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clusters import remains
from tests.integration.accidents import until

OWNER = """
import time
from tests.clusters import remains
from tests.clusters.slurm import PrivateSlurm
cluster = PrivateSlurm(nodes=1).start()
script = cluster.folder / "job.sh"
script.write_text("#!/bin/bash\\nsleep 300\\n")
cluster.run("sbatch", f"--output={cluster.folder}/%j.out", str(script))
while "sleep" not in remains.names(cluster.folder):
    time.sleep(0.1)
print(cluster.folder, flush=True)
time.sleep(300)
"""


@pytest.mark.slurm
@pytest.mark.timeout(300)
def test_a_private_slurm_ends_with_its_owner_even_by_sigkill() -> None:
    root = Path(__file__).parents[2]
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=root, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    try:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert {"munged", "slurmctld", "slurmd", "sleep"} <= remains.names(folder)
    finally:
        owner.kill()
        owner.communicate()
    until(lambda: not remains.processes(folder) and not folder.exists(), 150)
