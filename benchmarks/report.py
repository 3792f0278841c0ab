"""Turn the JSON of benchmarks into the table of the README: ``python -m benchmarks.report FILE …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from tabulate import tabulate

HEADERS = ("figure", "what", "ours", "peer", "ratio", "bar", "met")
BEGIN, END = "<!-- results: python -m benchmarks.report -->", "<!-- end of results -->"
#: Of the rows of tasks.
BEGIN_TASKS, END_TASKS = "<!-- results: --tasks -->", "<!-- end of results of tasks -->"

app = typer.Typer(add_completion=False)


@app.command()
def main(
    files: Annotated[list[Path], typer.Argument(help="Files written by --json.")],
    readme: Annotated[
        Path | None, typer.Option(help="Insert the table between the marks of this file.")
    ] = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Between those for tasks.")] = False,
) -> None:
    """Print the table of these files, or put it into a README."""
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    text = f"{machine(documents[0]['machine'])}\n\n{table(documents)}"
    if readme is None:
        typer.echo(text)
        return
    begin, end = (BEGIN_TASKS, END_TASKS) if tasks else (BEGIN, END)
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def machine(facts: dict[str, Any]) -> str:
    """Where and when, in one paragraph."""
    both = {**facts["versions"], **(facts.get("peer_versions") or {})}
    versions = ", ".join(f"{name} {version}" for name, version in both.items())
    compiled = "compiled" if facts["bytecode_compiled"] else "not compiled"
    return (
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB, "
        f"{facts['system']}, Python {facts['python']} (bytecode {compiled}); {versions}."
    )


def table(documents: list[dict[str, Any]]) -> str:
    """All figures as a GitHub table."""
    rows = [row(figure) for document in documents for figure in document["figures"]]
    return tabulate(rows, HEADERS, tablefmt="github", disable_numparse=True)


def row(figure: dict[str, Any]) -> list[str]:
    """One line of the table."""
    peer = figure["peer"]
    sign = "≥" if figure["better"] == "higher" else "≤"
    times = "×" if figure["limit_of"] == "ratio" else ""
    return [
        f"`{figure['name']}`",
        figure["what"],
        f"{figure['ours']:,.4g} {figure['unit']}",
        f"{peer:,.4g} ({figure['peer_name']})" if peer is not None else "",
        f"×{figure['ratio']:,.3g}" if figure["ratio"] is not None else "",
        f"{sign} {times}{figure['limit']:,g}" if figure["limit"] is not None else "",
        {None: "", True: "yes", False: "**no**"}[figure["met"]],
    ]


if __name__ == "__main__":
    app()
