"""What the commands change about a run that exists."""

from __future__ import annotations

from pathlib import Path

from adaptive_scheduler.commandline import exits
from adaptive_scheduler.commandline.finding import find_learner
from adaptive_scheduler.commandline.running import console, conclude, quoted, say
from adaptive_scheduler.commandline.watching import Watched, watch
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.manager.run_manager import RunManager
from adaptive_scheduler.manager.viewer import Viewer


def cancel(folder: RunFolder) -> None:
    """End a run."""
    RunManager.attach(folder.home).cancel()
    say(f"Cancelled; data and database are kept. To go on: adaptive-scheduler resume {quoted(folder)}")


def resume(folder: RunFolder, if_dead: bool, stay: bool) -> int:
    """Go on with a run; returns the exit code."""
    with Viewer(folder) as viewer:
        snapshot = viewer.snapshot("none")
        if if_dead and (snapshot.over or viewer.lives()):
            say("Nothing to do: " + ("all learners have ended." if snapshot.over else "its manager lives."))
            return exits.DONE
    RunManager.attach(folder.home).resume()
    say(f"Going on. Watch it with: adaptive-scheduler status --watch {quoted(folder)}")
    return follow(folder) if stay else exits.DONE


def follow(folder: RunFolder) -> int:
    """Watch a run to its end; Ctrl-C ends the watching only."""
    try:
        with Viewer(folder) as viewer:
            return conclude(watch(lambda: viewer.snapshot("active"), console, Watched()), folder)
    except KeyboardInterrupt:
        say(f"\nThe run goes on. To end it: adaptive-scheduler cancel {quoted(folder)}")
        return exits.INTERRUPTED
