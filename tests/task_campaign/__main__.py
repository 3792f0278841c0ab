"""A kill campaign: ``python -m tests.task_campaign local|slurm|pbs [--nodes 2] [--seed N] [--minutes M]``."""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.task_campaign.kills import Kills
from tests.task_campaign.plan import Plan
from tests.task_campaign.verdict import Verdict
from tests.task_campaign.world import SILENCE, World

#: Between two blows so many tasks end, or so many seconds pass: a slow machine is struck less often.
BETWEEN, AT_MOST = 35, 12.0
#: The same over nodes, where more kinds of blows must come.
BETWEEN_OVER_NODES, AT_MOST_OVER_NODES = 16, 6.0
#: Walltime and mean seconds of a task; Slurm has no walltime below a minute. A job must get something done on
#: a machine so busy (a load of 44 on two cores) that it takes ten seconds to start.
SIZES = {"local": (24, 0.06), "pbs": (40, 0.06), "slurm": (60, 0.12)}
#: Walltime and mean seconds where jobs have whole nodes, which take a while to come.
OVER_NODES = (40, 0.2)
#: Seconds in which all must be over, beside the minutes that were asked for: two cores with a load of 28
#: needed 450 to 600.
LIMIT = 1200.0
#: Seconds in which a task must end after that, once there are no new ones: a machine however busy comes to the end.
STANDSTILL = 300.0
#: Calls, unless it is said; a tenth as many commands.
CALLS = 2000
CHANGES = ("priorities changed", "pool added", "pool removed")


def main() -> int:
    """Return the exit status: 0 if no promise was broken."""
    options = argparse.ArgumentParser(prog="python -m tests.task_campaign")
    options.add_argument("batch_system", choices=list(SIZES))
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--minutes", type=float, default=0.0, help="go on for so long")
    options.add_argument("--nodes", type=int, default=0, help="of each job, which has them whole")
    options.add_argument("--calls", type=int, default=CALLS, help="and a tenth as many commands")
    options.add_argument("--keep", action="store_true")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="as-kills-", dir="/tmp"))
    plan = plan_of(given, folder)
    if given.nodes:  # as many cores as its nodes have: then tasks are bound, and tell to which
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: plan.cores])
    print(f"kill campaign on {given.batch_system}, seed {given.seed}", flush=True)
    wrong = ["it was interrupted"]
    try:
        wrong = campaign(plan, given.minutes)
    finally:
        if wrong or given.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(*wrong[:20], sep="\n")
    print(f"seed {given.seed}: {len(wrong)} promises broken", flush=True)
    return int(bool(wrong))


def plan_of(given: argparse.Namespace, folder: Path) -> Plan:
    """Return what is to be done, for so many minutes at least."""
    walltime, seconds = SIZES[given.batch_system]
    more, calls, commands = max(1, round(given.minutes)), given.calls, given.calls // 10
    if given.nodes:
        # Slurm has no shorter walltime, and tasks over nodes take longer to start
        more, calls, commands = max(1, round(given.minutes / 2)), 1500, 150
        walltime, seconds = max(walltime, OVER_NODES[0]), OVER_NODES[1]
    return Plan(
        str(folder), given.batch_system, given.seed, calls=calls * more, commands=commands * more,
        seconds=seconds, walltime=walltime, nodes=given.nodes,
    )  # fmt: skip


def campaign(plan: Plan, minutes: float) -> list[str]:
    """Run it; returns what was wrong."""
    dice = random.Random(plan.seed)
    world = World(plan)
    begin = time.monotonic()
    try:
        world.start()
        kills = Kills(world, dice)
        try:
            wrong = go_through(world, kills, dice, begin + 60 * minutes)
            took = time.monotonic() - begin
            left = world.wait_for_silence() if not wrong else []
        finally:
            kills.mend(at_once=True)
            (plan.path / "kills").write_text("\n".join(kills.told))
    finally:
        world.end()
    wrong += [f"{SILENCE:g} s after the end: {one}" for one in left]
    verdict = Verdict(plan, world.run)
    # of a head that is killed while it leaves only its log says why it left
    walltimes = max(verdict.figures["walltimes"], int(world.has_walltime_come()))
    counted = kills.done + changes_of(plan) + Counter({"walltime": walltimes})
    wrong += [f"no {kind}" for kind in (*kills.kinds, *CHANGES, "walltime") if not counted[kind]]
    print(f"{took:.0f} s; " + ", ".join(f"{n} {kind}" for kind, n in sorted(counted.items())))
    print(", ".join(f"{n} {what}" for what, n in sorted(verdict.figures.items())))
    return wrong + verdict.wrong


def go_through(world: World, kills: Kills, dice: random.Random, until: float) -> list[str]:
    """Break things until each kind was broken and the time is over, then let the run end."""
    is_over_nodes = world.plan.nodes > 1
    limit, ended = until + LIMIT, 0
    may_end = world.plan.path / "may-end"
    begin = time.monotonic()
    between, at_most = BETWEEN, AT_MOST
    if is_over_nodes:
        between, at_most = BETWEEN_OVER_NODES, AT_MOST_OVER_NODES
    at, due = 1, begin + 2 * at_most
    while not world.is_driver_over():
        if time.monotonic() > limit:
            return [f"not over after {limit - begin:.0f} s: {world.remains()[:30]}"]
        kills.mend()
        kills.spares_one = not world.has_walltime_come()
        if not kills.missing and time.monotonic() >= until and world.has_walltime_come():
            may_end.touch()
            # from now on only the ends of tasks bring blows: a machine however busy comes to the end
            between, at_most, due = BETWEEN, math.inf, math.inf
        done, now = world.done(), time.monotonic()
        if done > ended and may_end.exists():  # before, there are ever more tasks
            ended, limit = done, max(limit, now + STANDSTILL)
        if (done >= at or now >= due) and kills.strike():
            at, due = done + dice.randrange(2 * between), now + at_most
        time.sleep(0.1)
    return []


def changes_of(plan: Plan) -> Counter[str]:
    """What the driver has changed, by kind."""
    return Counter((plan.path / "changes").read_text().splitlines())


if __name__ == "__main__":
    sys.exit(main())
