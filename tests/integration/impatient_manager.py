"""A manager that lets no task starve for long: ``impatient_manager SECONDS RUN_FOLDER``."""

from __future__ import annotations

import sys

from adaptive_scheduler.core.tasks import starvation
from adaptive_scheduler.manager.__main__ import main

if __name__ == "__main__":
    assert starvation.Starvation.__init__.__defaults__ is not None
    starvation.Starvation.__init__.__defaults__ = (float(sys.argv[1]),)
    sys.exit(main(sys.argv[2]))
