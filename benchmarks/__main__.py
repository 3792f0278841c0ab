"""Run benchmarks: ``python -m benchmarks [NAME …] [--json FILE]``."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adaptive_scheduler.errors import AdaptiveSchedulerError
from benchmarks import environment
from benchmarks.figures import Figure

#: Row -> its module, or function of one: `measure(rounds, with_peer)`, which yields figures.
ROWS = {
    "assign": "assign",
    "assign-core": "assign_core",
    "flat": "flat",
    "runner-scale": "runner_scale",
    "runner-mpi": "runner_mpi",
    "runner-local": "runner_local",
    "large-function": "large_function",
    "points": "points",
    "learners": "learners",
    "import": "import_cost",
    "status": "status_cost",
    "manager": "manager",
    "report": "run_history",
    "storm": "storm",
    "submit": "submit",
    "campaign": "makespan",
    "thousand": "thousand",
    "first-point": "first_point",
    "walltime": "walltime",
    "notebook": "notebook",
    "calls": "tasks.calls",
    "calls-1ms": "tasks.calls:measure_1ms",
    "calls-latency": "tasks.calls:measure_latency",
    "calls-submit": "tasks.submit",
    "commands": "tasks.commands",
    "ask-tell": "tasks.ask_tell",
    "programs": "tasks.programs",
    "cost": "tasks.cost",
    "place": "tasks.place",
    "sweep": "tasks.sweep",
    "ranked": "tasks.ranked",
    "prioritise": "tasks.prioritise",
    "million": "tasks.million",
    "view": "view",
}

#: What a row may raise; the others are measured nevertheless.
FAILURES = (AdaptiveSchedulerError, RuntimeError, OSError, subprocess.SubprocessError)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Rows: {', '.join(ROWS)}.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Rounds; each measures this package, then the peer.")
    ] = 3,
    peer: Annotated[bool, typer.Option(help="Measure the peers too.")] = True,
) -> None:
    """Measure this package and the peers in turn; show medians, ratios and whether goals are met."""
    unknown = set(names or ()) - set(ROWS)
    if unknown:
        raise typer.BadParameter(
            f"no such row: {', '.join(sorted(unknown))}. There are {', '.join(ROWS)}."
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # rows end their processes then
    console = Console()
    environment.compile_ours()
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name in names or ROWS:
        begin = time.perf_counter()
        try:
            figures.extend(measure(name, rounds, peer))  # what came before an error is kept
        except FAILURES as error:
            failed[name] = str(error)
        console.print(f"{name}: {time.perf_counter() - begin:.0f} s", style="dim")
    facts = environment.describe(peer)
    console.print(table(figures, facts))
    for name, reason in failed.items():
        console.print(f"{name} could not be measured: {reason}", style="red", markup=False)
    if json_file is not None:
        write(json_file, figures, facts, failed)
    sys.exit(1 if failed else 0)


def measure(name: str, rounds: int, peer: bool) -> Iterator[Figure]:
    """All figures of one row."""
    module, _, function = ROWS[name].partition(":")
    found = importlib.import_module(f"benchmarks.{module}")
    return getattr(found, function or "measure")(rounds, peer)


def table(figures: list[Figure], facts: dict[str, Any]) -> Table:
    """The figures as a table."""
    shown = Table(title=f"{facts['date']}, {facts['processor']}, {facts['cores']} cores")
    for column in ("figure", "ours", "peer", "ratio", "bar", "met"):
        shown.add_column(column, justify="left" if column == "figure" else "right")
    for figure in figures:
        row = figure.as_json()
        shown.add_row(
            f"[bold]{figure.name}[/] {figure.what}",
            f"{row['ours']:,.4g} {figure.unit}",
            f"{row['peer']:,.4g}" if figure.peer else "",
            f"×{figure.ratio:,.3g}" if figure.ratio is not None else "",
            _bar(figure),
            {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[figure.is_met],
        )
    return shown


def _bar(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    sign = "≥" if figure.bar.better == "higher" else "≤"
    return f"{sign} {'×' if figure.bar.of == 'ratio' else ''}{figure.bar.limit:,g}"


def write(path: Path, figures: list[Figure], facts: dict[str, Any], failed: dict[str, str]) -> None:
    """Write the figures, the machine and the versions as JSON."""
    document = {"machine": facts, "figures": [f.as_json() for f in figures], "failed": failed}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    app()
