"""Where scripts for adaptive-scheduler 2 print and log: nothing of this package does."""

from __future__ import annotations

import logging
from typing import Any

import structlog
from rich.console import Console

_logger = logging.getLogger("adaptive_scheduler.server")
_logger.setLevel(logging.INFO)

#: Prints with rich.
console = Console()
#: A structlog logger over `logging`; the run's manager has its own log, ``run_manager.folder.manager_log``.
log: Any = structlog.wrap_logger(_logger)
