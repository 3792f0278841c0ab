"""Histories of whole runs in virtual time, of learners and of tasks: ``python -m tests.simulate SEEDS``.

SEEDS is a number of histories (``1000``: seeds 0 to 999), a range (``5-900``, both ends
included) or, with ``--one``, a single seed, whose trace is printed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.simulation.fault_kinds import FAULT_KINDS, TASK_FAULT_KINDS, fault_kinds_wrong
from tests.simulation.history import History, play
from tests.simulation.task_history import TaskHistory, play_tasks

#: Histories that one process lives through before it reports.
CHUNK = 25
#: Violations that are shown in full.
SHOWN = 5


@dataclass
class Tally:
    """What some histories came to."""

    histories: int = 0
    redrawn: int = 0
    seconds: float = 0.0  # of CPU
    least: list[int] = field(default_factory=lambda: [10**9] * 4)
    total: list[int] = field(default_factory=lambda: [0] * 4)
    events: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, history: History) -> None:
        self.histories += 1
        self.redrawn += history.more > 0
        for place, n in enumerate(history.sizes):
            self.least[place] = min(self.least[place], n)
            self.total[place] += n
        self.events.update(history.events)
        self.faults.update(history.faults)

    def join(self, other: Tally) -> None:
        self.histories += other.histories
        self.redrawn += other.redrawn
        self.seconds += other.seconds
        self.least = [min(pair) for pair in zip(self.least, other.least, strict=True)]
        self.total = [sum(pair) for pair in zip(self.total, other.total, strict=True)]
        self.events.update(other.events)
        self.faults.update(other.faults)
        self.violations += other.violations


def simulate(
    seeds: Iterable[int], first_only: bool = False, live: Callable[[int], History] = play
) -> Tally:
    """Live through some histories, here and now; `first_only` ends at the first violation."""
    tally = Tally()
    begin = time.process_time()
    for seed in seeds:
        try:
            tally.add(live(seed))
        except Exception as error:  # whatever breaks is what is looked for
            kind = f"{type(error).__name__}: {error}"
            tally.violations.append(
                (seed, kind + "\n" + "".join(traceback.format_tb(error.__traceback__)[-3:]))
            )
            if first_only:
                break
    tally.seconds = time.process_time() - begin
    return tally


def simulate_tasks(seeds: Iterable[int], first_only: bool = False) -> Tally:
    """The same for histories of tasks."""
    return simulate(seeds, first_only, play_tasks)


@dataclass(frozen=True)
class Kind:
    """Histories of one kind.

    Attributes
    ----------
    name : str
    live : callable
        Given seeds, lives through their histories.
    play : callable
        Given one seed.
    faults : frozenset of str
        Kinds of faults that come in them.
    least : tuple of int
        Items, jobs, events and faults of each.
    """

    name: str
    live: Callable[..., Tally]
    play: Callable[..., History]
    faults: frozenset[str]
    least: tuple[int, int, int, int]


KINDS = (
    Kind("learners", simulate, play, FAULT_KINDS, History.least),
    Kind("tasks", simulate_tasks, play_tasks, TASK_FAULT_KINDS, TaskHistory.least),
)


def simulate_all(
    seeds: Sequence[int], processes: int, live: Callable[[Iterable[int]], Tally] = simulate
) -> Iterator[Tally]:
    """The same, in several processes; yields what each portion came to."""
    portions = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if processes == 1:
        yield from map(live, portions)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(live, portions)


def read_seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1) if last else range(int(first))


def show(tally: Tally, seconds: float, console: Console, kind: Kind) -> None:
    table = Table("histories", "an hour", "an hour and core of CPU", "redrawn", "violations")
    table.add_row(
        f"{tally.histories:,}", f"{tally.histories / seconds * 3600:,.0f}",
        f"{tally.histories / tally.seconds * 3600:,.0f}", str(tally.redrawn),
        str(len(tally.violations)),
    )  # fmt: skip
    sizes = Table("of each history", "promised", "least", "mean")
    tally.least = [min(n, most) for n, most in zip(tally.least, tally.total, strict=True)]
    named = zip(
        (kind.name, "jobs", "events", "faults"), kind.least, tally.least, tally.total, strict=True
    )
    for what, promised, least, total in named:
        sizes.add_row(what, str(promised), str(least), f"{total / max(1, tally.histories):.1f}")
    faults = Table("fault", "times")
    for name, n in tally.faults.most_common():
        faults.add_row(name, f"{n:,}")
    faults.add_row("all", f"{tally.faults.total():,}", style="bold")
    for each in (faults, sizes, table):
        console.print(each)
    for seed, words in sorted(tally.violations)[:SHOWN]:
        console.print(f"seed {seed}: {words}", markup=False, highlight=False, style="red")
        console.print(
            f"  again, with its trace: python -m tests.simulate {seed}-{seed} --of {kind.name} --trace\n",
            markup=False,
        )


def show_one(seed: int, console: Console, kind: Kind) -> int:
    """Print everything that happens in one history."""
    histories: list[History] = []
    try:
        history = kind.play(seed, trace=True, keep=histories)
        words = f"{history.sizes[2]} events, {history.sizes[3]} faults, no violation"
    except Exception:
        words = traceback.format_exc()
    history = histories[-1]
    print("\n".join(history.lines))
    console.print(f"trace {history.digest}")
    console.print(words, markup=False)
    return int(not words.endswith("no violation"))


def main(
    seeds: Annotated[str, typer.Argument(help="1000, or 5-900")] = "1000",
    processes: Annotated[int, typer.Option(help="as many as there are cores")] = 0,
    trace: Annotated[bool, typer.Option(help="print what happens (for one seed)")] = False,
    of: Annotated[str, typer.Option(help="learners or tasks only")] = "",
    first: Annotated[bool, typer.Option(help="end at the first violation; one process")] = False,
) -> None:
    """Live through histories of learners and as many of tasks, and say what broke."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    kinds = [kind for kind in KINDS if of in ("", kind.name)]
    wanted = read_seeds(seeds)
    if trace:
        raise typer.Exit(max(show_one(seed, console, kind) for kind in kinds for seed in wanted))
    is_wrong = False
    for kind in kinds:
        begin, tally = time.monotonic(), Tally()
        if first:
            tally = kind.live(wanted, first_only=True)
        else:
            for part in simulate_all(wanted, processes or os.cpu_count() or 1, kind.live):
                tally.join(part)
        show(tally, time.monotonic() - begin, console, kind)
        wrong = fault_kinds_wrong(tally.faults, tally.histories, kind.faults)
        for line in wrong:
            console.print(line, style="red", markup=False)
        is_wrong = is_wrong or bool(tally.violations or wrong)
    raise typer.Exit(is_wrong)


if __name__ == "__main__":
    typer.run(main)
