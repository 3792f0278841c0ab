"""One learner of a run: `run[17]`."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.options.checks import count
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.wire.snapshot import ItemView
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system import read_logs
from adaptive_scheduler.runs.load_data import load_learners
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.views import log_entries, status
from adaptive_scheduler.runs.views.status import NOT_STARTED, RunStatus

if TYPE_CHECKING:
    from adaptive_scheduler.runs.run import Run

#: How many fnames are compared with an unknown one, to suggest near ones.
_COMPARED = 10_000


class RunItem:
    """One learner of a run, as ``run[17]`` or ``run["data/x=1"]`` returns it.

    It holds only the place in the list: each attribute is read anew when it is used.

    Attributes
    ----------
    place : int
        In the list of learners.
    fname : str or list of str
        Where its data are.
    """

    def __init__(self, run: Run, place: int) -> None:
        self._run = run
        self.place = place
        self.fname = run.fnames[place]

    def __repr__(self) -> str:
        return f"<learner {self.place} ({self.fname}) of the run in {self._run.folder.home}>"

    def _repr_html_(self) -> str:
        status = self.status
        if status == NOT_STARTED:
            return status._repr_html_()
        return status._repr_html_() + self.explain()._repr_html_()

    @property
    def status(self) -> RunStatus:
        """Its phase as a word (``"waiting"``, ``"queued"``, ``"running"``, ``"done"``,
        ``"failed"``, ``"cancelled"``), or ``"not started"``; its ``.text`` has the details.
        """
        if (before := self._run.before_start()) is not None:
            return before
        snapshot = self._run.snapshot("all")
        return status.item_status(self._view(snapshot.items), snapshot.time)

    @property
    def traceback(self) -> str:
        """What the user's code raised last, as text; "" if nothing."""
        return self._view(self._run.snapshot("all").items).traceback

    @property
    def learner(self) -> Any:
        """The learner, with the data that there are so far."""
        learner = self._run.learners[self.place]
        load_learners([learner], [self.fname], progress=False)
        return learner

    def logs(self, lines: int = 50) -> str:
        """Return the last events of this learner in the logs of all jobs, and its job's output.

        Parameters
        ----------
        lines : int
            At most so many of each.
        """
        lines = count(1)(lines, "lines")
        row = self._run.row_of(self.place)
        folder = Path(read_config(self._run.folder).log_folder)
        entries = log_entries.entries_of(sorted(folder.glob("*.log")), row)[-lines:]
        text = "\n".join(log_entries.entry_line(entry).plain.rstrip() for entry in entries)
        job = self._view(self._run.snapshot("all").items).job
        output = (read_logs.job_output_tail(folder, job, lines) or "") if job else ""
        return f"{text}\n\nThe end of {folder / f'{job}.out'}:\n{output}" if output else text

    def explain(self) -> Explanation:
        """Say why it does not run, or is not done, and what to do; printed, it is a paragraph.

        Its ``cause`` is one of those in docs/explain.md, its ``reasons`` are all that hold.
        """
        return self._run.explain_row(self._run.row_of(self.place))

    def retry(self) -> int:
        """Run it again, as `Run.retry` does; returns how many learners are queued again.

        Learners that failed because they depend on it are queued, too.
        """
        return self._run.retry([self.place])

    def cancel(self) -> int:
        """End this learner alone; returns 1, or 0 if it had ended before.

        A job that runs it saves its data and takes another learner. Learners that depend on it
        fail.
        """
        return self._run.cancel_items([self.place])

    def _view(self, items: Sequence[ItemView]) -> ItemView:
        return items[self._run.row_of(self.place)]


def place_of(named: Any, names: Sequence[fnames.Fname]) -> int:
    """Find a learner by its place, its fname, or the end of its fname.

    Parameters
    ----------
    named : int, str, path or list of str
    names : sequence
        The fnames of all learners.

    Raises
    ------
    InputError
        There is no such learner, or more than one.
    """
    wanted = _as_fname(named)
    if wanted is None:
        return _by_number(named, len(names))
    key = fnames.key(wanted)
    found = [place for place, name in enumerate(names) if fnames.key(name) == key]
    if not found and isinstance(wanted, str):
        parts = wanted.removeprefix("./")
        found = _ending(f"/{parts}", names)
        if not found and parts and "/" not in parts:  # the end of the last part
            found = _ending(parts, names)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{named!r} is the end of {len(found)} fnames, of learners "
            f"{', '.join(map(str, found[:10]))}: give a number, or more of the fname."
        )
    raise InputError(
        f"There is no learner {named!r} in this run.{_near(wanted, names)} Give a number from 0 to "
        f"{len(names) - 1}, an fname, or the end of one."
    )


def _as_fname(named: Any) -> fnames.Fname | None:
    """Return what was named as an fname; None if it is none."""
    if isinstance(named, (str, os.PathLike)):
        return os.fspath(named)
    is_list = isinstance(named, (list, tuple)) and named
    if is_list and all(isinstance(one, (str, os.PathLike)) for one in named):
        return [os.fspath(one) for one in named]
    return None


def _ending(end: str, names: Sequence[fnames.Fname]) -> list[int]:
    return [
        place for place, name in enumerate(names) if any(one.endswith(end) for one in _each(name))
    ]


def _by_number(named: Any, n: int) -> int:
    try:
        place = None if isinstance(named, bool) else operator.index(named)
    except TypeError:
        place = None
    if place is None:
        raise InputError(
            f"{named!r} names no learner: give a number from 0 to {n - 1}, or an fname."
        )
    if not -n <= place < n:
        raise InputError(f"There is no learner {place}: they are 0 to {n - 1}.")
    return place % n


def _near(wanted: str | list[str], names: Sequence[fnames.Fname]) -> str:
    """Suggest fnames that are spelt alike; "" if there is none."""
    import difflib

    text = os.path.basename(wanted if isinstance(wanted, str) else wanted[0])  # noqa: PTH119
    known = [one for name in names[:_COMPARED] for one in _each(name)]
    ends = dict.fromkeys(os.path.basename(one) for one in known)  # noqa: PTH119
    near = difflib.get_close_matches(text, ends, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _each(name: fnames.Fname) -> list[str]:
    return [name] if isinstance(name, str) else name
