"""Known names that are like one that was typed wrong."""

from __future__ import annotations

from adaptive_scheduler.core.suggestions import close_names as close_names  # noqa: PLC0414
from adaptive_scheduler.core.suggestions import did_you_mean as did_you_mean  # noqa: PLC0414
