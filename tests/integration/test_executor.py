"""`Executor` on this machine: real manager, head, agent and workers."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import pytest

from adaptive_scheduler import (
    Command,
    Executor,
    TaskResources,
    exit_code,
    float_file,
    json_value,
    regex_value,
)
from adaptive_scheduler.core.wire.messages import Stop
from adaptive_scheduler.core.wire.tasks import EndKind, LastTry, NewTask, TaskResult
from adaptive_scheduler.errors import (
    FileError,
    InputError,
    RequestRefusedError,
    TaskError,
    UnpicklableError,
)
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.runs.driver import outbox
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.settings import Settings
from adaptive_scheduler.runs.driver.start_run import has_manager, is_closed, start_run
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.scheduler import Here

PATIENCE = 120.0


def double(x: Any) -> Any:
    return 2 * x


def one_try(number: int) -> bytes:
    last = LastTry(f"here:host:{number}", "host", 4242, EndKind.VALUE, 2**30, 1.7e9, 1.7e9, 0.5)
    return msgspec.msgpack.encode(last)


class Unloadable:
    def __reduce__(self) -> Any:
        return int, ("no number",)


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with Executor(Here(slots=2), folder=tmp_path_factory.mktemp("executor") / "run") as made:
        made.submit(double, 1).result(PATIENCE)
        yield made


def test_it_says_what_it_is(executor: Executor) -> None:
    assert re.fullmatch(
        rf"<Executor of {executor.folder.home} on Here\(slots=2, gpus=\[\]\): 0 tasks have not ended>",
        repr(executor),
    )


def test_many_calls_come_back_in_their_order(executor: Executor) -> None:
    futures = executor.submit_many(double, range(3000))
    assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(3000)]
    assert [future.args for future in futures[:2]] == [(0,), (1,)]


def test_what_this_machine_can_never_hold_is_refused_with_the_numbers(executor: Executor) -> None:
    """The others of the same message are unharmed."""
    wide = executor.options(resources=TaskResources(threads_per_rank=64))
    futures = [
        wide.submit(double, 1) if n % 10 == 5 else executor.submit(double, n) for n in range(50)
    ]
    for n, future in enumerate(futures):
        if n % 10 == 5:
            with pytest.raises(RequestRefusedError, match=r"64 cores.*\(2 cores"):
                future.result(PATIENCE)
        else:
            assert future.result(PATIENCE) == 2 * n


@pytest.mark.parametrize(
    ("needs", "text"),
    [
        (TaskResources(nodes=2), r"2 nodes.*\(2 cores"),
        (TaskResources(gpus_per_rank=1), r"1 x 1 GPUs.*\(2 cores"),
        (TaskResources(memory="100TB"), r"e\+05 GiB.*\(2 cores, .* GiB"),  # type: ignore[arg-type]
    ],
)
def test_nodes_gpus_and_memory_that_this_machine_lacks_are_refused(
    executor: Executor, needs: TaskResources, text: str
) -> None:
    with pytest.raises(RequestRefusedError, match=text):
        executor.options(resources=needs).submit(double, 1).result(PATIENCE)


def test_what_was_submitted_before_the_head_was_there_fails_with_the_numbers(
    tmp_path: Path,
) -> None:
    with Executor(Here(slots=1), folder=tmp_path / "run") as executor:
        wide = executor.options(resources=TaskResources(threads_per_rank=64)).submit(double, 1)
        assert executor.submit(double, 1).result(PATIENCE) == 2
        with pytest.raises((TaskError, RequestRefusedError), match="64 cores"):
            wide.result(PATIENCE)


def test_a_call_may_wait_for_calls_of_the_same_function(tmp_path: Path) -> None:
    """Mostly short, so that others are held ahead behind it; then it waits for these."""

    def tree(depth: int) -> int:
        if depth == 0:
            return 1
        inner = Executor.attach()
        try:
            return sum(one.result(PATIENCE) for one in inner.submit_many(tree, [depth - 1] * 6))
        finally:
            inner.shutdown()

    with Executor(Here(slots=2), folder=tmp_path / "run") as executor:
        assert sum(f.result(PATIENCE) for f in executor.submit_many(tree, [0] * 40)) == 40
        assert executor.submit(tree, 1).result(PATIENCE) == 6


def test_a_key_is_run_once(executor: Executor) -> None:
    keyed = executor.options(key="once", tag="keyed")
    futures = [keyed.submit(double, 4), keyed.submit(double, 4)]
    assert [future.result(PATIENCE) for future in futures] == [8, 8]
    late = keyed.submit(double, 4)  # its end was collected long ago
    assert late.result(PATIENCE) == 8
    assert len({future.task for future in (*futures, late)}) == 1
    assert [row["state"] for row in executor.tasks(tag="keyed")] == ["done"]


def test_a_task_waits_for_others(executor: Executor) -> None:
    first = executor.submit(double, 1)
    assert executor.options(after=[first]).submit(double, 2).result(PATIENCE) == 4
    bad = executor.submit(divmod, 1, 0)
    waits = executor.options(after=[bad]).submit(double, 2)
    with pytest.raises(TaskError, match=r"depends on task \d+, which failed"):
        waits.result(PATIENCE)


def test_a_task_on_its_way_has_a_state_that_the_table_knows() -> None:
    first: TaskFuture[Any] = TaskFuture(None, (), {}, Settings())
    after: TaskFuture[Any] = TaskFuture(None, (), {}, Settings(after=(first,)))
    assert (first.state, after.state) == ("queued", "waiting")


def test_running_and_waiting_tasks_are_cancelled(executor: Executor, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def sleep() -> None:
        begun.touch()
        time.sleep(1000)

    futures = [executor.submit(sleep) for _ in range(5)]
    end = time.monotonic() + PATIENCE
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert all(future.cancel() for future in futures)
    with pytest.raises(CancelledError):
        futures[0].result()
    assert executor.submit(double, 1).result(PATIENCE) == 2  # the slots are free again


def test_what_cannot_be_pickled_is_named_and_harms_no_other(executor: Executor) -> None:
    good, bad = executor.submit(double, 1), executor.submit(double, threading.Lock())
    assert good.result(PATIENCE) == 2
    with pytest.raises(UnpicklableError, match="argument 0"):
        bad.result(0)
    lock = threading.Lock()
    with pytest.raises(UnpicklableError, match="function"):
        executor.submit(lambda: lock).result(0)


def test_a_value_that_cannot_be_loaded_here(executor: Executor) -> None:
    with pytest.raises(UnpicklableError, match="cannot be loaded here"):
        executor.submit(Unloadable).result(PATIENCE)


def test_a_dead_worker_is_the_end_of_its_task(executor: Executor) -> None:
    with pytest.raises(TaskError):
        executor.submit(os._exit, 3).result(PATIENCE)
    assert executor.submit(double, 1).result(PATIENCE) == 2


def test_as_completed_takes_n_and_removes_them(executor: Executor) -> None:
    futures = executor.submit_many(double, range(10))
    executor.update_priorities(futures, range(10))
    assert len(list(executor.as_completed(futures, n=4, pop=True))) == 4
    assert len(futures) == 6


def test_commands(executor: Executor) -> None:
    odd = "a b'; exit 9 #"
    run = executor.submit(Command("echo {x} > out", value=lambda o: o.read("out")), x=odd)
    assert run.result(PATIENCE) == odd + "\n"
    assert run.folder is not None
    assert executor.submit(Command("echo v={x}", value=regex_value("v=(.*)")), x=2.5).result(
        PATIENCE
    ) == pytest.approx(2.5)
    steps = Command({"a": "echo 3 > r", "b": ["cp", "{_param_file}", "p"]}, value=json_value("p"))
    assert executor.submit(steps, y=[1]).result(PATIENCE) == {"y": [1]}
    number = Command("echo {x} > r", value=float_file("r"))
    assert executor.submit(number, x=3).result(PATIENCE) == 3
    with pytest.raises(TaskError, match="status 3"):
        executor.submit(Command("exit 3")).result(PATIENCE)
    assert executor.submit(Command("exit 0", value=exit_code)).result(PATIENCE) == 0
    assert executor.submit(Command("exit 3", value=exit_code)).result(PATIENCE) == 3
    with pytest.raises(InputError, match="no parameter"):
        executor.submit(Command("echo {y}"), x=1)


ODD = [
    "two words", "$HOME ${HOME} $(id) `id`", "it's \"quoted\" \\ \\n", "line\nline", "; exit 9 #", "*", "~",
    "-n", "", "{x} {{x}} %s", "tab\there", "é ☃",
]  # fmt: skip


def test_parameters_reach_a_program_as_they_are(executor: Executor) -> None:
    """In a text for the shell, in an argument list, in the file of parameters, and in the name."""
    code = "import sys, json; json.dump(sys.argv[1:], open('r', 'w'))"
    text = Command(f"python3 -c {shlex.quote(code)} {{x}} a{{x}}b", value=json_value("r"))
    listed = Command(["python3", "-c", code, "{x}", "a{x}b"], value=json_value("r"))
    file = Command("cp {_param_file} r", value=json_value("r", "x"))
    named = Command("printf '%s' {_name} > r", value=lambda output: output.read("r"))
    for command, wanted in (
        (text, [[odd, f"a{odd}b"] for odd in ODD]),
        (listed, [[odd, f"a{odd}b"] for odd in ODD]),
        (file, ODD),
    ):
        futures = executor.submit_many(command, [{"x": odd} for odd in ODD])
        assert [future.result(PATIENCE) for future in futures] == wanted
    futures = [executor.options(name=odd).submit(named) for odd in ODD]
    assert [future.result(PATIENCE) for future in futures] == ODD


def test_inputs_are_copied_into_a_folder_with_a_blank_in_its_name(
    executor: Executor, tmp_path: Path
) -> None:
    inputs = tmp_path / "my inputs"
    inputs.mkdir()
    (inputs / "base.dat").write_text("5")
    command = Command("cat 'my inputs/base.dat' > r", value=float_file("r"), inputs=[inputs])
    future = executor.submit(command)
    assert future.result(PATIENCE) == 5
    assert future.read("my inputs/base.dat") == "5"
    with pytest.raises(InputError, match="does not exist"):
        Command("true", inputs=[tmp_path / "missing"])


def test_large_files_are_linked(executor: Executor, tmp_path: Path) -> None:
    large = tmp_path / "large file"
    large.write_text("5")
    command = Command("cat 'large file' > r", value=float_file("r"), links=[large])
    future = executor.submit(command)
    assert future.result(PATIENCE) == 5
    assert future.folder is not None
    assert (future.folder / "large file").readlink() == large
    with pytest.raises(InputError, match="two are called 'large file'"):
        Command("true", inputs=[large], links=[large])
    with pytest.raises(InputError, match="must be a list of files: links="):
        Command("true", links=str(large))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="missing does not exist"):
        executor.submit(Command("true", links=[tmp_path / "missing"]))


def test_errors_of_commands_name_what_is_known(executor: Executor) -> None:
    with pytest.raises(TaskError, match="no-such-program: No such file"):
        executor.submit(Command(["no-such-program", "1"])).result(PATIENCE)
    killed = executor.submit(Command("kill -KILL $$"))
    with pytest.raises(TaskError) as caught:
        killed.result(PATIENCE)
    head = executor._closing.heads[0].name
    for fact in (f"task {killed.task}", f"job {head}", f"node {socket.gethostname()}",
                 "signal SIGKILL", "GiB of memory", str(killed.log)):  # fmt: skip
        assert fact in str(caught.value)
    empty = executor.submit(Command("echo nothing > r", value=float_file("r")))
    with pytest.raises(
        TaskError, match=rf"task {empty.task or ''}.*status 0, but r holds no number"
    ) as seen:
        empty.result(PATIENCE)
    assert str(empty.folder) in str(seen.value)
    odd = executor.submit(Command("true", value=lambda output: output.missing))
    with pytest.raises(AttributeError) as raised:
        odd.result(PATIENCE)
    assert f"task {odd.task}" in "".join(raised.value.__notes__)
    slow = executor.options(timeout=0.2).submit(Command("sleep 100"))
    with pytest.raises(TaskError, match=r"timeout of 0\.2 ?s"):
        slow.result(PATIENCE)


def test_one_bad_task_of_many_does_not_hinder_the_others(executor: Executor) -> None:
    lock = threading.Lock()
    futures = executor.submit_many(double, [1, lock, 3])
    assert [futures[0].result(PATIENCE), futures[2].result(PATIENCE)] == [2, 6]
    with pytest.raises(UnpicklableError, match="argument 0"):
        futures[1].result(0)
    echo = Command("echo {x}", value=exit_code)
    mixed = executor.submit_many(echo, [{"x": 1}, {"y": 1}, 5])
    assert mixed[0].result(PATIENCE) == 0
    with pytest.raises(InputError, match="no parameter"):
        mixed[1].result(0)
    with pytest.raises(InputError, match="dict of parameters"):
        mixed[2].result(0)


def test_a_value_that_cannot_be_pickled_and_one_that_is_large(executor: Executor) -> None:
    with pytest.raises(UnpicklableError, match="cannot be pickled"):
        executor.submit(threading.Lock).result(PATIENCE)
    data = os.urandom(3 * 2**20)
    assert executor.submit(bytes.upper, data).result(PATIENCE) == data.upper()


def test_what_is_known_of_a_task_while_it_runs_and_afterwards(
    executor: Executor, tmp_path: Path
) -> None:
    begin = time.time()
    go = tmp_path / "go"

    def wait(what: str) -> str:
        while not go.exists():
            time.sleep(0.01)
        return what

    future = executor.options(tag="known", priority=2.0, name="a name").submit(wait, "x")
    until(lambda: future.pid is not None)
    head = executor._closing.heads[0].name
    assert (future.state, future.job, future.node) == ("running", head, socket.gethostname())
    pid = future.pid
    assert pid is not None
    os.kill(pid, 0)
    (row,) = executor.tasks(tag="known")
    assert (row["state"], row["pid"], row["ended"]) == ("running", pid, None)
    assert future.running()
    go.touch()
    assert future.result(PATIENCE) == "x"
    assert (future.state, future.attempts, future.job, future.pid) == ("done", 1, head, pid)
    assert not future.running()
    assert future.seconds is not None
    assert (future.priority, future.tag, future.args) == (2.0, "known", ("x",))
    (row,) = executor.tasks(state="done", tag="known")
    times = [row[name] for name in ("created", "handed_out", "begun", "ended", "collected")]
    assert times == sorted(times)
    assert begin <= times[0]
    assert times[-1] <= time.time()
    assert (row["name"], row["job"], row["node"]) == ("a name", head, socket.gethostname())
    with pytest.raises(InputError, match="no such state"):
        executor.tasks(state="finished")


def test_the_best_goes_first_also_after_a_change(executor: Executor, tmp_path: Path) -> None:
    go, order = tmp_path / "go", tmp_path / "order"

    def wait() -> None:
        while not go.exists():
            time.sleep(0.01)

    def note(n: int) -> None:
        with order.open("a") as file:
            file.write(f"{n}\n")
        time.sleep(0.2)  # no longer short, so that none is handed out ahead

    whole = executor.options(resources=TaskResources(threads_per_rank=2))
    waits = whole.submit(wait)
    while waits.state != "running":
        time.sleep(0.01)
    futures = [whole.options(priority=n).submit(note, n) for n in range(4)]
    futures[0].priority = 10
    executor.update_priorities(futures[1:3], [7, 8])
    until(lambda: priorities(executor, futures) == [10, 7, 8, 3])  # all are on their way until then
    go.touch()
    waits.result(PATIENCE)
    for future in futures:
        future.result(PATIENCE)
    assert order.read_text().split() == ["0", "2", "1", "3"]
    with pytest.raises(InputError, match="priorities"):
        executor.update_priorities(futures, [1])


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def priorities(executor: Executor, futures: list[TaskFuture[Any]]) -> list[float]:
    """Those that the run knows, of those tasks that it has."""
    known = {row["task"]: row["priority"] for row in executor.tasks()}
    return [known[future.task] for future in futures if future.task in known]


def test_a_task_is_tried_again_as_often_as_it_may_be(executor: Executor, tmp_path: Path) -> None:
    tries = tmp_path / "tries"

    def fail() -> int:
        with tries.open("a") as file:
            file.write("x")
        if len(tries.read_text()) < 3:
            raise ValueError("too early")
        return 5

    future = executor.options(retries=2).submit(fail)
    assert future.result(PATIENCE) == 5
    assert future.attempts == 3


def test_how_often_a_task_may_die_and_when_it_is_tried_again(
    executor: Executor, tmp_path: Path
) -> None:
    tries = tmp_path / "tries"

    def die_once() -> float:
        if not tries.exists():
            tries.write_text(str(time.time()))
            os._exit(3)
        return time.time() - float(tries.read_text())

    deadly = executor.options(retries=5, max_crashes=0).submit(os._exit, 3)
    late = executor.options(delay=1.5).submit(die_once)
    assert late.result(PATIENCE) >= 1.5
    assert late.attempts == 2
    assert deadly.exception(PATIENCE) is not None
    assert deadly.attempts == 1


def test_asyncio_waits_for_tasks(executor: Executor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        wrapped = [asyncio.wrap_future(executor.submit(double, n)) for n in range(3)]
        return [*await asyncio.gather(*wrapped), await loop.run_in_executor(executor, double, 9)]

    assert asyncio.run(main()) == [0, 2, 4, 18]


def test_a_runner_of_adaptive_runs_on_it(executor: Executor) -> None:
    learner = adaptive.Learner1D(double, (-1, 1))
    adaptive.BlockingRunner(learner, npoints_goal=20, executor=executor, ntasks=2)
    assert learner.npoints >= 20
    assert all(value == 2 * x for x, value in learner.data.items())


def test_attach_has_all_of_another_day(executor: Executor, tmp_path: Path) -> None:
    """Results, arguments, errors, the values and parameters of commands; in another process too."""
    call = executor.options(key="attached").submit(pow, 3, 2)
    named = executor.submit(dict, a=1)
    command = executor.submit(Command("echo {x} > r", value=float_file("r")), x=2.5)
    plain = executor.submit(Command("echo v={x}", value=regex_value("v=(.*)")), x="a b")
    bad = executor.submit(divmod, 1, 0)
    values = [future.result(PATIENCE) for future in (call, named, command, plain)]
    assert isinstance(bad.exception(PATIENCE), ZeroDivisionError)
    ids = [one.task for one in (call, named, command, plain, bad)]
    code = """
import sys, pickle
from adaptive_scheduler import Executor
folder, out, *ids = sys.argv[1:]
again = Executor.attach(folder)
found = {future.task: future for future in again.futures}
mine = [found[int(one)] for one in ids]
bad = mine.pop()
facts = [[one.result(100) for one in mine], [(one.args, one.kwargs) for one in mine],
         [one.state for one in mine], repr(bad.exception(100)), bad.args]
again.shutdown()
open(out, "wb").write(pickle.dumps(facts))
"""
    out = tmp_path / "out"
    subprocess.run(
        [sys.executable, "-c", code, os.fspath(executor.folder.home), os.fspath(out), *map(str, ids)],
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    found = pickle.loads(out.read_bytes())
    assert found[0] == values == [9, {"a": 1}, 2.5, "a b"]
    assert found[1] == [((3, 2), {}), ((), {"a": 1}), ((), {"x": 2.5}), ((), {"x": "a b"})]
    assert found[2] == ["done"] * 4
    assert found[3].startswith("ZeroDivisionError")
    assert found[4] == (1, 0)
    assert executor.submit(double, 1).result(PATIENCE) == 2


def test_futures_of_an_executor_that_was_shut_down_come_from_the_disk(tmp_path: Path) -> None:
    """Each time they are asked for: ends of all kinds."""
    with Executor(Here(slots=1), folder=tmp_path / "run") as executor:
        executor.submit_many(abs, [-1, b"x" * 10, -3])
    for _ in range(2):
        first, bad, third = executor.futures
        assert (first.result(0), third.result(0), third.args) == (1, 3, (-3,))
        with pytest.raises(TypeError, match="abs"):
            bad.result(0)
        assert [one.state for one in executor.futures] == ["done", "failed", "done"]


def test_a_closed_run_is_opened_again_and_only_its_manager_reads_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that reads a million rows too takes as long again, and the memory twice."""
    with Executor(Here(slots=1), folder=tmp_path / "run") as executor:
        executor.submit(double, 1).result(PATIENCE)
    folder = executor.folder
    assert is_closed(folder)
    deadline = time.monotonic() + PATIENCE
    while has_manager(folder) and time.monotonic() < deadline:
        time.sleep(0.02)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the driver has opened the database")

    monkeypatch.setattr(Database, "__init__", refuse)
    start_run(folder, "tasks")
    try:
        assert has_manager(folder)  # it stays, although all tasks have ended
        assert not is_closed(folder)  # on disk too: of what has answered, all is
    finally:
        with ManagerClient(folder) as viewer:
            viewer.ask(Stop())


def test_attach_takes_part_in_what_still_runs(executor: Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def wait() -> int:
        while not go.exists():
            time.sleep(0.01)
        return 7

    first = executor.submit(wait)
    while first.task is None:
        time.sleep(0.01)
    other = Executor.attach(executor.folder.home)
    mine = next(one for one in other.futures if one.task == first.task)
    after = other.options(after=[mine]).submit(double, 4)
    assert not mine.done()
    go.touch()
    assert (first.result(PATIENCE), mine.result(PATIENCE), after.result(PATIENCE)) == (7, 7, 8)
    other.shutdown()
    with pytest.raises(InputError, match="there is no run"):
        Executor.attach(tmp_path / "nowhere")


def test_functions_of_drivers_in_different_folders_run_each_in_its_own(
    executor: Executor, tmp_path: Path
) -> None:
    """In one worker, one after the other."""
    other = tmp_path / "a folder"
    other.mkdir()
    key = "where it runs"
    text = f"""
import os
from adaptive_scheduler import Executor
executor = Executor.attach({os.fspath(executor.folder.home)!r})
print(executor.options(key={key!r}).submit(lambda: os.getcwd()).result({PATIENCE}))
executor.shutdown()
"""
    mine = [os.getcwd()] * 8

    def where(number: int) -> str:
        return os.getcwd()

    def here() -> list[str]:
        return [one.result(PATIENCE) for one in executor.submit_many(where, range(8))]

    assert here() == mine
    found = subprocess.run(
        [sys.executable, "-c", text], cwd=other, capture_output=True, text=True, check=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert found.stdout.strip() == os.path.realpath(other)
    assert here() == mine


def test_two_drivers_on_one_run(executor: Executor) -> None:
    other = Executor.attach(executor.folder.home)
    mine, theirs = executor.submit_many(double, range(300)), other.submit_many(double, range(300))
    assert [one.result(PATIENCE) for one in mine] == [one.result(PATIENCE) for one in theirs]
    assert not {one.task for one in mine} & {one.task for one in theirs}
    other.shutdown()


def test_a_broken_conversation_ends_all_futures(executor: Executor, tmp_path: Path) -> None:
    other = Executor.attach(executor.folder.home)
    go = tmp_path / "go"
    waiting = other.submit(wait_for, str(go))
    try:
        other._book.broken(FileError(executor.folder.keys, "is gone."))
        with pytest.raises(FileError):
            waiting.result(PATIENCE)
        with pytest.raises(BrokenExecutor, match="is gone"):
            other.submit(double, 1)
        other.shutdown()
    finally:
        go.touch()


def test_a_full_outbox_makes_submit_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 3)
    box = outbox.Outbox()
    put: list[int] = []

    def fill() -> None:
        for n in range(10):
            future = TaskFuture(None, (n,), {}, Settings())
            box.put(outbox.Outgoing(NewTask(b""), TaskResources(), (), future))
            put.append(n)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    taken: list[Any] = []
    while len(taken) < 10:
        got = box.take()
        assert isinstance(got, list)
        assert len(got) <= 3
        taken += got
    thread.join(PATIENCE)
    assert [one.future.args[0] for one in taken] == list(range(10))


def test_a_future_costs_less_than_600_bytes() -> None:
    n = 20_000
    settings = Settings()
    tracemalloc.start()
    made: list[TaskFuture[Any]] = [TaskFuture(None, (x,), {}, settings) for x in range(n)]
    for number, future in enumerate(made):
        future.number = number
        future.facts = TaskResult(number, "done", attempts=1, last_try=one_try(number))
        future.set_result(float(number))
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size / n < 600


def wait_for(path: str) -> None:
    """Return at once if it is empty, else when there is such a file."""
    while path and not Path(path).exists():
        time.sleep(0.01)


def test_short_calls_do_not_wait_for_a_long_one_of_the_same_function(
    executor: Executor, tmp_path: Path
) -> None:
    """They were lined up behind it, or were in its worker already; so were results of others."""
    for future in executor.submit_many(wait_for, [""] * 2000):  # so it is known as a short one
        future.result(PATIENCE)
    go = tmp_path / "go"
    futures = executor.submit_many(wait_for, [*[""] * 30, str(go), *[""] * 200])
    try:
        for future in futures[:30] + futures[31:]:
            future.result(PATIENCE)
        assert not futures[30].done()
    finally:
        go.touch()
    futures[30].result(PATIENCE)
