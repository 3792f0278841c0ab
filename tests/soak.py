"""Try to break it for longer than `make test` has time for: ``python -m tests.soak MINUTES``.

Rounds of random histories of a whole cluster (new seeds in each round), then the campaign of
forty learners with its accidents on two private Slurms, until the time is over. Ends at the
first thing that breaks, with what replays it; `make test` runs a sample of both.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.unit.test_cluster_machine import replay

#: Histories of each round, and events of each history.
HISTORIES, EVENTS = 3000, 200
#: Seeds below are those of `make test`.
FIRST_SEED = 10_000
CAMPAIGN = "tests/integration/test_campaign.py"


def main(minutes: float) -> int:
    """Return the exit status: 0 if nothing broke."""
    end = time.monotonic() + 60 * minutes
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        seeds = range(FIRST_SEED + rounds * HISTORIES, FIRST_SEED + (rounds + 1) * HISTORIES)
        for seed in seeds:
            replay(seed, EVENTS)
        campaign = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-s", "-x", CAMPAIGN],
            cwd=Path(__file__).parents[1], check=False,
        )  # fmt: skip
        if campaign.returncode:
            return campaign.returncode
        rounds += 1
        print(
            f"round {rounds}: {rounds * HISTORIES} histories of {EVENTS} events and "
            f"{2 * rounds} campaigns of 40 learners, 0 violations",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 30))
