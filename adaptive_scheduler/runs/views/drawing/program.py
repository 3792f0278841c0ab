"""The process that draws learners: requests into it, plots out of it, a JSON object in each line.

It runs the user's code, which may print, use much memory, or never end. So it is not what shows the
run; it ends with the process that started it, after a while without a request, and at the latest a
few seconds after the time that a drawing may take.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import IO, Any

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import sanitize
from adaptive_scheduler.errors import USER_RAISES, AdaptiveSchedulerError
from adaptive_scheduler.io.pickling.learner_file import LearnerFile
from adaptive_scheduler.runs.load_data import load_learners
from adaptive_scheduler.runs.views.page import plots

#: Seconds without a request after which it ends, and that it outlives its time at most.
IDLE, GRACE = 60.0, 5
#: Who looks at a run is not to slow down what else this machine does.
_NICE = 10
#: Added to what the kernel chooses by if memory runs out.
_OOM = b"800"


class Request(msgspec.Struct, frozen=True):
    """A learner that is to be drawn, as its data file and its journal have it now."""

    item: int
    fname: str | list[str]


def plot_of(folder: RunFolder, request: Request) -> plots.Plot | None:
    """Load a learner with the data that there are so far, and return what is to be drawn."""
    try:  # the border to the user's code: classes of learners and values
        with closing(LearnerFile(folder.learners)) as file:
            learner = file.read(request.item)
        load_learners([learner], [request.fname], progress=False)
        return plots.plot_of(learner)
    except AdaptiveSchedulerError as error:
        return plots.as_text(sanitize(str(error)))
    except USER_RAISES as error:
        return _not_shown(error)


def answer_to(folder: RunFolder, request: Request) -> bytes:
    """Return the plot of a learner as JSON."""
    try:
        return msgspec.json.encode(plot_of(folder, request))
    except USER_RAISES as error:  # letters that are none, in a text of the user's
        return msgspec.json.encode(_not_shown(error))


def _not_shown(error: BaseException) -> plots.Plot:
    try:
        text = f"{type(error).__name__}: {error}"
    except USER_RAISES:  # its own __str__
        text = type(error).__name__
    return plots.as_text(f"The data cannot be shown here: {sanitize(text)}")


def serve(
    folder: RunFolder, patience: int, lines: queue.SimpleQueue[bytes], out: IO[bytes]
) -> None:
    """Draw one learner after the other, until nobody asks any more."""
    with suppress(queue.Empty, BrokenPipeError):
        out.write(b"\n")  # it has started: the time of a drawing begins later
        out.flush()
        while True:
            request = msgspec.json.decode(lines.get(timeout=IDLE), type=Request)
            signal.alarm(patience + GRACE)  # its default action: no code holds that up
            answer = answer_to(folder, request)
            signal.alarm(0)
            out.write(answer + b"\n")
            out.flush()


def _read(requests: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Take in requests, also while one is drawn: their end means that who asked has gone."""
    for line in requests:
        lines.put(line)
    _end()


def _end() -> None:
    """End, with what the user's code has started: nobody else knows of it any more."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _be_modest() -> None:
    with suppress(OSError):
        os.nice(_NICE)
    with suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(_OOM)


def main(words: Sequence[str] = ()) -> None:
    """Serve who has started it; what the user's code prints is thrown away."""
    folder, patience = words or sys.argv[-2:]
    _be_modest()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    out: Any = os.fdopen(os.dup(1), "wb")
    requests: Any = os.fdopen(os.dup(0), "rb")
    with open(os.devnull, "r+b", buffering=0) as null:  # noqa: PTH123
        os.dup2(null.fileno(), 0)
        os.dup2(null.fileno(), 1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, lines), daemon=True).start()
    try:
        serve(RunFolder(folder), int(patience), lines, out)
        _end()
    finally:
        os._exit(1)  # its other thread waits in a read
