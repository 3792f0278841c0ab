"""``python -m adaptive_scheduler.client``, run by job scripts."""

from __future__ import annotations

import sys

from adaptive_scheduler.client.main import main

if __name__ == "__main__":
    sys.exit(main())
