"""Compares ledgers, data, logs and the queue: was anything lost, run twice or left behind?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import read_journals
from tests.chaos.fault import Fault
from tests.chaos.ownership import check_owners
from tests.chaos.watch import Seen
from tests.chaos.world import MAX_JOBS, POINTS_INTERVAL, ChaosRun
from tests.integration.ledger import IN_FLIGHT, Entry, audit, held, written

#: Seconds before the death of its world in which a point may have returned and not been written:
#: the journal's interval, five times because the machine is shared, and a client may stand still for two seconds.
WINDOW = 5 * POINTS_INTERVAL + 2.5
#: Faults that are a failure of their learner; an evaluation that raises is done again at once.
FAILURES = ("user code ends: goal", "user code ends: loading")
#: Jobs that a broken node may kill before it is avoided, and those on their way to it by then.
DEATHS = 3 + MAX_JOBS


@dataclass
class Verdict:
    """What was found.

    Attributes
    ----------
    violations : list of str
        What breaks a promise.
    figures : Counter
        For the report.
    """

    violations: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    entries: dict[str, list[Entry]] = field(default_factory=dict)


class Excuses:
    """Which evaluations may be done again, for which fault.

    Points in flight, and those not yet in the journal, die with their world. While the disk is
    full no journal can be written, so what had returned since is lost with a world that is killed.

    Parameters
    ----------
    faults : list of Fault
    alive : dict of int to float
        When each process was last seen.
    """

    def __init__(self, faults: list[Fault], alive: dict[int, float]) -> None:
        self._faults = [fault for fault in faults if fault.pids]
        self._alive = alive
        self._full = [fault for fault in faults if fault.kind == "disk full"]

    def covers(self, entry: Entry) -> bool:
        return any(entry.pid in fault.pids and self._is_in(entry, fault) for fault in self._faults)

    def _is_in(self, entry: Entry, fault: Fault) -> bool:
        begin = fault.at
        for full in self._full:
            if full.at <= fault.at <= full.until + WINDOW:
                begin = min(begin, full.at)
        if fault.stops:  # a world that was only stopped is heard no more until it is continued
            return begin - WINDOW <= entry.at <= fault.until + ENDING
        lived = max(self._alive.get(pid, 0.0) for pid in fault.pids) - fault.at
        return begin - WINDOW <= entry.at <= fault.at + min(max(ENDING, lived), SLOW_ENDING)


#: Seconds after a fault at which the last worker of its world is dead: a job that is ended in
#: good order has KillWait to do so.
ENDING = IN_FLIGHT + 7.0
#: The same where it was seen longer: srun has to learn that a rank died before it ends the others.
SLOW_ENDING = 40.0


def judge(run: ChaosRun, faults: list[Fault], seen: Seen, folder: Path) -> Verdict:
    """Look at one run that is over."""
    found = Verdict()
    _check_phases(run, faults, found)
    _check_points(run, Excuses(faults, seen.alive), seen, found)
    check_owners(run, faults, found.violations, found.figures)
    _check_nodes(run, folder, found)
    return found


def _check_phases(run: ChaosRun, faults: list[Fault], found: Verdict) -> None:
    raised = sum(fault.kind in FAILURES and fault.what.startswith(run.name) for fault in faults)
    picture = run.attached.snapshot("all")
    found.figures["jobs"] = picture.submitted
    found.figures["learners"] = len(picture.items)
    found.figures["crashes"] = sum(item.crashes for item in picture.items)
    found.figures["fails"] = fails = sum(item.fails for item in picture.items)
    if fails > raised:
        found.violations.append(f"{run.name}: {fails} failures, but only {raised} were caused")
    for item in picture.items:
        if item.phase != "done":
            found.violations.append(
                f"{run.name} item {item.id} is {item.phase}, {item.fails} fails: {item.reason}"
            )


def _check_points(run: ChaosRun, excuses: Excuses, seen: Seen, found: Verdict) -> None:
    learners = run.run.load_learners(progress=False)
    for place, learner in enumerate(learners):
        what = f"{run.name} item {place} ({run.mix.kinds[place]})"
        entries = [entry for ledger in run.mix.ledgers[place] for entry in ledger.entries()]
        data = held(learner)
        result = audit(entries, data)
        found.entries[what] = entries
        found.figures["full goals"] += bool(run.mix.full_goal(learner))
        found.figures["points"] += sum(data.values())
        found.figures["evaluated"] += len(entries)
        if not run.mix.goal(learner):
            found.violations.append(f"{what} is done, but its data do not meet the goal")
        if result.unknown:
            found.violations.append(
                f"{what}: points in the data that were never evaluated: {result.unknown}"
            )
        seen_of_it = seen.journalled.get((run.name, place), set())
        # of an IntegratorLearner, what it was not asked for stays in the journal, and what a
        # zombie wrote after the end of its learner does too
        kept = _kept_in_journals(run, place) - set(data)
        forgotten = seen_of_it - set(data) - kept
        found.figures["journalled"] += len(seen_of_it)
        found.figures["kept in journals"] += len(kept)
        if forgotten:
            found.violations.append(
                f"{what}: points that were in a journal and are not in the data: {forgotten}"
            )
        again = [entry for entry in result.again if entry.x not in kept]
        _check_again(what, again, entries, data, excuses, found)


def _kept_in_journals(run: ChaosRun, place: int) -> set[str]:
    learner = run.mix.learners[place]
    main = adaptive_private.files_of(learner, run.mix.fnames[place])[0][1]
    return {
        written(learner, adaptive_private.expand(learner, short))
        for journal in read_journals(main)
        for short, _ in journal.points
    }


def _check_again(
    what: str, again: list[Entry], entries: list[Entry], data: Counter[str], excuses: Excuses,
    found: Verdict,
) -> None:  # fmt: skip
    for entry in again:
        found.figures["repeated" if data[entry.x] else "in vain"] += 1
        same = [other for other in entries if other.x == entry.x] if data[entry.x] else [entry]
        if not any(excuses.covers(other) for other in same):
            found.figures["lost"] += 1
            found.violations.append(
                f"{what}: points evaluated twice, or lost, although no fault explains it: {same}"
            )


def _check_nodes(run: ChaosRun, folder: Path, found: Verdict) -> None:
    """A node whose jobs die at once is avoided after three, by each manager that learns of it."""
    path = folder / "deaths"
    lines = path.read_text().splitlines() if path.exists() else []
    mine = [line for line in lines if str(run.run.folder.folder) in line]
    found.figures["deaths on the broken node"] = len(mine)
    if len(mine) > DEATHS * len(run.lives):
        found.violations.append(
            f"{run.name}: {len(mine)} jobs died on the broken node under {len(run.lives)} managers"
        )
