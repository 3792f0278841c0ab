"""A manager alone in its process, with free rows and no jobs: ``lone_manager FOLDER ROWS``."""

from __future__ import annotations

import sys
from pathlib import Path

from adaptive_scheduler.manager.engine import Engine
from tests.integration.client_runs import ClientRun

if __name__ == "__main__":
    run = ClientRun(Path(sys.argv[1]), 3, interface="127.0.0.1")
    run.fill([], [f"/nowhere/{row}" for row in range(int(sys.argv[2]))])
    engine = Engine(run.folder, run.config)
    print(engine.url, flush=True)
    engine.run()
