"""The item that a client runs now: stopped from other threads, and reported on."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec

from adaptive_scheduler.client.deadline import Deadline
from adaptive_scheduler.client.link import ManagerLink
from adaptive_scheduler.client.payload import ItemContext, ItemRun, StopReason
from adaptive_scheduler.client.reports import StaleReport, UsageMeter
from adaptive_scheduler.core.wire.messages import Report

#: Seconds that points in flight get after a second signal, or once the item was taken back.
SECOND_SIGNAL_GRACE = 0.5


class RunningItem:
    """The item that runs now, if one does.

    `begin` and `end` are called by the claim loop; `stop` and `check` in the thread of signals.

    Parameters
    ----------
    link : ManagerLink
    deadline : Deadline
    log_interval : float
        Seconds between two lines of progress in the log.
    """

    def __init__(self, link: ManagerLink, deadline: Deadline, log_interval: float) -> None:
        self._link = link
        self._deadline = deadline
        self._log_interval = log_interval
        self._usage = UsageMeter()
        self._stale_report = StaleReport()
        self._lock = threading.Lock()
        self._item: ItemRun | None = None
        self._is_taken_back = False
        self._is_late = False
        self._last_log = 0.0

    def context(self, log: Any) -> ItemContext:
        """What the run of an item is given; `log` names the item."""
        return ItemContext(
            deadline=self._deadline.stop_at,
            lease_ok=self._link.is_lease_good,
            report=lambda report, figures: self._report(report, figures, log),
            log=log,
        )

    def begin(self, item: ItemRun) -> None:
        """From now on this item is stopped and reported on."""
        with self._lock:
            self._item, self._is_taken_back, self._is_late = item, False, False

    def end(self) -> None:
        """No item runs."""
        with self._lock:
            self._item = None
            self._stale_report.forget()

    def stop(self, reason: StopReason, patience: float) -> None:
        """Stop the item, if one runs: points in flight have `patience` seconds."""
        with self._lock:
            if self._item is not None:
                self._item.stop(reason, patience)

    def check(self, log: Any) -> None:
        """Called each second: stop the item where the manager or the clock demands it."""
        refusal = self._link.refusal()
        with self._lock:
            if self._item is None:
                return
            if (aged := self._stale_report.aged()) is not None:
                self._link.report(aged)
            if refusal is not None and not self._is_taken_back:
                self._is_taken_back = True
                log.warning("item_taken_back", code=refusal)
                self._item.stop("signal" if refusal == "cancelled" else "lost", SECOND_SIGNAL_GRACE)
            elif self._deadline.has_come and not self._is_late:
                self._is_late = True  # once: each stop shortens what is left for the save
                self._item.stop("deadline", max(SECOND_SIGNAL_GRACE, self._deadline.spare / 2))

    def _report(self, report: Report, figures: dict[str, Any], log: Any) -> None:
        """Report how far the item is, with what its job uses; now and then in the log too."""
        usage = self._usage.usage()
        report = msgspec.structs.replace(report, cpu=usage.cpu, memory=usage.memory)
        self._stale_report.note(report)
        self._link.report(report)
        now = time.monotonic()
        if now >= self._last_log + self._log_interval:
            self._last_log = now
            log.info("progress_made", **figures, cpu=usage.cpu, memory=usage.memory)
