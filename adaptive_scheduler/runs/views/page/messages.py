"""What a view and its front end tell each other: JSON objects, by their ``type``."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

# ------------------------------------------------------------------- to the front end


class PhaseCount(msgspec.Struct, frozen=True):
    """How many items are in a phase; `label` is what people call it."""

    phase: str
    label: str
    count: int


class JobLine(msgspec.Struct, frozen=True):
    """One job. `what`: what it runs; `reason`: why it waits; `remedy`: what to do about it."""

    id: str
    name: str = ""
    state: str = ""
    host: str = ""
    what: str = ""
    reason: str = ""
    remedy: str = ""


class FailureGroup(msgspec.Struct, frozen=True):
    """Items that failed for the same reason; of many `items` the first. `search`: finds all of them."""

    reason: str
    count: int
    items: list[int] = []
    search: str = ""


class SeriesData(msgspec.Struct, frozen=True):
    """Columns of equal length; `time` in seconds since 1970, None where nothing is known."""

    time: list[float] = []
    cores_held: list[float | None] = []
    cores_used: list[float | None] = []
    rate: list[float | None] = []


class ActionLine(msgspec.Struct, frozen=True):
    """A button. `confirm`: the question that is asked before; `number`: what is shown as a start."""

    name: str
    label: str
    needs: Literal["run", "items", "number"]
    confirm: str
    number: int | None = None


class Summary(msgspec.Struct, frozen=True, tag_field="type", tag="summary"):
    """The run at one instant, ready to be drawn.

    Attributes
    ----------
    name : str
        The run's folder.
    kind : str
        ``learner`` or ``task``.
    sentence : str
        Its state in one sentence.
    state : str
        The same in one word, as `RunStatus` has it.
    time : float
        When it was like this, in seconds since 1970.
    age_text : str
        Why and since when what is shown is old; "" if it is not.
    is_old : bool
    phases : list of PhaseCount
    done, total : int
    rate : float, optional
        None: not known.
    rate_unit : str
        ``points/s`` or ``tasks/s``.
    remaining : str
        Time that is left, as text; "" if it is not known.
    jobs : list of JobLine
        The first hundred.
    jobs_text : str
    notes : list of str
    failures : list of FailureGroup
    series : SeriesData, optional
        None: as before.
    actions : list of ActionLine
        Those that make sense now; none if nothing may be changed.
    """

    name: str
    kind: str
    sentence: str
    state: str
    time: float
    age_text: str = ""
    is_old: bool = False
    phases: list[PhaseCount] = []
    done: int = 0
    total: int = 0
    rate: float | None = None
    rate_unit: str = "points/s"
    remaining: str = ""
    jobs: list[JobLine] = []
    jobs_text: str = ""
    notes: list[str] = []
    failures: list[FailureGroup] = []
    series: SeriesData | None = None
    actions: list[ActionLine] = []


class Column(msgspec.Struct, frozen=True):
    """A column of the table. `kind`: ``text``, ``number``, ``phase``."""

    key: str
    label: str
    kind: str = "text"


class RowsPage(msgspec.Struct, frozen=True, tag_field="type", tag="rows"):
    """Those rows of the table that are visible. The first cell of each is its item's number."""

    request: int
    offset: int
    total: int
    matching: int
    columns: list[Column]
    rows: list[list[Any]]


class HistoryLine(msgspec.Struct, frozen=True):
    """What has happened to an item, and when (as text)."""

    time: str
    text: str


class Detail(msgspec.Struct, frozen=True, tag_field="type", tag="detail"):
    """All about one item. `plot`: what `plots.py` makes of its data; None if there is none."""

    item: int
    title: str
    phase: str = ""
    facts: list[tuple[str, str]] = []
    history: list[HistoryLine] = []
    traceback: str = ""
    log: str = ""
    plot: dict[str, Any] | None = None
    actions: list[ActionLine] = []


class ActionDone(msgspec.Struct, frozen=True, tag_field="type", tag="done"):
    """An action was carried out: what it did."""

    request: int
    text: str


class RequestFailed(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """A request was not carried out: why."""

    request: int
    text: str


# ----------------------------------------------------------------- from the front end


class ShowRun(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """A front end has come: it is told everything."""


class ShowRows(msgspec.Struct, frozen=True, tag_field="type", tag="rows"):
    """Asks for rows, and to be told when they change. `sort`: a column's key, with ``-`` downwards."""

    request: int
    offset: int = 0
    count: int = 50
    sort: str = ""
    phase: str = ""
    search: str = ""


class OpenItem(msgspec.Struct, frozen=True, tag_field="type", tag="open"):
    """Asks for all about one item, until another one is opened or it is closed."""

    item: int


class CloseItem(msgspec.Struct, frozen=True, tag_field="type", tag="close"):
    """No item is looked at any more."""


class DoAction(msgspec.Struct, frozen=True, tag_field="type", tag="do"):
    """A button was pressed, and the question answered with yes."""

    request: int
    action: str
    items: list[int] = []
    number: int | None = None


ToFront = Summary | RowsPage | Detail | ActionDone | RequestFailed
FromFront = ShowRun | ShowRows | OpenItem | CloseItem | DoAction
