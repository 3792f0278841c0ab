"""Kill the campaign's driver: ``python -m tests.optimiser_campaign [--kills 20] [--walltimes 3] [--seed N]``."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.clusters.slurm import PrivateSlurm
from tests.optimiser_campaign.verdict import CUT, CampaignVerdict, has_cut
from tests.optimiser_campaign.world import CORES, GPUS, NODES, START, CampaignWorld

#: Seconds of a life at most, from its beginning or from when it first tells; in all.
LIFE, LIMIT = 6.0, 1200.0
#: Part of the kills that may come while it starts, and reads what the run has.
AT_START = 0.25
#: More evaluations than there is time for.
MANY = 1_000_000
#: Evaluations that are told before the last driver is to end.
LEAST = 5
#: What must have come, whatever was asked for.
KINDS = ("driver killed", "head killed", "manager killed", "told as failed", "told with a value")


def main() -> int:
    """Return the exit status: 0 if no promise was broken."""
    options = argparse.ArgumentParser(prog="python -m tests.optimiser_campaign")
    options.add_argument("--kills", type=int, default=20, help="of the driver, at least")
    options.add_argument("--walltimes", type=int, default=3, help="that must come meanwhile")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--keep", action="store_true")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="as-campaign-", dir="/tmp"))
    print(f"kills of an optimiser's driver on slurm, seed {given.seed}", flush=True)
    wrong = ["it was interrupted"]
    try:
        wrong = campaign(folder, given.kills, given.walltimes, random.Random(given.seed))
    finally:
        if wrong or given.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(*wrong[:20], sep="\n")
    print(f"seed {given.seed}: {len(wrong)} promises broken", flush=True)
    return int(bool(wrong))


def campaign(folder: Path, kills: int, walltimes: int, dice: random.Random) -> list[str]:
    """Run it; returns what was wrong."""
    begin = time.monotonic()
    slurm = PrivateSlurm(nodes=2 * NODES, cores_per_node=CORES, gpus_per_node=GPUS * CORES)
    world = CampaignWorld(
        folder, slurm, scheduler="slurm", nodes=NODES, cores=CORES, ranks=CORES, gpus=GPUS,
        walltime="1m", max_jobs=2, at_once=6, seconds=1.5, seed=dice.randrange(1000),
    )  # fmt: skip
    try:
        slurm.start()
        done = strike(world, kills, walltimes, dice)
        world.start_driver(1)
        world.finish()
        verdict = CampaignVerdict(world)
        done["walltime"] = world.walltimes()
    finally:
        world.end()
        slurm.stop()
    counted = done + verdict.figures
    kinds = [*KINDS, *(["walltime", CUT] if walltimes else [])]
    wrong = [f"no {kind}" for kind in kinds if not counted[kind]]
    print(f"{time.monotonic() - begin:.0f} s, {world.lives} lives of the driver; "
          + ", ".join(f"{n} {kind}" for kind, n in sorted(counted.items())))  # fmt: skip
    return wrong + verdict.wrong


def strike(world: CampaignWorld, kills: int, walltimes: int, dice: random.Random) -> Counter[str]:
    """Kill the driver at random instants, now and then a head or the manager, until enough has come."""
    done: Counter[str] = Counter()
    limit = time.monotonic() + LIMIT + kills * (LIFE + START)
    while not is_enough(world, done, kills, walltimes):
        assert time.monotonic() < limit, f"too little came: {done}, {world.walltimes()} walltimes"
        world.start_driver(MANY)
        if dice.random() > AT_START:
            world.wait_until_driver_tells(START)
        time.sleep(dice.uniform(0.1, LIFE))
        if done["driver killed"] % 3 == 1:
            done["head killed"] += world.kill_head(dice)
        if done["driver killed"] % 5 == 2:
            done["manager killed"] += world.kill_manager()
        world.kill_driver()
        done["driver killed"] += 1
    return done


def is_enough(world: CampaignWorld, done: Counter[str], kills: int, walltimes: int) -> bool:
    """Whether all kinds have come often enough, and something was told meanwhile."""
    told = world.told()
    return (
        done["driver killed"] >= kills
        and min(done["head killed"], done["manager killed"]) >= 1
        and world.walltimes() >= walltimes
        and len(told) >= LEAST
        and any("failed" in one for one in told)
        and (not walltimes or has_cut(world))  # at a walltime there may be no evaluation under way
    )


if __name__ == "__main__":
    sys.exit(main())
