"""Try to break it for longer than `make test` has time for: ``python -m tests.soak MINUTES``.

Rounds of random histories of a whole cluster (new seeds in each round), then the campaign of
forty learners with its accidents on two private Slurms, then minutes of chaos on a third, then the
kill campaign of tasks on three batch systems, and over several nodes on two, until the time is over.
Ends at the first thing that breaks, with what replays it; `make test` runs a sample of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.simulate import KINDS, Tally, show, simulate_all
from tests.simulation.fault_kinds import fault_kinds_wrong

#: Histories of each round.
HISTORIES = 20_000
#: Seeds below are those of `make test`.
FIRST_SEED = 100_000
CAMPAIGN = "tests/integration/test_campaign.py"
CHAOS_MINUTES = 10
#: Of kills while tasks run, on each of three batch systems; and in jobs of whole nodes, on two.
KILL_MINUTES, NODE_MINUTES = 3.4, 10
#: Of each of these jobs.
NODES = 2


def live_through(seeds: range) -> bool:
    """Live through histories on all cores, and show what they came to; whether all held."""
    holds = True
    for kind in KINDS:
        begin, tally = time.monotonic(), Tally()
        for part in simulate_all(seeds, os.cpu_count() or 1, kind.live):
            tally.join(part)
        show(tally, time.monotonic() - begin, Console(width=120), kind)
        wrong = fault_kinds_wrong(tally.faults, tally.histories, kind.faults)
        print(*wrong, sep="\n")
        holds = holds and not (tally.violations or wrong)
    return holds


def main(minutes: float) -> int:
    """Return the exit status: 0 if nothing broke."""
    end = time.monotonic() + 60 * minutes
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        first = FIRST_SEED + rounds * HISTORIES
        if not live_through(range(first, first + HISTORIES)):
            return 1
        for argv in (
            ["pytest", "-q", "-s", "-x", CAMPAIGN],
            ["tests.chaos", "--minutes", str(CHAOS_MINUTES), "--seed", str(first)],
            *(
                ["tests.task_campaign", one, "--minutes", str(KILL_MINUTES), "--seed", str(first)]
                for one in ("local", "slurm", "pbs")
            ),
            *(
                [
                    "tests.task_campaign",
                    one,
                    "--nodes",
                    str(NODES),
                    "--minutes",
                    str(NODE_MINUTES),
                    "--seed",
                    str(first),
                ]
                for one in ("slurm", "pbs")
            ),
        ):
            done = subprocess.run(
                [sys.executable, "-m", *argv], cwd=Path(__file__).parents[1], check=False
            )
            if done.returncode:
                return done.returncode
        rounds += 1
        print(
            f"round {rounds}: {2 * rounds * HISTORIES} histories and "
            f"{2 * rounds} campaigns of 40 learners and {rounds * CHAOS_MINUTES} minutes of "
            f"chaos and {5 * rounds} kill campaigns, 0 violations",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 30))
