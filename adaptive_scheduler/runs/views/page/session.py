"""One conversation with one front end: what it asks, and what is new for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import AdaptiveSchedulerError
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
from adaptive_scheduler.runs.views.page.source import Source
from adaptive_scheduler.runs.views.tables import duration

#: A JSON object.
Message = dict[str, Any]
#: After so many seconds of silence all is said again: a front end takes a longer one for an end.
LIFE_SIGN = 25.0
#: What reading a run may raise: its folder may be gone, or be replaced just now.
_UNREADABLE = (AdaptiveSchedulerError, OSError)


class Shown(msgspec.Struct):
    """What a front end was told last, and what it wants to be told."""

    summary: Summary | None = None
    query: ShowRows | None = None
    rows: RowsPage | None = None
    item: int | None = None
    detail: Detail | None = None
    last_word: float = 0.0
    trouble: str = ""


class ViewSession:
    """One conversation with one front end. It has no thread and no socket: who has calls it.

    Parameters
    ----------
    source : Source
        Where the run is read, and changed.
    may_change : bool
        Whether the front end may change anything.
    clock : callable
        Returns seconds since 1970.
    """

    def __init__(
        self, source: Source, may_change: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._may_change = may_change
        self._clock = clock
        self._series = SeenSeries()
        self._has_grown = False
        self._snapshot: Snapshot | None = None
        self._max_jobs = 0
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
        try:
            return [_plain(one) for one in self._answer(asked)]
        except _UNREADABLE as error:
            return [_plain(RequestFailed(getattr(asked, "request", 0), str(error)))]

    def _answer(self, asked: FromFront) -> list[ToFront]:
        shown = self._shown
        match asked:
            case ShowRun():
                shown.summary = None
                return self._news_of_run()
            case ShowRows():
                shown.query = asked
                shown.rows = self._source.table().page(asked)
                return [shown.rows]
            case OpenItem():
                shown.item, shown.detail = None, self._source.detail(asked.item, False)
                shown.item = asked.item  # there is one
                self._plots.hurry()
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
        return [ActionDone(asked.request, text), *self._news_of_run()]

    # ----------------------------------------------------------------------- news

    def say_all_again(self) -> None:
        """Forget what the front end was told: a message to it may have been lost."""
        self._shown.summary = self._shown.rows = self._shown.detail = None
        self._shown.last_word = 0.0
        self._plots.hurry()

    def tick(self) -> list[Message]:
        """Look at the run again; returns what has changed since the last time."""
        now, shown = self._clock(), self._shown
        if shown.last_word and now - shown.last_word > LIFE_SIGN:
            shown.summary = shown.rows = None  # all of it again: a message may have been lost
        try:
            news = [*self._news_of_run(), *self._news_of_rows(), *self._news_of_item()]
            shown.trouble = ""
        except _UNREADABLE as error:
            news = [RequestFailed(0, str(error))] if str(error) != shown.trouble else []
            shown.trouble = str(error)
        if news or not shown.last_word:
            shown.last_word = now
        return [_plain(one) for one in news]

    def _news_of_run(self) -> list[ToFront]:
        """A summary, if it says anything new."""
        trouble = self._look()
        snapshot, shown = self._snapshot, self._shown
        assert snapshot is not None
        buttons = actions.run_actions(snapshot, self._max_jobs) if self._may_change else []
        found = model.summary(snapshot, buttons, self._clock())
        if trouble:
            age = duration(self._clock() - snapshot.time)
            text = f"This is {age} old: the run cannot be read. {trouble}"
            found = msgspec.structs.replace(found, age_text=text, is_old=True)
        if not self._has_grown and shown.summary is not None and _same(found, shown.summary):
            return []
        has_series = self._has_grown or shown.summary is None
        shown.summary, self._has_grown = found, False
        return [msgspec.structs.replace(found, series=self._series.data()) if has_series else found]

    def _look(self) -> str:
        """Read the run; returns why it cannot be read now although it was before."""
        try:
            snapshot, config = self._source.snapshot(), self._source.config()
        except _UNREADABLE as error:
            if self._snapshot is None:
                raise
            return str(error)
        if self._snapshot is None:
            self._series = SeenSeries(self._source.past())
        if snapshot is not self._snapshot and snapshot.alive and not snapshot.over:
            self._has_grown |= self._series.note(sample(snapshot, config.shapes))
        self._snapshot, self._max_jobs = snapshot, config.limits.max_jobs
        return ""

    def _news_of_rows(self) -> list[ToFront]:
        """The visible rows, if they have changed."""
        shown = self._shown
        if shown.query is None:
            return []
        try:
            found = self._source.table().page(shown.query)
        except _UNREADABLE:  # the summary says so
            return []
        if found == shown.rows:
            return []
        shown.rows = found
        return [found]

    def _news_of_item(self) -> list[ToFront]:
        """All about the item that is open, if it has changed."""
        shown = self._shown
        if shown.item is None:
            return []
        begun = time.monotonic()
        is_due = self._plots.is_due(begun)
        try:
            found = self._source.detail(shown.item, is_due)
        except _UNREADABLE as error:  # such as a run that was begun anew with fewer learners
            shown.item = None
            return [RequestFailed(0, str(error))]
        if is_due:
            self._plots.did(begun, time.monotonic())
        elif shown.detail is not None:
            found = msgspec.structs.replace(found, plot=shown.detail.plot)
        if found == shown.detail:
            return []
        shown.detail = found
        return [found]


def _same(one: Summary, other: Summary) -> bool:
    """Whether two summaries say the same, whenever they were made."""
    return msgspec.structs.replace(one, time=other.time) == other


def _plain(message: ToFront) -> Message:
    found: Message = msgspec.to_builtins(message)
    return found
