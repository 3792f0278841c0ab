"""Sets up the process of a client: a faster import of adaptive, Python's collector and threads."""

from __future__ import annotations

import gc
import sys

from adaptive_scheduler.io.system.postponed import postponed

#: Modules that adaptive imports for other learners than Learner1D, for `to_dataframe` and for its own
#: developers. They take three quarters of the 1.25 s of CPU of its import (measured).
SELDOM_USED = (
    "scipy.stats", "scipy.interpolate", "scipy.spatial", "scipy.linalg", "pandas", "versioningit",
)  # fmt: skip
#: What adaptive takes out of these while it is imported, and only calls, by module. `Delaunay` is also
#: the base of a class, `FakeDelaunay`, that nothing in adaptive uses.
CALLED = {
    "scipy.spatial": frozenset({"Delaunay"}),
    "scipy.interpolate": frozenset({"CloughTocher2DInterpolator", "LinearNDInterpolator"}),
    "scipy.linalg": frozenset({"norm"}),
}
#: New objects between two passes of Python's garbage collector. Each point in flight is a future of
#: six objects: at the default of 700, passes took a sixth of a runner's time with 10,000 of them.
COLLECT_AFTER = 20_000
#: Seconds after which a thread that waits for the interpreter's lock gets it. The pool's thread needs it
#: about five times for a message. With the default of 0.005, a fast Learner1D over MPI waited for its
#: values 0.5 s of 1.7; with 0.001 0.2 s; with 0.0003 0.06 s; with 0.0001 switching costs more than that.
SWITCH_AFTER = 0.0003
#: After an item that ran for more seconds, a full pass of the collector is a small part of its time.
LONG = 1.0


def prepare_process() -> None:
    """Import adaptive, and set up Python for a process that runs learners.

    Objects that exist after the import live as long as the process. The collector does not go
    through them again (`gc.freeze`), which took a third of the runner's time. Call
    `collect_garbage` after each item.
    """
    sys.setswitchinterval(SWITCH_AFTER)
    gc.disable()  # also during the import
    try:
        with postponed(*SELDOM_USED, called=CALLED):
            import adaptive  # noqa: F401

        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
    finally:
        gc.enable()


def collect_garbage(seconds: float) -> None:
    """Free the memory of an item that ran for `seconds`: its objects refer to each other.

    A full pass takes some 25 ms where the user's modules are large, so it is made only after a
    long run. What a short one leaves is still among the youngest objects.
    """
    gc.collect(2 if seconds > LONG else 1)
