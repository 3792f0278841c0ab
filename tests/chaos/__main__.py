"""Chaos for some minutes, then calm, then the verdict: ``python -m tests.chaos --minutes M``."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from adaptive_scheduler.executors.worker_process import ORPHAN_SECONDS
from tests.chaos.faults import Faults
from tests.chaos.report import print_report
from tests.chaos.speed import check_speed
from tests.chaos.verdict import Verdict, judge
from tests.chaos.watch import Watch, is_over, wait_until
from tests.chaos.world import TIMING, Rank, World
from tests.clusters import remains
from tests.clusters.slurm import missing_programs

#: Seconds between two faults.
PAUSE = (2.0, 6.0)
#: Seconds more for what has not happened by chance.
MORE = 90.0
#: Seconds until all jobs compute before the first fault, at most.
BEGINNING = 120.0
#: Seconds in which everything must end after the last fault, and for each learner that is left.
ENDING, EACH = 150.0, 0.5
#: Seconds in which everything that was broken must be mended.
REPAIRING = 60.0
#: Seconds in which the queue must be empty and no process left after the last learner: fewer than `TIMING.patience`.
SILENCE = 20.0
#: Seconds that Slurm may take for jobs that are completing: it asks their nodes once a minute.
COMPLETING = 150.0
#: Set in the process that has a mount namespace of its own.
INSIDE = "ADAPTIVE_SCHEDULER_CHAOS_INSIDE"


def main() -> int:
    """Return the exit status: 0 if no promise was broken."""
    options = argparse.ArgumentParser(prog="python -m tests.chaos")
    options.add_argument("--minutes", type=float, default=2.0)
    options.add_argument("--seed", type=int)
    given = options.parse_args()
    if absent := missing_programs():
        print(f"Slurm is missing ({', '.join(absent)}): apt-get install slurm-wlm munge")
        return 2
    _take_a_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"chaos for {given.minutes:g} minutes, seed {seed}", flush=True)
    world = World(given.minutes, random.Random(seed))
    keep = True
    try:
        violations = Chaos(world, given.minutes, seed).run()
        keep = bool(violations)
    finally:
        world.end(keep)
        if keep:
            print(f"kept: {world.folder}", flush=True)
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(violations)} violations; seed {seed}")
    return int(bool(violations))


def _take_a_namespace() -> None:
    """Start again where mounts are seen by nobody else, and end with the last process."""
    if os.environ.get(INSIDE) or os.geteuid() != 0 or shutil.which("unshare") is None:
        return
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execvp(
        "unshare",
        ["unshare", "--mount", sys.executable, "-m", "tests.chaos", *sys.argv[1:]],
    )  # fmt: skip


class Chaos:
    """One world, from the start of its runs to the verdict."""

    def __init__(self, world: World, minutes: float, seed: int) -> None:
        self.world = world
        self.minutes = minutes
        self.dice = random.Random(seed)
        self.faults = Faults(world, self.dice)
        self.watch = Watch(world, random.Random(seed + 1))

    def run(self) -> list[str]:
        """Return what was violated."""
        for run in self.world.runs:
            if not run.resume():
                return run.refusals
        self.watch.start()
        try:
            began = self.go()
            late = self.calm_down()
        finally:
            self.watch.stop()
            self._remove_segments()
        return self.judge(began, late)

    def go(self) -> float:
        """Faults, one after the other; returns when the first one came."""
        wait_until(lambda: len(self.world.ranks()) >= 2, BEGINNING)
        began = time.monotonic()
        end = began + 60 * self.minutes
        while time.monotonic() < end or (self.faults.missing() and time.monotonic() < end + MORE):
            pause = time.monotonic() + self.dice.uniform(*PAUSE)
            while time.monotonic() < pause:
                self.faults.repair()
                time.sleep(0.2)
            is_late = time.monotonic() > end
            fault = self.faults.strike_missing() if is_late else self.faults.strike()
            if fault is not None:
                print(f"{fault.at - began:6.1f} s  {fault.kind}: {fault.what}", flush=True)
        return began

    def calm_down(self) -> list[str]:
        """Mend everything; everything must end, and leave nothing behind."""
        if left := self.faults.repair_all(REPAIRING):
            return left
        self.world.calm.touch()
        began = time.monotonic()
        n = sum(len(run.mix.learners) for run in self.world.runs)
        over = wait_until(lambda: all(map(is_over, self.world.runs)), ENDING + EACH * n)
        if not over:
            return [
                f"{run.name} does not end: {run.attached.status().text}" for run in self.world.runs
            ]
        ended = time.monotonic()
        print(f"all learners are done {ended - began:.1f} s after the last repair", flush=True)
        if left := self._wait_for_silence(ended + SILENCE):
            return [f"left {SILENCE:g} s after the end: {left}"]
        print(f"the queue was empty and all ranks gone {time.monotonic() - ended:.1f} s later")
        # Slurm may keep a job of a node that was away for a minute after all of it is gone, and the
        # manager with it; a submit whose answer a killed manager did not live to see may still arrive
        if not wait_until(lambda: self.world.queue() == [], COMPLETING):
            return [f"Slurm still completes after {COMPLETING:g} s: {self.world.queue()}"]
        started = max(run.lives[-1] for run in self.world.runs)
        patience = max(0.0, started + TIMING.grace - time.monotonic()) + SILENCE
        if not wait_until(lambda: not any(run.manager() for run in self.world.runs), patience):
            return [f"a manager is left after {patience:.0f} s"]
        self._count_orphans()
        return []

    def _count_orphans(self) -> None:
        """Ranks that a killed slurmstepd has left: none that has worked may live on."""
        wait_until(lambda: not self.world.ranks(), ORPHAN_SECONDS + SILENCE)
        worked = {
            entry.pid
            for run in self.world.runs
            for ledgers in run.mix.ledgers
            for ledger in ledgers
            for entry in ledger.entries()
        }
        for rank in self.world.ranks():
            said = f"rank {rank.rank} of job {rank.job}, left by a killed slurmstepd"
            if rank.process.pid in worked:
                self.watch.seen.violations.append(f"{said}, lives on")
            else:
                self.world.notes.append(f"{said} while it started, was ended by us")
            rank.process.kill()

    def _wait_for_silence(self, deadline: float) -> list[str]:
        """Tell what leaves last; returns what has not left in time."""
        left = self._left()
        while left and time.monotonic() < deadline:
            last = left
            time.sleep(0.2)
            left = self._left()
            if left and left != last:
                print(f"still there: {', '.join(left)}", flush=True)
        return left

    def _left(self) -> list[str]:
        rows = self.world.queue()
        left = ["the queue does not answer"] if rows is None else []
        left += [f"job {job} {state}" for job, state, _, _ in rows or [] if state != "COMPLETING"]
        left += [
            f"rank {r.rank} of {r.job} ({r.process.pid})"
            for r in self.world.ranks()
            if not self._is_excused(r)
        ]
        return left

    def _is_excused(self, rank: Rank) -> bool:
        """Of a world whose slurmstepd was killed, ranks that wait for rank 0 end a while later.

        One that was still starting never does: nobody but slurmstepd could end it.
        """
        kills = [fault for fault in self.faults.done if fault.stepds and fault.job == rank.job]
        return rank.rank > 0 and bool(kills)

    def _remove_segments(self) -> None:
        used = {s for rank in self.world.ranks() for s in remains.shared_memory(rank.process)}
        for segment in self.watch.seen.segments - used:
            segment.unlink(missing_ok=True)

    def judge(self, began: float, late: list[str]) -> list[str]:
        """Compare everything, and print the figures."""
        seen, faults = self.watch.seen, self.faults.done
        verdicts: list[Verdict] = [
            judge(run, faults, seen, self.world.folder) for run in self.world.runs
        ]
        speed, notes = check_speed(verdicts, faults, began, began + 60 * self.minutes)
        print_report(faults, self.world.runs, verdicts, seen, [*self.world.notes, *notes])
        return [
            *late,
            *(f"no fault of the kind {kind!r} came" for kind in self.faults.missing()),
            *seen.violations,
            *speed,
            *(violation for verdict in verdicts for violation in verdict.violations),
        ]


if __name__ == "__main__":
    sys.exit(main())
