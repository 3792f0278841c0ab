"""The plots of a run's learners, as they were drawn last: nobody waits for one that takes long.

Each is drawn by a `DrawingProcess`, of which there are two at most: while the code of one learner does
not end, others are drawn all the same. What takes too long is stopped, and its plot says so.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.snapshot import ItemView
from adaptive_scheduler.io.system.drawing_process import (
    DrawingProcess,
    NoStartError,
    ProcessEndedError,
)
from adaptive_scheduler.runs.views.page.pace import Pace
from adaptive_scheduler.runs.views.page.plots import Plot, as_text

#: Seconds that a drawing may take, and that who asks for a new one waits for it.
TIMEOUT, PATIENCE = 30.0, 0.3
#: Processes at once, and plots that are kept: as many learners may be open in several windows. What is
#: not kept while it is open is drawn again and again.
PROCESSES, MOST = 2, 100
#: Seconds between two drawings of one learner, at least and at most; and their part of a core.
INTERVAL, LONGEST, SHARE = 3.0, 600.0, 0.05

#: Shown until there is something to show.
BEGUN = as_text("Its data are being loaded …")


class Drawn(msgspec.Struct):
    """What is known of one learner's plot.

    Attributes
    ----------
    pace : Pace
    plot : dict or None
    told : tuple
        How the learner was when it was drawn last.
    ended : float
        When that was.
    is_being_drawn : bool
    """

    pace: Pace
    plot: Plot | None
    told: tuple[Phase, int] | None = None
    ended: float = float("-inf")
    is_being_drawn: bool = False

    def is_due(self, now: float, view: Item | ItemView) -> bool:
        """Whether it is to be drawn again: something may have changed, and it was not just done.

        Now and then it is drawn again in any case: its file may not have been seen here yet, or a
        drawing was stopped.
        """
        is_new = self.told != (view.phase, view.npoints) or view.phase is Phase.RUNNING
        is_old = now >= self.ended + LONGEST
        return not self.is_being_drawn and (is_new or is_old) and self.pace.is_due(now)

    def did(self, begun: float, plot: Plot | None, view: Item | ItemView) -> None:
        """Note what was drawn."""
        self.plot, self.told, self.is_being_drawn = plot, (view.phase, view.npoints), False
        self.ended = time.monotonic()
        self.pace.did(begun, self.ended)


class Drawings:
    """Draws learners. Any thread may ask.

    Parameters
    ----------
    folder : RunFolder
    timeout : float
        Seconds that a drawing may take.
    """

    def __init__(self, folder: RunFolder, timeout: float = TIMEOUT) -> None:
        self._folder = folder
        self._timeout = timeout
        self._changed = threading.Condition()
        self._drawn: dict[int, Drawn] = {}
        self._waiting: deque[tuple[Item | ItemView, Drawn]] = deque()
        self._processes: set[DrawingProcess] = set()
        self._idle: list[DrawingProcess] = []
        self._threads = 0
        self._times_closed = 0

    def plot(self, view: Item | ItemView, *, anew: bool) -> Plot | None:
        """Return how a learner was drawn last; None if it has no data.

        Parameters
        ----------
        view : Item or ItemView
            What is known of it.
        anew : bool
            Draw it again, unless that was done just now.
        """
        with self._changed:
            drawn = self._drawn.get(view.id)
            if drawn is None:
                drawn = self._drawn[view.id] = Drawn(Pace(INTERVAL, SHARE, LONGEST), BEGUN)
                self._forget()
            if anew and drawn.is_due(time.monotonic(), view):
                self._see_to_it(view, drawn)
                self._changed.wait_for(lambda: not drawn.is_being_drawn, PATIENCE)
            return drawn.plot

    def close(self) -> None:
        """End the processes; others are started when somebody asks again."""
        with self._changed:
            self._drawn.clear()
            self._waiting.clear()
            self._times_closed += 1
            processes, self._processes, self._idle = self._processes, set(), []
        for process in processes:
            process.end()

    def _forget(self) -> None:
        done = [item for item, drawn in self._drawn.items() if not drawn.is_being_drawn]
        for item in done[: max(0, len(self._drawn) - MOST)]:
            del self._drawn[item]

    def _see_to_it(self, view: Item | ItemView, drawn: Drawn) -> None:
        if self._threads < PROCESSES:  # first: where none can be started, nothing has changed
            threading.Thread(target=self._draw_all, name="drawing", daemon=True).start()
            self._threads += 1
        drawn.is_being_drawn = True
        self._waiting.append((view, drawn))

    # ------------------------------------------------------------------- its threads

    def _draw_all(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._threads -= 1
                    return
                view, drawn = self._waiting.popleft()
            begun = time.monotonic()
            try:
                plot, begun = self._draw(view)
            except Exception as error:  # noqa: BLE001  the top of a thread: else it is waited for for ever
                plot = as_text(f"It cannot be drawn: {type(error).__name__}: {error}")
            with self._changed:
                drawn.did(begun, plot, view)
                self._changed.notify_all()

    def _draw(self, view: Item | ItemView) -> tuple[Plot | None, float]:
        """Return the plot, and when its drawing began: a process starts but once, which may take long."""
        begun = time.monotonic()
        try:
            return self._ask(view)
        except NoStartError as error:
            text = f"It cannot be drawn: no process can be started ({error})."
        except TimeoutError:
            text = _took_too_long(view.id, self._timeout)
        except ProcessEndedError as error:
            text = _died(view.id, str(error))
        return as_text(text), begun

    def _ask(self, view: Item | ItemView) -> tuple[Plot | None, float]:
        process = self._take_process()
        was_used = process.has_drawn
        try:
            plot = process.draw(view.id, view.fname)
        except BaseException as error:
            is_wanted = self._discard(process)
            # one that was used may have ended by itself just then, or by what it has drawn before
            if was_used and is_wanted and isinstance(error, ProcessEndedError):
                return self._ask(view)
            raise
        begun = process.begun  # before it is given to another thread
        with self._changed:
            if process in self._processes:  # else all were closed
                self._idle.append(process)
        return plot, begun

    def _take_process(self) -> DrawingProcess:
        with self._changed:
            idle, self._idle = self._idle, []
            alive = [one for one in idle if one.is_alive]
            self._processes -= {*idle} - {*alive}
            self._idle = alive[1:]
            times_closed = self._times_closed
        for one in idle:
            if one not in alive:
                one.end()
        return alive[0] if alive else self._started(times_closed)

    def _started(self, times_closed: int) -> DrawingProcess:
        """Start one; without the lock, as a slow disk may hold that up."""
        process = DrawingProcess(self._folder, self._timeout)
        with self._changed:
            if times_closed == self._times_closed:
                self._processes.add(process)
                return process
        process.end()
        raise NoStartError("nobody looks any more")

    def _discard(self, process: DrawingProcess) -> bool:
        """End a process; returns whether it was wanted: not if all were closed."""
        with self._changed:
            is_wanted = process in self._processes
            self._processes.discard(process)
        process.end()
        return is_wanted


def _took_too_long(item: int, timeout: float) -> str:
    return (
        f"Drawing took longer than {timeout:.0f} s, and was stopped. Either it has very many data, or "
        f"code of this learner does not end. load_learners()[{item}] loads it where you can watch it. "
        f"It is tried again in {LONGEST / 60:.0f} minutes."
    )


def _died(item: int, how: str) -> str:
    return (
        f"The process that draws this learner {how}: its data need too much memory here, for example, or "
        f"its code ends the process. load_learners()[{item}] loads it where you can watch it."
    )
