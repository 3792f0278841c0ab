"""The command line, as ``python -m adaptive_scheduler``."""

from __future__ import annotations

from adaptive_scheduler.cli import main

if __name__ == "__main__":
    main()
