"""Every view of a run in any width: no line is longer, each learner has one, the ends of names stay."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from adaptive_scheduler.commandline.output.terminal import _TerminalOutput
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.wire.pools import PoolState
from adaptive_scheduler.core.wire.snapshot import ItemView, JobRow
from adaptive_scheduler.runs.views import render
from adaptive_scheduler.runs.views.fitting import GAP, column_width, cut_end, fit, shorten
from adaptive_scheduler.runs.views.status import RunSnapshot
from adaptive_scheduler.runs.views.tables import table

WIDTHS = (60, 80, 100, 200)
PHASES = (Phase.FAILED, Phase.RUNNING, Phase.QUEUED, Phase.DONE, Phase.CANCELLED)


def learners() -> RunSnapshot:
    """A run with long names, wide letters and long reasons."""
    items = [
        ItemView(
            n, f"/project/user/study/alpha_{n / 7:.12f}_温度_{'long' * 9}_seed_{n}.pickle",
            PHASES[n % 5], job=f"123456_{n}" if n % 5 == 1 else None, npoints=n * 1234, loss=0.5 / (n + 1),
            worked=n * 1000.0, points_per_second=1.5, cpu=99.0, memory=812.0, fails=int(n % 5 == 0),
            reason="ValueError: the matrix is singular, and a long text follows " * 3 if n % 5 == 0 else "",
            idle_since=700.0, stalled=n % 10 == 1,
        )
        for n in range(25)
    ]  # fmt: skip
    jobs = [
        JobRow(f"123456_{n}", "alpha_study_of_many", "RUNNING" if n < 3 else "PENDING",
               host=f"node{n:04d}.cluster.example.org" if n < 3 else "", item=n if n < 3 else None,
               silent=3.0 * (n < 3), waiting=n >= 3, reason="" if n < 3 else "(Resources)")
        for n in range(100)
    ]  # fmt: skip
    return RunSnapshot(
        run="ab12cd34", database=f"/project/user/{'deep/' * 20}db.tinydb", time=1_000_600.0,
        started=1_000_000.0, scheduler="slurm", manager="login1.cluster.example.org:77123",
        phases={"done": 5, "running": 5, "failed": 5, "queued": 5, "cancelled": 5}, finished=5,
        points=1, points_per_second=0.0, submitted=100, items=items, jobs=jobs,
        notes=["waiting: the batch system does not answer, and the manager asks again each minute"],
    )  # fmt: skip


def tasks() -> RunSnapshot:
    """A run of tasks with several pools."""
    pool = Pool(name="large_memory_pool", resources=Resources(cores=64, gpus=4, walltime=5400, partition="gpu"),
                max_jobs=30, accepts=["train", "evaluate"])  # fmt: skip
    return RunSnapshot(
        run="ab12cd34", database="/project/user/study/db.tinydb", time=1_000_600.0, kind="task",
        started=1_000_000.0, scheduler="slurm", manager="login1:77",
        phases={"done": 90_000, "running": 640, "failed": 25, "queued": 9_335},
        pools=[PoolState(pool, 10, 3, 640, 600, 640)],
        jobs=[JobRow(f"98765_{n}", state="RUNNING", host=f"node{n:04d}.cluster.example.org", silent=1.0,
                     tasks=64, cores=64, used=60) for n in range(10)],
        items=[ItemView(n, f"train {'x' * 90}", Phase.FAILED, reason="RuntimeError: " + "no " * 90)
               for n in range(20)],
        ended_by={"value": 90_000, "signal": 2, "timeout": 20}, ended_per_second=1234.5,
    )  # fmt: skip


def lines(view: object, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [*WIDTHS, 61, 73, 133])
@pytest.mark.parametrize("snapshot", [learners(), tasks()], ids=["learners", "tasks"])
def test_no_line_is_longer_than_the_terminal_is_wide(snapshot: RunSnapshot, width: int) -> None:
    found = lines(render.overview(snapshot, None), width)
    assert max(map(cell_len, found)) <= width
    assert max(map(cell_len, found)) > width // 2  # the room is used


@pytest.mark.parametrize("width", WIDTHS)
def test_each_learner_and_each_job_has_one_line(width: int) -> None:
    found = lines(render.overview(learners(), None), width)
    first, second = (n for n, line in enumerate(found) if line.startswith(("learners", "jobs")))
    assert found[first].startswith("learners in"), "what people look for first comes first"
    rows = found[first + 2 : second]
    assert sorted(int(row.split()[0]) for row in rows) == list(range(25))
    for row in rows:
        number = int(row.split()[0])
        assert re.search(rf"alp\S*_{number}\.pickle", row), "both ends of the name are there"
        assert PHASES[number % 5].value in row
    assert len(found[second + 2 :]) == 100


@pytest.mark.parametrize("width", WIDTHS)
def test_of_one_that_failed_the_reason_is_there_in_any_width(width: int) -> None:
    found = [line for line in lines(render.items_table(learners()), width) if "failed" in line]
    assert len(found) == 5
    assert all("ValueError: the" in line for line in found)


def test_more_width_shows_more_columns_and_never_fewer() -> None:
    heads = [
        set(lines(render.items_table(learners()), width)[1].split()) for width in range(60, 201)
    ]
    assert all(narrow <= wide for narrow, wide in itertools.pairwise(heads))
    assert heads[0] >= {"fname", "phase", "why"}
    assert heads[-1] >= {"job", "points", "loss", "MiB"}


def test_words_agree_with_numbers() -> None:
    snapshot = learners()
    assert render.jobs(snapshot) == "3 of 100 jobs running, 97 waiting"
    assert "1 point," in render.figures(snapshot)
    assert render.why(snapshot.items[0], snapshot.time).endswith(", 1 failure")


def test_columns_go_by_importance() -> None:
    names = ["fname", "phase", "job", "points", "MiB", "why"]
    widths = [column_width(name, 30 if name in ("fname", "why") else 8) for name in names]
    assert set(fit(widths, 200)) == set(range(6))
    assert [names[n] for n in sorted(fit(widths, 84))] == ["fname", "phase", "points", "why"]
    narrow = fit(widths, 40)
    assert [names[n] for n in sorted(narrow)] == ["fname", "phase", "why"]
    assert sum(narrow.values()) + 2 * GAP <= 40


def test_parameters_of_a_sweep_that_do_not_fit_are_left_out_from_the_right() -> None:
    names = ["task", *(f"parameter_{n}" for n in range(20))]
    view = table("", names, [[Text(f"{name}_value") for name in names]])
    found = lines(view, 80)
    assert found[0].split() == [
        "task",
        *(f"parameter_{n}" for n in range(len(found[0].split()) - 1)),
    ]
    assert max(map(len, found)) <= 80
    assert f"and {21 - len(found[0].split())} more columns" in found[-1]


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [("abc", 3, "abc"), ("abcdefghij", 7, "ab…ghij"), ("a\nb", 9, "a\\nb"), ("温度温度温度", 7, "温…温度"),
     ("abcdef", 2, "ab"), ("a\x1b[31mred", 20, "a\\x1b[31mred"), ("", 5, "")],
)  # fmt: skip
def test_a_text_is_shortened_in_its_middle(text: str, width: int, short: str) -> None:
    assert shorten(text, width) == short
    assert cell_len(short) <= width


def test_a_sentence_keeps_its_beginning() -> None:
    assert cut_end("the matrix is singular", 12) == "the matrix…"
    assert cut_end("short", 12) == "short"


def _luminance(colour: tuple[int, int, int]) -> float:
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("paper", [(255, 255, 255), (17, 17, 17)], ids=["light", "dark"])
def test_a_notebook_is_legible_in_the_light_and_in_the_dark_theme(
    paper: tuple[int, int, int],
) -> None:
    html = render.as_html(render.overview(learners()))
    found = {
        tuple(bytes.fromhex(one)) for one in re.findall(r"(?<![-\w])color: #([0-9a-f]{6})", html)
    }
    assert len(found) >= 4
    assert min(_contrast(one, paper) for one in found) >= 4  # type: ignore[arg-type]
    assert "background-color" not in html
    text = re.sub(r"<[^>]+>", "", html)
    assert max(map(cell_len, text.splitlines())) <= render.NOTEBOOK_WIDTH


@pytest.mark.parametrize(("columns", "width"), [("60", 60), (None, 200), ("100", 100)])
def test_the_output_is_as_wide_as_it_is_now(
    monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int
) -> None:
    """Not as when it was imported: a view of 80 columns went into a pipe as $COLUMNS had been set before."""
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setenv("COLUMNS", "80")
    made = _TerminalOutput()
    if columns is None:
        monkeypatch.delenv("COLUMNS")
    else:
        monkeypatch.setenv("COLUMNS", columns)
    assert made.width == width
