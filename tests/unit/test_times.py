"""Lengths of time: one grammar, in which SLURM's forms mean what SLURM means."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.commandline.input.scheduler import make_scheduler
from adaptive_scheduler.commandline.input.values import parse_goal_text
from adaptive_scheduler.commandline.input.values import seconds as typed_seconds
from adaptive_scheduler.core.goals import Goal, parse_goal
from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.resources import parse_walltime
from adaptive_scheduler.core.times import parse_text, seconds
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.evaluation.options import RunnerOptions
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm import SLURM

#: Options of a run that are lengths of time.
TIMES = ("log_interval", "save_interval", "points_interval", "interval", "client_patience")
#: What `sbatch --time=TEXT` of Slurm 22.05 gave the job as its TimeLimit, in seconds
#: (tests/integration/test_slurm_cluster.py asks it again).
SLURM_TIMES = {
    "30:00": 1800, "90:00": 5400, "12:00:00": 43200, "100:00:00": 360000, "01:05:00": 3900,
    "0-03": 10800, "0-03:00": 10800, "1-12:30": 131400, "2-00:00:00": 172800, "1-30": 194400,
    "1:90:00": 9000, "1-3:90": 102600,
}  # fmt: skip
WITH_UNITS = {
    "90s": 90, "90m": 5400, "12h": 43200, "2d": 172800, "1h30m": 5400, "1d 12h": 129600,
    "1.5h": 5400, "2 days": 172800, "1 hour 5 minutes": 3900, "10 min": 600, " 12H ": 43200,
    "0.5 s": 0.5, "1d1h1m1s": 90061,
}  # fmt: skip
NONSENSE = [
    "", " ", "soon", "90", "1.5", "-5m", "12:", ":30", "::", "1:2:3:4", "1-2:3:4:5", "1-", "-3",
    "1h 2h", "30m 1h", "12h!", "1w", "h", "1e3s", "1_000s", "\N{ARABIC-INDIC DIGIT ONE}h", "12:00h", "UNLIMITED", "nan",
    "inf", "0", "0:00", "0m", "9" * 400 + "h", "12 00:00", "1:-5", "5:00\nrm", True, None, np.timedelta64(5, "s"), np.timedelta64(5, "ns"), [60],
    b"12h", 0, -1, float("nan"), float("inf"), 10**400, timedelta(0), timedelta(hours=-1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "length"), [*SLURM_TIMES.items(), *WITH_UNITS.items()])
def test_a_text_means_the_same_time_everywhere(text: str, length: float) -> None:
    assert seconds(text, "t") == typed_seconds(text, "--t") == length
    assert parse_walltime(text) == -(-length // 1)
    for scheduler in (SLURM, PBS):
        assert scheduler(cores=1, walltime=text).shapes(1)[0][0].walltime == -(-length // 1)
    typed = make_scheduler({"scheduler": "slurm", "cores": 1, "walltime": text})
    assert typed.shapes(1)[0][0].walltime == -(-length // 1)
    options = RunOptions(point_timeout=text, **dict.fromkeys(TIMES, text))
    assert {getattr(options, name) for name in ("point_timeout", *TIMES)} == {length}
    assert parse_goal(text) == Goal("duration", length)
    assert parse_goal_text(text) == timedelta(seconds=length)
    assert RunnerOptions(grace=text).grace == length  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [90, 90.0, np.int64(90), np.float32(90), timedelta(seconds=90)])
def test_a_number_is_seconds(value: Any) -> None:
    assert seconds(value, "t") == 90
    assert parse_walltime(value) == 90


def test_a_bare_number_typed_as_an_option_is_seconds_but_no_walltime() -> None:
    assert typed_seconds("90", "--save-interval") == typed_seconds(" 1.5m", "--t") == 90
    with pytest.raises(InputError, match=r"--walltime.*'90m' or '90s'"):
        parse_walltime("90", "--walltime")


@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_is_refused_with_the_forms_that_are_accepted(value: Any) -> None:
    with pytest.raises(InputError, match=r"the name=.*(12h|longer than zero|must have an end)"):
        seconds(value, "the name")
    for name in TIMES:
        with pytest.raises(InputError, match=name):
            RunOptions(**{name: value})
    if value is not None:
        with pytest.raises(InputError, match="walltime="):
            SLURM(cores=1, walltime=value)


def test_zero_is_a_grace_but_no_walltime() -> None:
    assert seconds(0, "t", zero=True) == seconds("0:00", "t", zero=True) == 0
    assert RunnerOptions(grace=0).grace == 0


@pytest.mark.parametrize("value", ["0", "0.0", 0, "0:00"])
def test_a_walltime_of_zero_is_no_walltime(value: Any) -> None:
    """SLURM reads it as no limit; minutes or seconds are not the question."""
    with pytest.raises(
        InputError, match=r"walltime=.* must be longer than zero seconds: leave it out for no limit"
    ):
        SLURM(cores=1, walltime=value)
    with pytest.raises(InputError, match=r"save_interval=.* must be longer than zero seconds.$"):
        RunOptions(save_interval=value)


whole = st.integers(0, 400)


@given(whole, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_all_ways_to_write_one_time_agree(days: int, hours: int, minutes: int, rest: int) -> None:
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=rest).total_seconds()
    texts = [
        f"{days}-{hours:02}:{minutes:02}:{rest:02}", f"{days}d{hours}h{minutes}m{rest}s",
        f"{days * 24 + hours}:{minutes:02}:{rest:02}", f"{int(length) // 60}:{rest:02}",
        f"{days} days {hours} hours {minutes} min {rest} sec", f"{int(length)}s",
    ]  # fmt: skip
    assert [parse_text(text) for text in texts] == [length] * len(texts)
    whole_minutes = f"{days}-{hours}:{minutes}"
    assert parse_text(whole_minutes) == length - rest


@given(st.text(alphabet="0123456789.:-dhms _+e", max_size=9))
def test_every_text_is_a_time_or_an_input_error(text: str) -> None:
    try:
        length = seconds(text, "t")
    except InputError:
        return
    assert length > 0
    assert not text.strip().replace(".", "").isdigit()
