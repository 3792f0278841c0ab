"""``python -m adaptive_scheduler.localbatch``."""

from __future__ import annotations

import sys

from adaptive_scheduler.localbatch.commands import main

sys.exit(main())
