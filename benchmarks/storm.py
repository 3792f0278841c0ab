"""`storm`: 8,000 clients that connect and claim at the same time."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.core_manager import make_run
from benchmarks.figures import Figure, at_most
from benchmarks.many_clients import ManyClients
from benchmarks.server import serving

CLIENTS = 8_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Seconds until each has sent hello and holds a learner."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seconds = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            folder = make_run(Path(home), 100_000)
            with serving(folder) as (address, _):
                begin = time.perf_counter()
                clients = ManyClients(folder, address, CLIENTS)
                clients.hello(120)
                given = clients.claim(120)
                seconds.append(time.perf_counter() - begin)
                clients.close()
                if len(given) != CLIENTS:
                    raise RuntimeError(f"{CLIENTS - len(given)} of {CLIENTS} clients got nothing")
    yield Figure("storm", "8,000 clients connect and claim at once", "s", seconds, bar=at_most(10))
