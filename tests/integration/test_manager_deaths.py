"""The manager dies again and again: nothing is lost, nothing is done twice, and no client waits long."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.transport import offline_goodbyes
from tests.effort import times
from tests.integration.accidents import Accidents, until
from tests.integration.deaths import Deaths, summary
from tests.integration.ledger import TimedLedger, audit, held
from tests.integration.ownership import events, overlaps

LEARNERS, CLIENTS, KILLS = times(120, 1000), times(6, 12), times(5, 100)
#: Points of each learner, and seconds of each point: work for as long as the kills go on.
POINTS, SECONDS = times(10, 22), times(0.15, 0.35)
#: Seconds; the expected figures are a tenth of it.
MEDIAN, LONGEST = 4.0, 20.0


def square(x):
    return x * x


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accidents]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Accidents(tmp_path)
    yield one
    if one.run.folder.config.exists() and not one.run.snapshot("none").over:
        one.run.cancel()
        one.run.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(times(280, 2400))
def test_the_manager_may_die_again_and_again(accidents: Accidents) -> None:
    ledgers = [
        TimedLedger(accidents.folder / f"ledger{n}", square, SECONDS) for n in range(LEARNERS)
    ]
    learners = [adaptive.SequenceLearner(one, [float(x) for x in range(POINTS)]) for one in ledgers]
    run = accidents.make(
        learners,
        {"cores": 1, "max_cores": CLIENTS, "executor_type": "sequential"},
        goal=None,
        max_jobs=CLIENTS,
    )
    began = time.monotonic()
    run.start()
    until(lambda: run.snapshot("none").phases.get("running") == CLIENTS, 120)
    deaths = Deaths(run, seed=LEARNERS)
    deaths.happen(KILLS)
    end = run.wait(times(200, 1200))
    took = time.monotonic() - began

    entries = [ledger.entries() for ledger in ledgers]
    away = deaths.evaluations_while_away(entry.at for one in entries for entry in one)
    delays, missing = deaths.readoptions()
    found = run.load_learners(progress=False)
    audits = [audit(one, held(learner)) for one, learner in zip(entries, found, strict=True)]
    items = run.snapshot("all").items
    lost = [item.id for item in items if item.phase != "done"]
    doubled = [item.id for item in items if item.attempts != 1] + overlaps(run.folder.logs)
    print(
        f"\n{deaths.kills.total()} kills {dict(deaths.kills)} in {took:.0f} s, {deaths.moves} times at "
        f"another port, {deaths.resumed} times by resume; {len(deaths.lives)} managers published; "
        f"{LEARNERS} learners, {sum(one.evaluated for one in audits)} points, {CLIENTS} clients; "
        f"lost {len(lost)}, doubled {len(doubled)}, evaluated again "
        f"{sum(len(one.again) for one in audits)}; {away} evaluations in "
        f"{sum(e - b for b, e in deaths.away):.0f} s without a manager; "
        f"re-adoption {summary(delays)}, never {len(missing)}"
    )
    assert end.phases == {"done": LEARNERS}
    assert not lost
    assert not doubled
    assert not missing
    assert end.submitted == CLIENTS
    assert all(not one.again and not one.unknown for one in audits)
    assert all(one.evaluated == POINTS for one in audits)
    assert away > KILLS * CLIENTS, "a client whose learner is done has to wait; the others compute"
    assert statistics.median(delays) < MEDIAN
    assert max(delays) < LONGEST


@pytest.mark.slow
def test_clients_whose_patience_is_over_save_and_leave_a_goodbye_for_the_next_manager(
    accidents: Accidents,
) -> None:
    ledgers = [TimedLedger(accidents.folder / f"ledger{n}", square, 0.1) for n in range(2)]
    values = [float(x) for x in range(200)]
    run = accidents.make(
        [adaptive.SequenceLearner(one, values) for one in ledgers],
        {"cores": 1, "max_cores": 2, "executor_type": "sequential"},
        goal=None,
        client_patience=5.0,  # more than a manager that stands still for a moment needs
    )
    run.start()
    until(lambda: all(len(ledger.lines()) > 3 for ledger in ledgers))
    manager = holder(run.folder.lock)
    assert manager is not None
    os.kill(manager.pid, signal.SIGKILL)
    until(lambda: not accidents.processes("adaptive_scheduler.client"), 90)
    words = [word for _, word in offline_goodbyes.read_goodbyes(run.folder)]
    assert len(words) == 2
    assert all(word.gave_up and "client_patience (5 s)" in word.reason for word in words)
    assert sum(event["event"] == "manager_given_up" for event in events(run.folder.logs)) == 2
    before = [len(ledger.lines()) for ledger in ledgers]
    assert all(n < len(values) for n in before)
    assert [one.npoints for one in run.load_learners(progress=False)] == before
    run.resume()
    end = run.wait(150)
    assert end.phases == {"done": 2}
    assert [item.crashes for item in run.snapshot("all").items] == [0, 0]
    assert [len(ledger.lines()) for ledger in ledgers] == [len(values)] * 2
