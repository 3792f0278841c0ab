"""`assign`: durable assignments over CURVE, 64 clients at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.core_manager import make_run
from benchmarks.environment import run_peer
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.many_clients import ManyClients
from benchmarks.server import serving

LEARNERS = 100_000
CLIENTS = 64
CYCLES = 15_000
#: Cycles in which finish and claim are two requests.
APART = 5_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Claim + finish of 64 sockets in one client process; the journal is synced before each reply.

    A finish claims the next learner, as it does for clients: one request for each learner.
    """
    rates, apart, lates, peer = [], [], [], []
    with tempfile.TemporaryDirectory() as home:
        folder = make_run(Path(home), LEARNERS)
        with serving(folder) as (address, _):
            clients = ManyClients(folder, address, CLIENTS)
            clients.hello()
            clients.cycles(1000)  # warm
            for _ in range(rounds):
                rates.append(clients.cycles(CYCLES))
                waits = sorted(clients.waits)
                lates.append(1000 * waits[int(0.99 * len(waits))])
                apart.append(clients.cycles(APART, apart=True))
                if with_peer:
                    peer.append(float(run_peer("assign.py", LEARNERS)))
            clients.close()
    yield Figure(
        "assign", "claim + finish over CURVE, durable, 64 clients, 100,000 learners", "cycles/s",
        rates, peer, at_least(8_000), "adaptive-scheduler 2.17.2, start + stop, not durable",
    )  # fmt: skip
    yield Figure(
        "assign-apart", "the same where the claim is a request of its own", "cycles/s", apart
    )
    yield Figure("assign-p99", "99 % of its answers within", "ms", lates, bar=at_most(15))
