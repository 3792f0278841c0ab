"""A manager that makes a checkpoint each second: ``checkpointing_manager RUN_FOLDER``."""

from __future__ import annotations

import sys

from adaptive_scheduler.manager import persistence
from adaptive_scheduler.manager.__main__ import main

if __name__ == "__main__":
    persistence.CHECKPOINT_INTERVAL = 1.0
    sys.exit(main(sys.argv[1]))
