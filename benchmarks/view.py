"""`view`: what it costs to look at a run of 100,000 learners, of which 100 run.

All is measured in the process that looks: reading, the manager's answers, and what is sent to the browser.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from adaptive_scheduler.core.wire.messages import Beat, Report
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.runs.views.page.session import ViewSession
from adaptive_scheduler.runs.views.page.source import RunSource
from benchmarks.core_manager import config, make_run
from benchmarks.figures import Figure, at_most
from benchmarks.many_clients import ManyClients
from benchmarks.server import serving

LEARNERS, CLIENTS = 100_000, 100
#: Seconds that it is looked at, and between two looks.
SECONDS, STEP = 16.0, 2.0


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """CPU and bytes while nothing happens, and while each learner that runs reports."""
    idle, bytes_idle, busy, bytes_busy, first = [], [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="as-bench-") as home:
            folder = make_run(Path(home), LEARNERS)
            write_config(folder, config())
            with serving(folder) as (address, _process):
                clients = ManyClients(folder, address, CLIENTS)
                clients.hello()
                tokens = clients.claim()
                session, begun = ViewSession(RunSource(folder, STEP), True), time.perf_counter()
                open_view(session)
                first.append(1000 * (time.perf_counter() - begun))
                watch(session, None)  # the first looks, and their pace
                cost, sent = watch(session, None)
                idle.append(cost)
                bytes_idle.append(sent)
                cost, sent = watch(session, partial(report, clients, tokens))
                busy.append(cost)
                bytes_busy.append(sent)
                clients.close()
    what = "a run of 100,000 learners, 100 at work"
    yield Figure("view", f"looking at {what}: idle", "% of a core", idle, bar=at_most(1))
    yield Figure("view-bytes", "sent to the browser, idle", "kB/s", bytes_idle, bar=at_most(50))
    yield Figure("view-busy", "the same, each reports every 2 s", "% of a core", busy)
    yield Figure("view-busy-bytes", "sent to the browser", "kB/s", bytes_busy, bar=at_most(50))
    yield Figure("view-first", f"the first look at {what}", "ms", first)


def open_view(session: ViewSession) -> None:
    """What a front end asks when it comes."""
    session.receive({"type": "hello"})
    session.receive({"type": "rows", "request": 1, "count": 60})


def watch(session: ViewSession, happens: Callable[[int], None] | None) -> tuple[float, float]:
    """Look for a while; returns percent of a core, and kB/s."""
    seconds, sent, begun = 0.0, 0, time.perf_counter()
    for n in range(int(SECONDS / STEP)):
        if happens is not None:
            happens(n)
        cpu = time.process_time()
        sent += sum(len(json.dumps(message)) for message in session.tick())
        seconds += time.process_time() - cpu
        time.sleep(max(0.0, begun + (n + 1) * STEP - time.perf_counter()))
    passed = time.perf_counter() - begun
    return 100 * seconds / passed, sent / passed / 1000


def report(clients: ManyClients, tokens: dict[int, int], n: int) -> None:
    """Each client has new points."""
    for k, token in tokens.items():
        clients.send(k, Beat(token, Report(npoints=100 * n + k, loss=1 / (n + 1), seconds=2.0 * n)))
    while clients.answers(0.2):
        pass
