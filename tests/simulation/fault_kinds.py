"""Every kind of fault that histories must have: one that never comes is one that is not tested."""

from __future__ import annotations

from collections import Counter

from tests.simulation.accidents import CAUSES
from tests.simulation.history import MESSAGE_FAULTS
from tests.simulation.slurm import LISTING_FAULTS, SUBMIT_FAULTS

#: So many histories have each kind at least once, with any seeds.
ENOUGH = 1000

FAULT_KINDS = frozenset(
    {
        # messages
        *(f"message {kind}" for kind in MESSAGE_FAULTS),
        *(f"answer {kind}" for kind in ("lost", "doubled", "late")),
        # jobs
        "job starts late", "job never starts", "job starts twice", "job requeued", "job suspended",
        *(f"job killed: {cause}" for cause in CAUSES), "node fails", "site limit comes",
        # clients
        "client killed", "client stopped for a while", "client cut off", "client hangs",
        "client gets SIGTERM", "two clients of one job", "item kills its client",
        *(f"user code ends: {place}" for place in ("before a learner", "function", "worker", "client", "signal")),
        # managers
        "manager killed", "manager's host loses power", "manager stopped for a while",
        "wall clock set", "disk full", "fsync fails", "checkpoint disturbed",
        # the batch system
        *(f"sbatch: {kind}" for kind in SUBMIT_FAULTS), "sbatch: over a limit that comes and goes",
        *(f"squeue: {kind}" for kind in LISTING_FAULTS), "squeue: folded array record",
        "scancel: fails",
    }
)  # fmt: skip

#: Those of runs of tasks: their clients are heads, and their users drivers.
TASK_FAULT_KINDS = frozenset(
    {
        *(
            kind for kind in FAULT_KINDS
            if not kind.startswith(("user code ends", "item kills", "two clients"))
        ),
        "worker killed", "agent killed", "agent killed: a task kills its agent", "driver killed",
        "submitted twice", "priorities changed", "tasks withdrawn", "pool removed", "walltime ends",
        "head cannot work", "node of a job comes late", "node of a job never comes",
        "node of a job dies", "node of a job cut off", "lost node there again",
    }
)  # fmt: skip


def fault_kinds_wrong(
    faults: Counter[str], histories: int, kinds: frozenset[str] = FAULT_KINDS
) -> list[str]:
    """What is wrong with the kinds of fault that some histories had."""
    strange = sorted(faults.keys() - kinds)
    missing = sorted(kinds - faults.keys()) if histories >= ENOUGH else []
    return [
        *(f"a fault of a kind that is not listed: {kind!r}" for kind in strange),
        *(f"no fault of the kind {kind!r} in {histories:,} histories" for kind in missing),
    ]
