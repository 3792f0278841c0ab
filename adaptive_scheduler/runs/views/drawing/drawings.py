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
from adaptive_scheduler.io.system.drawing_process import DrawingProcess, ProcessEndedError
from adaptive_scheduler.runs.views.page.pace import Pace
from adaptive_scheduler.runs.views.page.plots import Plot, as_text

#: Seconds that a drawing may take, and that who asks for a new one waits for it.
TIMEOUT, PATIENCE = 30.0, 0.3
#: Processes at once, and plots that are kept: as many learners may be open in several windows.
PROCESSES, MOST = 2, 16
#: Seconds between two drawings of one learner, at least and at most; and their part of a core.
INTERVAL, LONGEST, SHARE = 3.0, 600.0, 0.05

#: Shown until there is something to show.
BEGUN = as_text("Its data are being loaded …")


class Drawn(msgspec.Struct):
    """What is known of one learner's plot. `told`: how the learner was when it was drawn last."""

    pace: Pace
    plot: Plot | None
    told: tuple[Phase, int] | None = None
    is_being_drawn: bool = False

    def is_due(self, now: float, view: Item | ItemView) -> bool:
        """Whether it is to be drawn again: something may have changed, and it was not just done."""
        is_new = self.told != (view.phase, view.npoints) or view.phase is Phase.RUNNING
        return not self.is_being_drawn and is_new and self.pace.is_due(now)


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
                drawn.is_being_drawn = True
                self._waiting.append((view, drawn))
                self._see_to_it()
                self._changed.wait_for(lambda: not drawn.is_being_drawn, PATIENCE)
            return drawn.plot

    def close(self) -> None:
        """End the processes; others are started when somebody asks again."""
        with self._changed:
            self._drawn.clear()
            self._waiting.clear()
            processes, self._processes, self._idle = self._processes, set(), []
        for process in processes:
            process.end()

    def _forget(self) -> None:
        done = [item for item, drawn in self._drawn.items() if not drawn.is_being_drawn]
        for item in done[: max(0, len(self._drawn) - MOST)]:
            del self._drawn[item]

    def _see_to_it(self) -> None:
        if self._threads < min(PROCESSES, self._threads + len(self._waiting)):
            self._threads += 1
            threading.Thread(target=self._draw_all, name="drawing", daemon=True).start()

    # ------------------------------------------------------------------- its threads

    def _draw_all(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._threads -= 1
                    return
                view, drawn = self._waiting.popleft()
            begun = time.monotonic()
            plot = self._draw(view)
            with self._changed:
                drawn.plot, drawn.told, drawn.is_being_drawn = (
                    plot,
                    (view.phase, view.npoints),
                    False,
                )
                drawn.pace.did(begun, time.monotonic())
                self._changed.notify_all()

    def _draw(self, view: Item | ItemView) -> Plot | None:
        try:
            process = self._take_process()
        except OSError as error:  # this user has too many processes, for example
            return as_text(f"It cannot be drawn: no process can be started ({error.strerror}).")
        try:
            plot = process.draw(view.id, view.fname)
        except TimeoutError:
            self._discard(process)
            return as_text(_took_too_long(view.id, self._timeout))
        except ProcessEndedError as error:
            self._discard(process)
            return as_text(_died(view.id, str(error)))
        with self._changed:
            if process in self._processes:  # else all were closed
                self._idle.append(process)
        return plot

    def _take_process(self) -> DrawingProcess:
        with self._changed:
            idle, self._idle = self._idle, []
            alive = [one for one in idle if one.is_alive]
            self._processes -= {*idle} - {*alive}
            self._idle = alive[1:]
            if alive:
                return alive[0]
            process = DrawingProcess(self._folder, self._timeout)
            self._processes.add(process)
        for one in idle:
            one.end()
        return process

    def _discard(self, process: DrawingProcess) -> None:
        with self._changed:
            self._processes.discard(process)
        process.end()


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
