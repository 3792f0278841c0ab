"""What a client does before its first learner."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import gc
from adaptive_scheduler.client import imports
imports.prepare_process()
import adaptive
print(gc.get_freeze_count(), any(adaptive.Learner1D is one for one in gc.get_objects()))
"""


def test_the_collector_does_not_go_through_adaptives_modules():
    """In a process of its own: what is frozen stays so."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=120
    )
    frozen, is_looked_at = done.stdout.split()
    assert int(frozen) > 10_000
    assert is_looked_at == "False"
