"""Whether the runs kept their speed while a node killed all its jobs."""

from __future__ import annotations

from tests.chaos.fault import Fault
from tests.chaos.verdict import Verdict

#: Of the speed before: the machine is shared, and other faults go on.
SHARE = 1 / 10
#: Seconds after which the node is known to all.
TO_LEARN = 20.0


def check_speed(
    verdicts: list[Verdict], faults: list[Fault], began: float, ended: float
) -> tuple[list[str], list[str]]:
    """Compare evaluations per second before the node broke and since.

    Returns
    -------
    violations, notes : list of str
    """
    broke = next((fault.at for fault in faults if fault.kind == "node broken"), None)
    if broke is None:
        return [], ["no node was broken"]
    times = [e.at for verdict in verdicts for own in verdict.entries.values() for e in own]
    before = _speed(times, began, broke)
    since = _speed(times, broke + TO_LEARN, ended)
    note = f"evaluations/s before a node was broken: {before:.1f}; with it: {since:.1f}"
    if broke - began < TO_LEARN or ended - broke < 2 * TO_LEARN:
        return [], [f"{note} (too little time to compare)"]
    return ([] if since >= SHARE * before else [note]), [note]


def _speed(times: list[float], begin: float, end: float) -> float:
    return sum(begin <= at < end for at in times) / max(end - begin, 1e-9)
