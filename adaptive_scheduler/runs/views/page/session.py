"""One conversation with one front end: what it asks, and what is new for it.

Theory of operation
-------------------
A view must never stay as it is while the run goes on, and not say so. So each part of what is new
(the run, the rows, the open item) is made by itself: whatever is wrong with one is told, and the
others go on. A run that cannot be read is shown as it was, and called old. And every `LIFE_SIGN`
seconds all is sent again, for messages may be lost on their way without an error.

Ages are measured by a clock that nobody sets, from when this process has read something: clocks of
two hosts differ, and those of a host are set.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunError
from adaptive_scheduler.runs.views.page import actions, model
from adaptive_scheduler.runs.views.page.messages import (
    ActionDone,
    CloseItem,
    Detail,
    DoAction,
    FromFront,
    OpenItem,
    RequestFailed,
    RowsPage,
    ShowRows,
    ShowRun,
    Summary,
    ToFront,
)
from adaptive_scheduler.runs.views.page.pace import Pace
from adaptive_scheduler.runs.views.page.series import SeenSeries, sample
from adaptive_scheduler.runs.views.page.source import RunSource, Source
from adaptive_scheduler.runs.views.tables import duration

#: A JSON object.
Message = dict[str, Any]
#: Seconds after which all is sent again: a front end takes a longer silence for an end.
LIFE_SIGN = 25.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class ViewTalk(Protocol):
    """With one front end; see `ViewSession`."""

    def receive(self, message: Mapping[str, Any]) -> list[Message]:
        """Answer."""

    def tick(self) -> list[Message]:
        """Say what is new."""

    def say_all_again(self) -> None:
        """A message to the front end may have been lost."""


class RunViews(Protocol):
    """Opens conversations about one run."""

    def open(self) -> ViewTalk:
        """Open one."""

    def close(self) -> None:
        """There is none any more; others may be opened later."""


class LocalViews:
    """Opens conversations about a run whose folder is here.

    Parameters
    ----------
    folder : RunFolder
    interval : float
        Seconds between two questions to the manager.
    may_change : bool
        Whether front ends may change anything.

    Attributes
    ----------
    source : RunSource
        What all read.
    """

    def __init__(self, folder: RunFolder, interval: float, *, may_change: bool) -> None:
        self.source = RunSource(folder, interval)
        self._may_change = may_change

    def open(self) -> ViewSession:
        """Open one."""
        return ViewSession(self.source, self._may_change)

    def close(self) -> None:
        """Close the connection to the manager."""
        self.source.close()


class Shown(msgspec.Struct):
    """What a front end was told last, and what it wants to be told."""

    summary: Summary | None = None
    query: ShowRows | None = None
    rows: RowsPage | None = None
    item: int | None = None
    detail: Detail | None = None
    all_sent: float = float("-inf")
    is_detail_lost: bool = False
    troubles: dict[str, str] = {}


class ViewSession:
    """One conversation with one front end. It has no thread and no socket: who has calls it.

    Parameters
    ----------
    source : Source
        Where the run is read, and changed.
    may_change : bool
        Whether the front end may change anything.
    clock : callable
        Returns seconds; never goes back.
    """

    def __init__(
        self, source: Source, may_change: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._may_change = may_change
        self._clock = clock
        self._series = SeenSeries()
        self._has_grown = False
        self._snapshot: Snapshot | None = None
        self._last: Summary | None = None
        self._read_at = 0.0
        self._shown = Shown()
        self._plots = Pace(3.0, share=0.05)

    # ------------------------------------------------------------------- messages

    def receive(self, message: Mapping[str, Any]) -> list[Message]:
        """Take in what the front end says; returns the answers, of which there may be none."""
        try:
            asked = msgspec.convert(message, FromFront)
        except msgspec.ValidationError as error:
            return [
                _plain(RequestFailed(0, f"this view does not understand its front end: {error}"))
            ]
        answers, trouble = _attempt(lambda: self._answer(asked))
        if answers is None:
            answers = [RequestFailed(getattr(asked, "request", 0), trouble)]
        return [_plain(one) for one in answers]

    def _answer(self, asked: FromFront) -> list[ToFront]:
        shown = self._shown
        match asked:
            case ShowRun():
                shown.summary = None
                news = self._news_of_run()
                shown.all_sent = self._clock()
                return news
            case ShowRows():
                shown.query, shown.rows = asked, None
                shown.rows = self._source.table().page(asked)
                return [shown.rows]
            case OpenItem():
                shown.item, shown.detail = asked.item, None
                self._plots.hurry()
                shown.detail = self._source.detail(asked.item, False)
                return [shown.detail]
            case CloseItem():
                shown.item = shown.detail = None
                return []
            case DoAction():
                return self._do(asked)

    def _do(self, asked: DoAction) -> list[ToFront]:
        if not self._may_change:
            return [RequestFailed(asked.request, "This view may only look: nothing was changed.")]
        text = self._source.carry_out(asked)
        return [ActionDone(asked.request, text), *self._part("run", self._news_of_run)]

    # ----------------------------------------------------------------------- news

    def say_all_again(self) -> None:
        """Forget that the front end was told anything: a message to it may have been lost."""
        self._shown.all_sent = float("-inf")

    def tick(self) -> list[Message]:
        """Look at the run again; returns what has changed since the last time."""
        now, shown = self._clock(), self._shown
        if not 0 <= now - shown.all_sent <= LIFE_SIGN:
            shown.summary, shown.rows, shown.all_sent = None, None, now
            shown.troubles.clear()
            shown.is_detail_lost = True
        news = [
            *self._part("run", self._news_of_run),
            *self._part("rows", self._news_of_rows),
            *self._part("item", self._news_of_item),
        ]
        return [_plain(one) for one in news]

    def _part(self, name: str, news: Callable[[], list[ToFront]]) -> list[ToFront]:
        """What is new of one part; what is wrong with it is told once, and hides no other part."""
        troubles = self._shown.troubles
        found, trouble = _attempt(news)
        if found is not None:
            troubles.pop(name, None)
            return found
        is_told = trouble in troubles.values()
        troubles[name] = trouble
        return [] if is_told else [RequestFailed(0, trouble)]

    def _news_of_run(self) -> list[ToFront]:
        """A summary, if it says anything new; one that is called old if the run cannot be read."""
        shown = self._shown
        found, trouble = _attempt(self._look)
        if found is None:
            if self._last is None:
                raise RunError(trouble)
            age = duration(self._clock() - self._read_at)
            text = f"This is {age} old: the run cannot be read. {trouble}"
            found = msgspec.structs.replace(self._last, age_text=text, is_old=True)
        if not self._has_grown and shown.summary is not None and _same(found, shown.summary):
            return []
        has_series = self._has_grown or shown.summary is None
        shown.summary, self._has_grown = found, False
        return [msgspec.structs.replace(found, series=self._series.data()) if has_series else found]

    def _look(self) -> Summary:
        """Read the run; returns what is to be said of it."""
        snapshot, config = self._source.snapshot(), self._source.config()
        now = self._clock()
        if self._snapshot is None:
            self._series = SeenSeries(
                _attempt(self._source.past)[0] or ()
            )  # less than the run itself
        if snapshot is not self._snapshot:
            self._read_at = now
            if snapshot.alive and not snapshot.over:
                self._has_grown |= self._series.note(sample(snapshot, config.shapes))
        self._snapshot = snapshot
        may_be = actions.run_actions(snapshot, config.limits.max_jobs) if self._may_change else []
        self._last = model.summary(snapshot, may_be, now - self._read_at)
        return self._last

    def _news_of_rows(self) -> list[ToFront]:
        """The visible rows, if they have changed."""
        shown = self._shown
        if shown.query is None:
            return []
        found = self._source.table().page(shown.query)
        if found == shown.rows:
            return []
        shown.rows = found
        return [found]

    def _news_of_item(self) -> list[ToFront]:
        """All about the item that is open, if it has changed.

        It stays open when it cannot be read: a disk may be away for a moment.
        """
        shown = self._shown
        if shown.item is None:
            return []
        begun = time.monotonic()
        is_due = self._plots.is_due(begun)
        found = self._source.detail(shown.item, is_due)
        if is_due:
            self._plots.did(begun, time.monotonic())
        elif found.plot is None and shown.detail is not None:
            found = msgspec.structs.replace(found, plot=shown.detail.plot)
        if found == shown.detail and not shown.is_detail_lost:
            return []
        shown.detail, shown.is_detail_lost = found, False
        return [found]


def _same(one: Summary, other: Summary) -> bool:
    """Whether two summaries say the same, whenever they were made."""
    return msgspec.structs.replace(one, time=other.time) == other


def _attempt(what: Callable[[], T]) -> tuple[T | None, str]:
    """Return what it returns; or None, and why there is nothing, for people."""
    try:
        return what(), ""
    except AdaptiveSchedulerError as error:
        return None, str(error)
    except Exception as error:  # the border to files, sockets and the user's data
        log.debug("A view of a run cannot be made", exc_info=True)
        return None, f"{type(error).__name__}: {error}"


def _plain(message: ToFront) -> Message:
    found: Message = msgspec.to_builtins(message)
    return found
