"""What a chaos run prints: figures of the faults, of each run, and what was violated."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from tests.chaos.fault import Fault
from tests.chaos.verdict import Verdict
from tests.chaos.watch import Seen
from tests.chaos.world import MAX_JOBS, ChaosRun

FIGURES = (
    "learners", "full goals", "points", "evaluated", "repeated", "in vain", "lost", "journalled",
    "kept in journals",    "jobs", "fails", "crashes", "leases", "zombies fenced", "deaths on the broken node",
)  # fmt: skip


def print_report(
    faults: list[Fault], runs: list[ChaosRun], verdicts: list[Verdict], seen: Seen, notes: list[str]
) -> None:
    """Print all of it."""
    console = Console(width=100)
    console.print(_faults(faults))
    table = Table(title="The two runs, on one private Slurm of four nodes")
    table.add_column("figure")
    for run in runs:
        table.add_column(run.name, justify="right")
    for name in FIGURES:
        table.add_row(name, *(str(verdict.figures[name]) for verdict in verdicts))
    table.add_row("managers", *(str(len(run.lives)) for run in runs))
    table.add_row("managers that could not start", *(str(len(run.refusals)) for run in runs))
    most = (f"{seen.most_jobs.get(run.name, 0)} of {MAX_JOBS}" for run in runs)
    table.add_row(f"most jobs in {seen.samples} samples", *most)
    console.print(table)
    reasons = Counter(reason for run in runs for reason in run.refusals)
    notes = notes + [f"a manager could not start ({n} times): {r}" for r, n in reasons.items()]
    for note in notes:
        console.print(note, markup=False)


def _faults(faults: list[Fault]) -> Table:
    table = Table(title=f"{len(faults)} faults")
    table.add_column("fault")
    table.add_column("times", justify="right")
    for kind, n in sorted(Counter(fault.kind for fault in faults).items()):
        table.add_row(kind, str(n))
    return table
