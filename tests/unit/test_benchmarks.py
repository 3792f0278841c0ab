"""What benchmarks say of themselves: whether a bar is met, and the table of the README."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import environment, report
from benchmarks.__main__ import ROWS, measure, write
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.calls import PEER_CALLS, PEER_LATENCY
from benchmarks.tasks.place import PARTS

FACTS = {
    "date": "2026-11-21", "processor": "a processor", "cores": 2, "memory_gb": 25, "system": "Linux",
    "python": "3.11", "bytecode_compiled": True, "versions": {"adaptive": "1.5.2"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("x", "", "s", [1.0, 3.0, 2.0], bar=at_most(2)), True),
        (Figure("x", "", "s", [1.0, 3.0, 2.0], bar=at_most(1.9)), False),
        (Figure("x", "", "1/s", [1.0, 3.0, 2.0], bar=at_least(2.1)), False),
        (Figure("x", "", "s", [2.0], [4.0], at_least(0.5, "ratio")), True),
        (Figure("x", "", "s", [2.0], bar=at_least(0.5, "ratio")), None),
        (Figure("x", "", "s", [2.0]), None),
        (Figure("x", "", "", [1.0, 4.0, 2.0], [1.0, 2.0, 2.0], at_most(1.1, "ratio")), True),
        (
            Figure(
                "x", "", "", [3.0, 1.0, 9.0], [1.0, 2.0, 3.0], at_most(2.9, "ratio"), is_paired=True
            ),
            False,
        ),
    ],
)
def test_a_bar_is_met_by_the_median_or_by_the_ratio(figure: Figure, met: bool | None) -> None:
    assert figure.is_met is met
    assert figure.as_json()["met"] is met


def test_a_row_that_fails_says_whose_side_failed() -> None:
    with (
        pytest.raises(RuntimeError, match=r"^the peer failed: .*exit 3.*ended with 3"),
        environment.side("the peer"),
    ):
        environment.run(["sh", "-c", "exit 3"])


def test_a_peer_that_cannot_work_in_its_folder_is_named(monkeypatch, tmp_path: Path) -> None:
    python = tmp_path / "a blank" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setattr(environment, "PEER", python)
    assert environment.peer_python() == str(python)
    with pytest.raises(environment.PeerMissingError, match=r"a blank.*PEER_PYTHON"):
        environment.peer_python(in_jobs=True)


def test_the_readmes_table_is_written_between_its_marks(tmp_path: Path) -> None:
    figure = Figure("storm", "clients at once", "s", [12.5], [25.0], at_most(10), "the peer")
    write(tmp_path / "figures.json", [figure], FACTS, {})
    assert {"name", "ours", "peer", "limit", "ratio", "unit", "n", "met"} <= set(
        json.loads((tmp_path / "figures.json").read_text())["figures"][0]
    )
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    done = CliRunner().invoke(report.app, [str(tmp_path / "figures.json"), "--readme", str(readme)])
    assert done.exit_code == 0, done.output
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "12.5 s" in text
    assert "25 (the peer)" in text
    assert "\N{MULTIPLICATION SIGN}0.5" in text
    assert "≤ 10" in text
    assert "**no**" in text


@pytest.mark.parametrize("name", ROWS)
def test_every_row_can_be_measured(name: str) -> None:
    figures = measure(name, rounds=1, peer=False)
    assert inspect.isgenerator(figures)  # nothing runs before it is asked
    figures.close()


def test_each_figure_of_tasks_has_the_bar_that_was_set_for_it() -> None:
    here = Path(report.__file__).parent / "tasks"
    text = "".join(path.read_text() for path in here.glob("*.py"))
    named = set(re.findall(r'Figure\(\s*f?"([^"]+)"', text))
    named |= {
        name.replace("{name}", peer)
        for name in named
        for peer in (*PEER_CALLS, *PEER_LATENCY, *PARTS)
    }
    assert set(BARS) <= named
    limits = [BARS[name].limit for name in ("calls", "calls-latency", "commands", "prioritise")]
    assert limits == [15_000, 2.5, 0.7, 0.5]
