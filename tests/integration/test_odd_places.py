"""Odd nodes, odd words, and what several notebooks do to one folder."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import adaptive

from tests.integration.accidents import Accidents
from tests.integration.test_field_faults import square

ROOT = Path(__file__).parents[2]


def test_a_node_without_a_locale_a_home_and_a_folder_for_temporary_files(
    accidents: Accidents,
) -> None:
    """Without a UTF-8 locale, Python would know no file of such a name."""
    bare = "export LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 HOME=/dev/null/x TMPDIR=/no/such"
    accidents.folder /= "dätä 'ü'\n漢字"
    run = accidents.make(
        [adaptive.Learner1D(partial(square, seconds=0), (-1, 1)) for _ in range(2)], {"setup": bare}
    )
    run.start()
    assert run.wait(200).phases == {"done": 2}
    run.load_learners(progress=False)
    assert all(learner.npoints >= 20 for learner in run.learners)


def raises_half_a_character(x):
    raise FileNotFoundError("no file \udcff\udcfe, no \ud800, \0, \x1b[2J")


def raises_a_whole_array(x):
    raise ValueError("begin" + "0.0 " * 8_000_000 + "end")


def test_words_that_no_message_can_hold_fail_their_learner_and_nothing_else(
    accidents: Accidents,
) -> None:
    functions = [raises_half_a_character, raises_a_whole_array, partial(square, seconds=0)]
    run = accidents.make(
        [adaptive.Learner1D(function, (-1, 1)) for function in functions], max_fails=0
    )
    run.start()
    assert run.wait(200).phases == {"failed": 2, "done": 1}
    half, whole, _ = run.snapshot("all").items
    assert [half.fails, half.crashes, whole.fails, whole.crashes] == [1, 0, 1, 0]
    assert r"no file \udcff\udcfe, no \ud800, \x00, \x1b[2J" in half.reason
    assert "raises_half_a_character" in half.traceback
    assert "letters are left out" in whole.reason
    assert "raises_a_whole_array" in whole.traceback
    assert len(whole.reason) + len(whole.traceback) < 300_000


STARTS = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.integration.accidents import Accidents
from tests.integration.test_field_faults import square
import adaptive
from functools import partial
from pathlib import Path
one = Accidents(Path(sys.argv[1]))
slow = partial(square, seconds=0.02)
run = one.make([adaptive.Learner1D(slow, (-1, 1)) for _ in range(3)], goal=40)
run.start()
print(run.wait(200).phases, run.snapshot().submitted)
"""


def test_three_notebooks_that_start_one_run_at_once_share_it(
    accidents: Accidents, tmp_path: Path
) -> None:
    """In the field: one finds half a run and fails, or another sees a dead manager."""
    run = accidents.make([adaptive.Learner1D(square, (-1, 1))])  # only to be ended
    notebooks = [
        subprocess.Popen(
            [sys.executable, "-c", STARTS, str(tmp_path), str(ROOT)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    said = [notebook.communicate(timeout=250)[0] for notebook in notebooks]
    assert [notebook.returncode for notebook in notebooks] == [0] * 3, said
    assert {text.splitlines()[-1] for text in said} == {"{'done': 3} 2"}, said
    assert run.snapshot("all").items[0].attempts == 1
