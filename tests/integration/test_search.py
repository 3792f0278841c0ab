"""Searches with real processes: their flow, their failures, what a kill leaves."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from adaptive_scheduler import Command, Executor, OptimizerLearner, Search, float_file, regex_value
from adaptive_scheduler.cli import app
from adaptive_scheduler.errors import InputError, RequestRefusedError, RunError, TaskError
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.scheduler import Here
from tests.contract.test_optimizers import theirs
from tests.effort import times
from tests.integration.search_driver import SPACE, N, learner
from tests.integration.test_driver_deaths import kill_all, wait_for

LINE = {"x": (0.0, 1.0)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OUTPUT", raising=False)
    yield tmp_path
    kill_all(tmp_path)


@pytest.fixture
def executor(home: Path) -> Iterator[Executor]:
    with Executor(Here(slots=4), folder="run") as executor:
        yield executor


def command_search(text, executor, n, *, value=None, space=LINE, **options):
    made = OptimizerLearner(Command(text, value=value or regex_value(r"value (\S+)")), space)
    return Search(made, executor, n, **options)


def ledger(home):
    path = home / "ledger"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


# ------------------------------------------------------------------- flow


def test_as_many_as_are_wanted_are_out_and_each_that_ends_is_replaced(executor, home):
    """Three at once, then four: what the programs themselves have noted.

    The first three wait for each other, and the next four, too: else some may have ended before others begin.
    """
    text = (
        "echo begun >> ledger; n={_index}; all=$(( n < 3 ? 3 : n < 7 ? 7 : 0 )); "
        "until test $(grep -c begun ledger) -ge $all; do sleep 0.05; done; "
        "echo ended >> ledger; echo value {x}"
    )
    outs = []
    outcome = command_search(
        text, executor, 15, initial=3, concurrency=4, on_event=lambda event: outs.append((event.kind, event.out))
    ).run()  # fmt: skip
    assert (outcome.done, outcome.failures) == (15, [])
    running, most = 0, 0
    for (word,) in ledger(home):
        running += 1 if word == "begun" else -1
        most = max(most, running)
    assert (most, running) == (4, 0)
    assert outs[:4] == [("issued", 1), ("issued", 2), ("issued", 3), ("done", 2)]
    assert max(out for _, out in outs) == 4
    kinds = Counter(kind for kind, _ in outs)
    assert kinds == {"issued": 15, "done": 15}


def test_each_task_writes_to_a_file_with_its_number(executor, home):
    command_search(
        "echo number {_index} of {x}; echo value $TASK_NUMBER", executor, 3, initial=2
    ).run()
    assert sorted(path.name for path in home.glob("*.txt")) == ["0000.txt", "0001.txt", "0002.txt"]
    assert (home / "0002.txt").read_text().startswith("number 2 of 0.")
    command_search(
        "echo value $TASK_NUMBER $PARALLELISM", executor, 2, output="out", name="other", log="log.{_index}"
    ).run()  # fmt: skip
    assert (home / "out" / "log.1").read_text() == "value 1 1\n"
    assert {row["name"] for row in executor.tasks(tag="other")} == {"other-0000", "other-0001"}


def test_the_output_is_that_of_the_environment(executor, home, monkeypatch):
    monkeypatch.setenv("OUTPUT", str(home / "there"))
    outcome = command_search(
        "echo {x} > $OUTPUT/v.{_index}", executor, 2, value=float_file("v.{_index}")
    ).run()
    assert outcome.done == 2
    assert sorted(path.name for path in (home / "there").glob("v*")) == ["v.0", "v.1"]


@pytest.mark.parametrize(
    ("program", "value"),
    [("echo {x} > $OUTPUT/v.{_index}", float_file("v.{_index}")), ("echo value {x}", regex_value(r"value (\S+)"))],
)  # fmt: skip
def test_an_output_has_the_values_of_one_search(executor, home, program, value):
    """Those of a second one took their places, and the first one read them when it was run again."""
    first = command_search(program, executor, 2, value=value, output="out").run()
    with pytest.raises(InputError, match=r"are those of the search 'search'.*Give another output"):
        command_search(program, executor, 2, value=value, output="out", name="other").run()
    assert [row["name"] for row in executor.tasks()] == ["search-0000", "search-0001"]
    again = command_search(program, executor, 2, value=value, output="out").run()
    assert (again.best, again.done) == (first.best, 2)
    claim = next((home / "out" / ".adaptive-scheduler").glob("*.values"))
    claim.write_text(claim.read_text().replace(str(executor.folder.home), str(home / "gone")))
    assert command_search(program, executor, 2, value=value, output="out", name="other").run().done
    with pytest.raises(InputError, match="are those of the search 'other'"):
        command_search(program, executor, 2, value=value, output="out").run()


def test_a_search_of_another_space_says_what_to_do(executor, home):
    command_search("echo value {x}", executor, 1).run()
    made = OptimizerLearner(Command("echo {y}", value=regex_value("(.*)")), {"y": (0, 1.0)})
    with pytest.raises(
        InputError, match=r"task 0 of the run .* is of another space.*Give the space"
    ):
        Search(made, executor, 2).run()


def test_a_function_is_called_by_name_and_what_it_prints_is_in_its_log(executor, home):
    def function(drop, batch_size):
        print("called with", batch_size)
        return drop

    made = OptimizerLearner(function, SPACE, seed=1)
    search = Search(made, executor, 5, initial=3)
    outcome = search.run()
    with pytest.raises(InputError, match="has been run"):
        search.run()
    parameters, value = outcome.best
    assert value == parameters["drop"] == min(made.data.values())
    assert (home / "0004.txt").read_text().startswith("called with ")


def test_the_first_ten_points_are_those_of_scikit_optimize_whatever_ends_first(executor, home):
    made, ended = learner(), []

    def note(event):
        ended.extend([event.number] if event.kind == "done" else [])
        if len(ended) == 5:  # all but those that are held: number 2 is one of them
            (home / "go").touch()

    outcome = Search(made, executor, N, output="out", on_event=note).run()
    assert [values for _, values in sorted(made.data)] == theirs(10)
    ends = [int(line[1]) for line in ledger(home) if line[0] == "ended"]
    assert ends != sorted(ends)
    assert sorted(ends) == list(range(N))
    assert outcome.done == N
    assert made.data == {x: pytest.approx(x[1][0]) for x in made.data}


def test_fault_47_slots_do_not_wait_for_a_slow_model(executor, home):
    """Each point takes the optimiser 0.15 s, each task 0.4 s: what follows an end was chosen before it."""

    class Slow:
        def __init__(self):
            self.n = self.chosen = 0

        def ask(self):
            self.n += 1
            if self.n > 4:
                time.sleep(0.15)
            self.chosen = self.n
            return [self.n / 100]

        def tell(self, point, value):
            pass

    slow, known, ready = Slow(), [], []

    def note(event):
        if event.kind == "done":
            known.append(slow.chosen)
        elif known:
            ready.append(round(event.parameters["x"] * 100) <= known[-1])

    text = "sleep 0.4; echo value 1"
    made = OptimizerLearner(Command(text, value=regex_value("value (.*)")), LINE, slow)
    Search(made, executor, 16, initial=2, on_event=note).run()
    assert len(ready) == 14
    assert ready.count(True) > 10, ready


# ------------------------------------------------------------------- failures


#: The others go on when the search knows of the failure: so none of them has ended before.
FAILING = (
    'echo begun >> ledger; echo hello; test {_index} != 2 || { echo "it hurts" >&2; %s; }; '
    "until test -e known; do sleep 0.05; done; echo value {x}"
)


def when_failed(event):
    """Let the others of `FAILING` go on."""
    if event.kind == "failed":
        Path("known").touch()


@pytest.mark.parametrize(
    ("how", "words"),
    [("exit 3", "3"), ("kill -9 $$", "SIGKILL"), ("echo value; exit 0", "matches"), ("echo value abc; exit 0", "no number"),
     ("echo value nan; exit 0", "not finite")],
)  # fmt: skip
def test_drain_issues_no_more_waits_and_says_why(how, words, executor, home):
    with pytest.raises(TaskError, match="number 2") as caught:
        command_search(FAILING % how, executor, 20, initial=4, on_event=when_failed).run()
    text = str(caught.value)
    assert [word for word in (words, "it hurts", "0002.txt") if word not in text] == []
    assert "on_failure='drain'" in text
    begun = 4 + (words == "SIGKILL")  # a program that was killed is tried once more
    assert len(ledger(home)) == begun
    states = Counter(row["state"] for row in executor.tasks())
    assert states in ({"done": 4}, {"done": 3, "failed": 1})


def test_a_task_that_takes_too_long_has_failed(executor, home):
    slow = command_search("sleep 60", executor.options(timeout=0.5), 3, initial=2)
    with pytest.raises(TaskError, match="number 0"):
        slow.run()


def test_a_value_that_is_missing_is_a_failure(executor, home):
    missing = command_search("true", executor, 3, initial=2, value=float_file("v-{_index}.txt"))
    with pytest.raises(TaskError, match=r"v-0\.txt cannot be read"):
        missing.run()


def test_a_function_that_raises_is_shown_with_its_traceback(executor, home):
    def function(x):
        print("so far so good")
        raise ValueError(f"not {x}")

    with pytest.raises(TaskError) as caught:
        Search(OptimizerLearner(function, LINE), executor, 3, initial=1).run()
    text = str(caught.value)
    wanted = ("ValueError: not 0.", "raise ValueError", "so far so good")
    assert [word for word in wanted if word not in text] == []


def test_continue_goes_on_and_tells_a_penalty_or_nothing(executor, home):
    outcome = command_search(
        FAILING % "exit 3", executor, 8, initial=4, on_failure="continue", penalty=9.0,
        on_event=when_failed,
    ).run()  # fmt: skip
    assert (outcome.done, [failure.number for failure in outcome.failures]) == (7, [2])
    assert outcome.failures[0].log == home / "0002.txt"
    with pytest.raises(InputError, match="penalty"):
        command_search("true", executor, 8, penalty=9.0)


def test_abort_cancels_what_is_out(executor, home):
    begun = time.monotonic()
    text = "test {_index} != 2 || { sleep 0.5; exit 3; }; sleep 600"
    with pytest.raises(TaskError, match="1 of 4 tasks of the search failed"):
        command_search(text, executor, 20, initial=4, on_failure="abort").run()
    assert time.monotonic() - begun < 200
    ended = {"failed": 1, "cancelled": 3}  # not all at once
    wait_for(lambda: Counter(row["state"] for row in executor.tasks()) == ended)


def test_a_search_that_was_stopped_goes_on_when_what_failed_is_tried_again(home):
    text = "test {_index} != 2 -o -e mended || exit 3; echo value {x}"
    for _ in range(2):  # run again without anything mended, it says the same
        with (
            Executor(Here(slots=2), folder="run") as executor,
            pytest.raises(TaskError, match="number 2"),
        ):
            command_search(text, executor, 6, initial=3).run()
    (home / "mended").touch()
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_scheduler.cli", "retry", "run"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with Executor(Here(slots=2), folder="run") as executor:
        assert command_search(text, executor, 6, initial=3).run().done == 6


# ------------------------------------------------------------------- refused


def test_a_task_that_no_slot_can_ever_hold_is_said_at_once(executor, home):
    from adaptive_scheduler import TaskResources

    big = executor.options(resources=TaskResources(threads_per_rank=64))
    with pytest.raises((TaskError, RequestRefusedError, InputError), match="64 cores"):
        command_search("echo value 1", big, 5).run()


def test_a_function_that_cannot_be_pickled_is_named(executor, home):
    lock = __import__("threading").Lock()

    def function(x):
        return lock

    with pytest.raises(Exception, match="lock"):
        Search(OptimizerLearner(function, LINE), executor, 3).run()


def test_another_space_is_refused_before_anything_is_issued(home):
    for low, n in ((0.0, 3), (5.0, 6)):
        with Executor(Here(slots=2), folder="run") as executor:
            again = command_search("echo value {x}", executor, n, space={"x": (low, low + 1)})
            if low:
                with pytest.raises(InputError, match="no point of this space"):
                    again.run()
            else:
                again.run()
            assert len(executor.tasks()) == 3


def test_the_same_search_runs_once_at_a_time(executor, home):
    inner = []

    def second(event):
        if not inner:
            inner.append(event)
            with pytest.raises(RunError, match="another process runs this search"):
                command_search("echo value {x}", executor, 2).run()

    command_search("echo value {x}", executor, 2, on_event=second).run()
    assert inner


def test_what_makes_no_search_is_refused(executor):
    made = OptimizerLearner(math.sqrt, LINE)
    for change in (
        {"learner": 3}, {"executor": 3}, {"max_tasks": 0}, {"initial": 0}, {"concurrency": -1}, {"on_failure": "x"},
        {"name": "a b"}, {"log": "same"}, {"ahead": -1},
    ):  # fmt: skip
        with pytest.raises(InputError):
            Search(**{"learner": made, "executor": executor, "max_tasks": 3, **change})


async def late(**_parameters):
    return 1.0


def test_an_async_function_is_refused(executor):
    with pytest.raises(InputError, match="async def, which cannot run as a task"):
        Search(OptimizerLearner(late, LINE), executor, max_tasks=3)


# ------------------------------------------------------------------- several nodes

OVER_NODES = """
space: {x: [1, 2, 3]}
value: {regex_value: 'value (\\S+)'}
points_init: 1
points_max: 2
job: {scheduler: slurm, cores: 4, walltime: 10m}
nodes: 2
"""
#: By the engine, once for each of its ranks; and once, whose program has two nodes for itself.
BY_ENGINE = """
task: "echo {_index} ${SLURM_PROCID:-$PMI_RANK} {_ranks} >> ledger; echo value {x}"
resources: {nodes: 2, ranks_per_node: 2}
concurrency: 1
"""
BY_ITSELF = """
task: "echo {_index} >> ledger; srun -N {_nodes} --ntasks-per-node=1 -w {_hosts} echo value {x}"
parallelism: 2
name: other
"""


@pytest.mark.slurm
@pytest.mark.parametrize(("how", "lines"), [(BY_ENGINE, 8), (BY_ITSELF, 2)])
def test_on_slurm_tasks_have_nodes_of_a_job(home, slurm, monkeypatch, how, lines):
    """`--nodes` and `--parallelism` were for nothing in jobs of its own, which had one node."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    (home / "search.yaml").write_text(OVER_NODES + how)
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_scheduler.cli", "search", "search.yaml"],
        cwd=home, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 tasks done, 0 failed" in done.stdout
    assert len(ledger(home)) == len(set(map(tuple, ledger(home)))) == lines


def test_a_folder_on_another_host_is_refused_before_anything_is_made(home):
    """It was taken for a path, and a folder ``ssh:`` made here."""
    (home / "search.yaml").write_text(
        "space: {x: [1, 2]}\ntask: 'echo value {x}'\nvalue: exit_code\npoints_max: 2"
    )
    done = CliRunner().invoke(app, ["search", "search.yaml", "--folder", "ssh://host/run"])
    assert (done.exit_code, "a search runs where its run is" in done.output) == (2, True)
    assert [path.name for path in home.iterdir()] == ["search.yaml"]


# ------------------------------------------------------------------- kills


def start(home):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.search_driver", os.fspath(home)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def head_of(driver):
    """The head that a driver has now, if any: it may just start it again."""
    for one in psutil.Process(driver.pid).children():
        with suppress(psutil.Error):  # it has ended
            if "head.head" in " ".join(one.cmdline()):
                return one.pid
    return None


def victim(kind, driver, home):
    if kind == "driver":
        return driver.pid
    if kind == "head":
        return wait_for(lambda: head_of(driver))
    return read_address(run_folder(home / "run", "search")).pid


@pytest.mark.parametrize("seed", range(times(2, 20)))
def test_a_search_whose_processes_are_killed_issues_the_same_points(seed, home):
    """Driver, and head or manager, in the middle of some tasks; what has ended is not run again."""
    draws = random.Random(seed)
    kinds = [
        "driver",
        ("head", "manager")[seed % 2],
        *draws.choices(["driver", "head"], k=seed // 2),
    ]
    driver, kills = start(home), []
    for kind in kinds:
        n = len(ledger(home))
        # without its manager a head goes on, and those that are held write nothing
        if kills[-1:] != ["manager"]:
            wait_for(lambda n=n: len(ledger(home)) > n + 1, 150)
        time.sleep(draws.uniform(0.0, 0.5))
        os.kill(victim(kind, driver, home), signal.SIGKILL)
        kills.append(kind)
        if kind == "driver":
            driver.communicate(timeout=150)
            driver = start(home)
    (home / "go").touch()
    printed, _ = driver.communicate(timeout=150)
    assert driver.returncode == 0, printed
    assert printed.splitlines()[-1].startswith(f"{N} ")
    lines = [(word, int(n), float(drop), int(size)) for word, n, drop, size in ledger(home)]
    assert sorted({line[1:] for line in lines}) == [
        (n, *values) for n, values in enumerate(theirs(10))
    ]
    begun = Counter(line[1] for line in lines if line[0] == "begun")
    print(f"seed {seed}: killed {kills}, begun again: {begun.total() - N}")
    assert 1 <= begun.total() - N <= 4 * len(kills)
    ended = Counter(line[1] for line in lines if line[0] == "ended")
    assert ended.total() <= N + 4 * len(kills) - 1
