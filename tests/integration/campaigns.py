"""Learners of every kind in one run, whose clients and ranks are killed at random instants."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from adaptive_scheduler.core.paths import JOB_VARIABLE
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.server_support import RunManager, parse_log_files
from tests.contract.learner_kinds import fname_of, kinds
from tests.integration.ledger import IN_FLIGHT, Entry, TimedLedger, audit, held
from tests.integration.stalls import Stalls, note_own_stalls, seconds_stalled

#: Seconds between two writes of the point journal.
INTERVAL = 0.1
#: What a loaded machine may add: five times that.
WINDOW = 5 * INTERVAL
#: Seconds in which a client at its walltime has stopped taking, saves, and lets go.
LEAVING = 2.0
#: Seconds of one evaluation, so that each kind has two workers busy for about three seconds.
SECONDS = {"IntegratorLearner": 0.015, "AverageLearner1D": 0.04, "BalancingSequences": 0.14}
USUAL = 0.08

#: Seconds in which a process that was sent SIGKILL is dead, at the latest.
DYING = 0.5
#: The share of the kills that come while a client starts and loads.
STARTING = 0.3

CLIENT = "-m adaptive_scheduler.client"


@dataclass
class Kill:
    """One process that was killed.

    Attributes
    ----------
    at, sent : float
        Just before and just after it was sent the signal.
    family : frozenset of int
        Its pid, and those of its workers, which may go on for a moment without it.
    client : int
        The pid of the client of its job: of rank 0, where there are ranks.
    """

    kind: str
    signal: signal.Signals
    at: float
    rank: str
    family: frozenset[int]
    sent: float
    client: int

    def is_in_vain(self, entry: Entry) -> bool:
        """Whether an evaluation ended when its client was dead: nobody took its value.

        On a busy machine a worker may notice only seconds later.
        """
        is_client = self.signal == signal.SIGKILL and self.rank in ("", "0")
        return is_client and entry.pid in self.family and entry.at >= self.sent + DYING


class Life:
    """When the client of a learner is to be killed: while it starts, or while it computes."""

    def __init__(self, evaluated: float, dice: random.Random) -> None:
        self._evaluated = evaluated
        self._begin = time.monotonic()
        self._starts = dice.random() < STARTING
        self._patience = dice.uniform(0.0, 1.5 if self._starts else 0.7)

    def is_over(self, evaluated: int) -> bool:
        if not self._starts and evaluated <= self._evaluated:
            self._begin = time.monotonic()
        return time.monotonic() >= self._begin + self._patience


@dataclass
class Campaign:
    """One run of one learner of each kind.

    Attributes
    ----------
    run : RunManager
    ledgers : dict
        Of each kind, those of its functions.
    stalls : Stalls
        Of this machine, from the first kill on.
    folder : Path
        Where clients note their own.
    kills : list of Kill
    """

    run: RunManager
    ledgers: dict[str, list[TimedLedger]]
    stalls: Stalls
    folder: Path
    kills: list[Kill] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(self.ledgers)

    def kill_all(self, orders: dict[str, list[signal.Signals]], seed: int) -> None:
        """Carry out the orders for each kind, each at a random instant of a life of its client."""
        with self.stalls:
            self._kill_all(orders, seed)

    def _kill_all(self, orders: dict[str, list[signal.Signals]], seed: int) -> None:
        dice = random.Random(seed)
        lives: dict[tuple[str, str | None, int, int], Life] = {}
        deadline = time.monotonic() + 300
        while any(orders.values()):
            assert time.monotonic() < deadline, f"still to be killed: {orders}"
            items = self.run.snapshot("all").items
            for name, item in zip(self.names, items, strict=True):
                if item.phase in ("done", "failed", "cancelled"):
                    orders[name].clear()  # it was too quick; counted by who asks
                if item.phase != "running" or not orders[name]:
                    continue
                which = (name, item.job, item.attempts, item.crashes)
                life = lives.setdefault(which, Life(self._size(name), dice))
                if life.is_over(self._size(name)) and self._kill(
                    name, str(item.job), orders[name][0], dice
                ):
                    orders[name].pop(0)
                    lives[which] = Life(float("inf"), dice)  # it is about to end
            time.sleep(0.02)

    def _size(self, name: str) -> int:
        return sum(len(ledger.lines()) for ledger in self.ledgers[name])

    def _kill(self, name: str, job: str, number: signal.Signals, dice: random.Random) -> bool:
        ranks = ranks_of(job, self.run.folder.folder)
        if number != signal.SIGKILL:  # of a world only its client hears it
            ranks = [process for process in ranks if rank_of(process) in ("", "0")]
        if not ranks:
            return False
        victim = dice.choice(ranks)
        family = family_of(victim)
        client = next((one.pid for one in ranks if rank_of(one) in ("", "0")), 0)
        rank, now = rank_of(victim), time.monotonic()
        try:
            victim.send_signal(number)
        except psutil.NoSuchProcess:
            return False
        self.kills.append(Kill(name, number, now, rank, family, time.monotonic(), client))
        return True

    def check(self, title: str) -> Counter[str]:
        """Compare data and ledgers of all kinds; prints and returns the figures."""
        learners = self.run.load_learners(progress=False)
        total: Counter[str] = Counter()
        leavings = self._leavings()
        print(f"\n{title}")
        for name, learner in zip(self.names, learners, strict=True):
            kills = [k for k in self.kills if k.kind == name]
            deaths = [k.at for k in kills if k.signal == signal.SIGKILL]
            entries = [
                entry
                for ledger in self.ledgers[name]
                for entry in ledger.entries()
                if not any(kill.is_in_vain(entry) for kill in kills)
            ]
            found = audit(entries, held(learner))
            assert found.unknown == [], f"{name}: never evaluated: {found.unknown}"
            late = found.lost(deaths, WINDOW, self.stalls)
            late = [entry for entry in late if not self._is_clients_stall(entry, kills)]
            lost = [entry for entry in late if not is_near(entry, leavings[name])]
            ages = [
                max(0.0, min(at - entry.at for at in deaths if at >= entry.at - 1))
                for entry in found.again
                if any(at >= entry.at - 1 for at in deaths)
            ]
            signals = Counter(k.signal.name for k in kills)
            figures = Counter(evaluated=found.evaluated, again=len(found.again), lost=len(lost))
            figures["as its client left"] = len(late) - len(lost)
            figures.update(signals)
            total += figures
            oldest = f"the oldest {max(ages) * 1000:.0f} ms before its kill" if ages else ""
            print(f"  {name:20} {told(figures)}; {oldest}")
            assert lost == [], f"{name}: lost without a reason: {lost}; killed at {deaths}"
        print(f"  {'all':20} {told(total)}; {self.stalls}")
        return total

    def _is_clients_stall(self, entry: Entry, kills: Iterable[Kill]) -> bool:
        """Whether the client did not come to write a point down, as it stood still until it was killed."""
        return any(
            0
            <= kill.at - entry.at
            <= WINDOW + seconds_stalled(self.folder, kill.client, entry.at, kill.at)
            for kill in kills
            if kill.signal == signal.SIGKILL
        )

    def _leavings(self) -> dict[str, list[float]]:
        """When clients let a learner go at their walltime, on the ledgers' clock."""
        events = parse_log_files(self.run.folder.logs)
        leavings: dict[str, list[float]] = {name: [] for name in self.names}
        offset = time.time() - time.monotonic()
        for event in events.to_dict("records"):
            if event["event"] == "item_released" and event["reason"] == "deadline":
                at = datetime.fromisoformat(str(event["timestamp"])).timestamp() - offset
                leavings[self.names[int(event["item"])]].append(at)
        return leavings


def is_near(entry: Entry, leavings: Iterable[float]) -> bool:
    """Whether an evaluation returned while its client left, or later: nobody could take it."""
    return any(entry.at - IN_FLIGHT <= at <= entry.at + LEAVING for at in leavings)


def family_of(process: psutil.Process) -> frozenset[int]:
    """Pids of a process and of all that it has started."""
    pids = {process.pid}
    with suppress(psutil.NoSuchProcess):
        pids |= {child.pid for child in process.children(recursive=True)}
    return frozenset(pids)


def told(figures: Counter[str]) -> str:
    return (
        f"{figures['SIGKILL']} SIGKILL, {figures['SIGTERM']} SIGTERM: {figures['evaluated']} "
        f"evaluated, {figures['again']} of them in vain or again, {figures['lost']} lost"
    )


def campaign(
    folder: Path, scheduler: Scheduler, names: Sequence[str], slower: float = 1.0, **settings: Any
) -> Campaign:
    """Describe a run of one learner of each of these kinds."""
    ledgers: dict[str, list[TimedLedger]] = {}
    learners, fnames, goals = [], [], []
    for name in names:
        made: list[TimedLedger] = []

        def wrap(
            function: Callable[[Any], Any], name: str = name, made: list[TimedLedger] = made
        ) -> TimedLedger:
            path = folder / f"ledger-{name}-{len(made)}"
            made.append(TimedLedger(path, function, SECONDS.get(name, USUAL) * slower))
            return made[-1]

        make, goal = kinds(wrap)[name]
        ledgers[name] = made
        learners.append(make())
        fnames.append(fname_of(name, folder / "data"))
        goals.append(goal)
    options = {"goal": GoalOfKind(goals, learners, folder), "folder": folder / "run", "max_crashes": 100,
               "interval": 1, "points_interval": INTERVAL, "save_interval": 0.5,
               **settings}  # fmt: skip
    run = RunManager(scheduler, learners, fnames, **options)
    return Campaign(run, ledgers, Stalls(folder), folder)


class GoalOfKind:
    """The goal of each kind, told from the learner; `None` is until it has no more points.

    The client that asks for it notes its stalls, if there is a folder for it.
    """

    def __init__(
        self, goals: Sequence[Any], learners: Sequence[Any], folder: Path | None = None
    ) -> None:
        self.folder, self.noting_pid = folder, 0
        self.goals = {describe(one): goal for one, goal in zip(learners, goals, strict=True)}

    def __call__(self, learner: Any) -> bool:
        if self.folder and JOB_VARIABLE in os.environ and self.noting_pid != os.getpid():
            self.noting_pid = os.getpid()
            note_own_stalls(self.folder)
        goal = self.goals[describe(learner)]
        if goal is not None:
            return bool(goal(learner))
        children = getattr(learner, "learners", [learner])
        return all(child.done() for child in children)


def describe(learner: Any) -> tuple[str, str]:
    children = getattr(learner, "learners", [learner])
    return type(learner).__name__, type(children[0]).__name__


def ranks_of(job: str, run_folder: Path) -> list[psutil.Process]:
    """The client of a job, or all ranks of its world."""
    wanted = {"ADAPTIVE_SCHEDULER_RUN": str(run_folder), "ADAPTIVE_SCHEDULER_JOB": job}
    return [process for process, environ in all_ranks() if wanted.items() <= environ.items()]


def all_ranks() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Clients and ranks of all runs on this machine, with their environments."""
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if CLIENT in " ".join(words) and "python" in Path(words[0]).name:
                yield process, process.environ()
        except (psutil.Error, IndexError):
            continue


def rank_of(process: psutil.Process) -> str:
    """The MPI rank of a process; "" if it has none."""
    try:
        environ = process.environ()
    except psutil.Error:
        return "?"
    return environ.get("PMI_RANK") or environ.get("SLURM_PROCID") or ""
