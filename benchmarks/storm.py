"""`storm`: 8,000 clients that connect and claim in the same instant."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.books import make_run
from benchmarks.figures import Figure, at_most
from benchmarks.server import serving
from benchmarks.swarm import Swarm

CLIENTS = 8_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Seconds until every one of them has said hello and holds a learner."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seconds = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            folder = make_run(Path(home), 100_000)
            with serving(folder) as (address, _):
                begin = time.perf_counter()
                swarm = Swarm(folder, address, CLIENTS)
                swarm.hello(120)
                given = swarm.claim(120)
                seconds.append(time.perf_counter() - begin)
                swarm.close()
                if len(given) != CLIENTS:
                    raise RuntimeError(f"{CLIENTS - len(given)} of {CLIENTS} clients got nothing")
    yield Figure("storm", "8,000 clients connect and claim at once", "s", seconds, bar=at_most(10))
