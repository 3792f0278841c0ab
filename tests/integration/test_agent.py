"""The agent of one node, its supervisor, workers and programs; the head is played by the test."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import pickle
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from adaptive_scheduler.client.tasks.frames import Frames
from adaptive_scheduler.client.tasks.messages import (
    Call,
    Do,
    FromAgent,
    Quit,
    Slot,
    Start,
    TaskEnd,
)
from adaptive_scheduler.client.tasks.node import agent, call_worker, ledger, worker
from adaptive_scheduler.client.tasks.node.command_log import CommandLog, SpareLog
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep, later
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.executors import worker as executor
from adaptive_scheduler.io.pickling.by_value import dumps_by_value
from adaptive_scheduler.io.system import child_process
from tests.integration.agent_node import SLOT, AgentNode, is_alive, of_test


@pytest.fixture
def node(tmp_path: Path) -> Iterator[AgentNode]:
    one = AgentNode(tmp_path)
    yield one
    one.close()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[AgentNode]:
    """One whose head has long to say that the job ends."""
    one = AgentNode(tmp_path, module="tests.integration.patient_agent")
    yield one
    one.close()


def daemon(path: str) -> None:
    """Leave a process that nothing but SIGKILL ends, and that hides where it comes from."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.closerange(0, 100)
            Path(path).write_text(str(os.getpid()))
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()


#: The same by a shell.
DAEMON = "(trap '' TERM; exec env -i setsid sh -c 'echo $$ > \"{file}\"; exec 0<&- 1>&- 2>&-; exec sleep 600' &)"


# ------------------------------------------------------------------------------- calls


def test_a_call_gives_its_value(node: AgentNode) -> None:
    assert node.value_of(node.call(lambda x: x + 1, 41)) == 42


def test_a_call_that_raises_tells_its_traceback(node: AgentNode) -> None:
    def fails() -> None:
        raise ValueError("no such thing")

    ended = node.end_of(node.call(fails))
    name, message, text, pickled = pickle.loads(ended.value)
    assert (ended.kind, name, message) == (EndKind.ERROR, "ValueError", "no such thing")
    assert 'raise ValueError("no such thing")' in text
    assert isinstance(pickle.loads(pickled), ValueError)


def test_system_exit_is_an_error_of_the_call(node: AgentNode) -> None:
    ended = node.end_of(node.call(sys.exit, 3))
    assert (ended.kind, pickle.loads(ended.value)[0]) == (EndKind.ERROR, "SystemExit")


def test_a_value_that_cannot_be_pickled_is_an_error_that_says_so(node: AgentNode) -> None:
    ended = node.end_of(node.call(lambda: (n for n in ())))
    assert ended.kind is EndKind.ERROR
    assert "generator" in pickle.loads(ended.value)[1]


def test_a_large_value_goes_by_a_file(node: AgentNode) -> None:
    token = node.call(lambda: bytes(10**6))
    assert node.value_of(token) == bytes(10**6)
    assert node.ended[token].value == b""


def test_many_short_calls_keep_their_order_and_values(node: AgentNode) -> None:
    tokens = [node.call(lambda x: x, n) for n in range(300)]
    assert [node.value_of(token) for token in tokens] == list(range(300))
    assert list(node.ended) == tokens


def test_a_worker_is_kept_from_call_to_call(node: AgentNode) -> None:
    first, second = node.call(os.getpid), node.call(os.getpid)
    assert node.value_of(first) == node.value_of(second)


@pytest.mark.parametrize("status", [0, 7])
def test_a_call_that_ends_its_process_harms_no_other(node: AgentNode, status: int) -> None:
    before = [node.call(lambda x: x, n) for n in range(5)]
    bad = node.call(os._exit, status)
    after = [node.call(lambda x: x, n) for n in range(5)]
    ended = node.end_of(bad)
    assert (ended.kind, ended.code, ended.begun) == (EndKind.DIED, status, True)
    assert f"status {status}" in ended.text
    assert [node.value_of(token) for token in before + after] == [*range(5), *range(5)]
    assert set(node.times_ended.values()) == {1}


def test_a_segmentation_fault_harms_no_other(node: AgentNode) -> None:
    def segfault() -> None:
        import ctypes

        ctypes.string_at(0)

    bad, good = node.call(segfault), node.call(os.getpid)
    assert (node.end_of(bad).kind, node.ended[bad].code) == (EndKind.SIGNAL, signal.SIGSEGV)
    assert node.value_of(good)


def test_a_killed_worker_is_told_to_have_been_killed(node: AgentNode) -> None:
    token = node.call(time.sleep, 60)
    os.kill(node.await_begin(token).pid, signal.SIGKILL)
    ended = node.end_of(token)
    assert (ended.kind, ended.code) == (EndKind.SIGNAL, signal.SIGKILL)
    assert "killed, probably out of memory: peak 0." in ended.text
    assert ended.peak > 10**6


def test_a_call_that_closes_all_files_is_the_only_one_that_dies(node: AgentNode) -> None:
    bad, good = node.call(os.closerange, 0, 1000), node.call(os.getpid)
    assert node.end_of(bad).kind in (EndKind.DIED, EndKind.SIGNAL)
    assert node.value_of(good)


def test_a_call_that_takes_too_long_is_ended(node: AgentNode) -> None:
    token, good = node.call(time.sleep, 60, timeout=0.3), node.call(os.getpid)
    ended = node.end_of(token)
    assert ended.kind is EndKind.TIMEOUT
    assert 0.2 < ended.seconds < 30
    assert node.value_of(good)


def test_a_call_that_ignores_sigterm_is_killed(node: AgentNode) -> None:
    def stubborn(ready: str) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(ready).touch()
        time.sleep(60)

    ready = node.folder / "it ignores SIGTERM"
    token = node.call(stubborn, str(ready))
    node.wait(ready.exists)  # a call has begun before its first line is run
    node.stop(token, grace=0.5)
    assert (node.end_of(token).kind, node.ended[token].code) == (EndKind.CANCELLED, signal.SIGKILL)


def test_a_call_that_has_not_begun_comes_back(node: AgentNode) -> None:
    running, waiting = node.call(time.sleep, 60), node.call(os.getpid)
    node.await_begin(running)
    node.stop(waiting, EndKind.BACK)
    assert node.end_of(waiting) == TaskEnd(waiting, EndKind.BACK, begun=False)
    node.stop(running)
    assert node.end_of(running).kind is EndKind.CANCELLED


def test_what_a_call_forks_and_leaves_is_killed(node: AgentNode) -> None:
    file = node.folder / "daemon"

    def forks(path: str) -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                Path(path).write_text(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
        os.wait()
        # what is killed before it has written its pid never does
        while not (Path(path).exists() and Path(path).read_text()):
            time.sleep(0.01)

    node.value_of(node.call(forks, str(file)))
    pid = node.pid_in(file.name)
    node.wait(lambda: not is_alive(pid))


def test_a_worker_has_the_cores_gpus_and_threads_of_its_slot(node: AgentNode) -> None:
    slot = Slot((1,), ("2", "3"), threads=4)

    def seen() -> Any:
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        return sorted(os.sched_getaffinity(0)), [os.environ[name] for name in names]

    assert node.value_of(node.call(seen, slot=slot)) == ([1], ["2,3", "4"])


# ------------------------------------------------------------------------------- commands


def test_a_command_runs_in_its_folder_with_its_log(node: AgentNode) -> None:
    token = node.command("pwd && echo $ADAPTIVE_SCHEDULER_TASK; echo error >&2")
    assert node.end_of(token).kind is EndKind.VALUE
    assert node.log_of(token) == f"{node.folder / 'work'}\n{token}\nerror\n"


def test_a_command_has_its_slot_in_all_its_parts(node: AgentNode) -> None:
    token = node.command(
        "echo $CUDA_VISIBLE_DEVICES && taskset -cp $$ | sed 's/.*: //' && echo $CUDA_VISIBLE_DEVICES",
        slot=Slot((1,), ("5",)),
    )
    assert node.end_of(token).kind is EndKind.VALUE
    assert node.log_of(token) == "5\n1\n5\n"


def test_the_steps_of_a_command_end_with_the_first_failure(node: AgentNode) -> None:
    token = node.command("echo one", "echo two; exit 3", "echo three")
    ended = node.end_of(token)
    assert (ended.kind, ended.code, ended.text) == (
        EndKind.EXIT,
        3,
        "step 'step1' ended with status 3",
    )
    assert node.log_of(token) == "one\ntwo\n"


def test_a_signal_is_no_success(node: AgentNode) -> None:
    ended = node.end_of(node.command("kill -TERM $$"))
    assert (ended.kind, ended.code) == (EndKind.SIGNAL, signal.SIGTERM)


def test_a_command_that_does_not_exist_is_named(node: AgentNode) -> None:
    work = CommandSpec(
        [CommandStep("", ["no-such-program", "x"])], str(node.folder), str(node.folder / "log")
    )
    ended = node.end_of(node.start(work))
    assert ended.kind is EndKind.UNABLE
    assert "no-such-program" in ended.text


def test_a_command_ends_with_its_whole_process_group(node: AgentNode) -> None:
    file = node.folder / "pid"
    token = node.command(f"sleep 600 & echo $! > '{file}'")
    assert node.end_of(token).kind is EndKind.VALUE
    pid = node.pid_in(file.name)
    node.wait(lambda: not is_alive(pid))


def test_what_a_command_leaves_outside_its_group_is_killed(node: AgentNode) -> None:
    file = node.folder / "pid"
    token = node.command(
        f"setsid sh -c 'echo $$ > \"{file}\"; exec sleep 600' & "
        f"until [ -s '{file}' ]; do sleep 0.02; done"
    )
    assert node.end_of(token).kind is EndKind.VALUE
    pid = node.pid_in(file.name)
    node.wait(lambda: not is_alive(pid))


def test_a_command_that_takes_too_long_is_ended(node: AgentNode) -> None:
    ended = node.end_of(node.command("sleep 600", timeout=0.2))
    assert ended.kind is EndKind.TIMEOUT


def test_a_command_that_prints_a_lot_is_not_held_up(node: AgentNode) -> None:
    token = node.command("head -c 50000000 /dev/zero")
    assert node.end_of(token).kind is EndKind.VALUE
    assert (node.folder / f"{token}.log").stat().st_size == 50_000_000


# ------------------------------------------------------------------------------- who dies


def begin_two(node: AgentNode) -> tuple[int, int, list[int]]:
    """A call and a command, each with a daemon: their tokens, and the pids of all of these."""
    files = [node.folder / "daemon of call", node.folder / "daemon of command"]

    def stays(path: str) -> None:
        daemon(path)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)

    stays.__globals__["daemon"] = daemon
    call = node.call(stays, str(files[0]))
    text = f"{DAEMON.format(file=files[1])}; trap '' TERM; sleep 600; sleep 600"
    command = node.command(text, slot=Slot((1,)))
    pids = [node.await_begin(token).pid for token in (call, command)]
    return call, command, pids + [node.pid_in(file.name) for file in files]


def test_a_killed_worker_leaves_nothing(node: AgentNode) -> None:
    call, command, (worker_pid, program, its_daemon, other) = begin_two(node)
    os.kill(worker_pid, signal.SIGKILL)
    node.await_gone([worker_pid, its_daemon])
    assert node.end_of(call).code == signal.SIGKILL
    assert command not in node.ended
    assert is_alive(program)
    assert is_alive(other)


def test_a_killed_program_leaves_nothing(node: AgentNode) -> None:
    call, command, (worker_pid, program, other, its_daemon) = begin_two(node)
    os.kill(program, signal.SIGKILL)
    node.await_gone([program, its_daemon])
    assert node.end_of(command).code == signal.SIGKILL
    assert call not in node.ended
    assert is_alive(worker_pid)
    assert is_alive(other)


def test_a_cancelled_task_leaves_nothing(node: AgentNode) -> None:
    call, command, pids = begin_two(node)
    for token in (call, command):
        node.stop(token, grace=0.3)
        assert node.end_of(token).kind is EndKind.CANCELLED
    node.await_gone(pids)


def test_a_killed_agent_leaves_nothing_and_is_started_again(node: AgentNode) -> None:
    _, _, pids = begin_two(node)
    os.kill(node.ready.pid, signal.SIGKILL)
    again = node.accept()
    assert (again.life, again.pid != node.ready.pid) == (1, True)
    assert not any(map(is_alive, pids)), "there is another agent only after all that"
    assert node.value_of(node.call(lambda: 1)) == 1


def test_a_killed_supervisor_leaves_nothing(node: AgentNode) -> None:
    _, _, pids = begin_two(node)
    node.supervisor.kill()
    node.supervisor.wait()
    node.await_gone([*pids, node.ready.pid])


def test_a_head_that_ends_leaves_nothing(node: AgentNode) -> None:
    _, _, pids = begin_two(node)
    node.frames.sock.close()
    node.supervisor.wait(60)
    assert not any(map(is_alive, [*pids, node.ready.pid]))
    assert of_test(node.folder) == []


def test_at_the_end_of_the_job_what_runs_is_cut(node: AgentNode) -> None:
    call, waiting = node.call(time.sleep, 600), node.call(os.getpid)
    node.await_begin(call)
    node.frames.send(Quit(grace=1))
    assert node.end_of(call).kind is EndKind.CUT
    assert node.ended[call].seconds >= 0.05
    assert (node.end_of(waiting).kind, node.ended[waiting].begun) == (EndKind.CUT, False)
    assert node.supervisor.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_the_batch_system_kills_is_cut_and_not_failed(
    patient: AgentNode, number: signal.Signals
) -> None:
    """Its signal reaches all processes of the job, and the tasks before the head has said anything."""
    call = patient.call(time.sleep, 600)
    command = patient.command("sleep 600", slot=Slot((1,)))
    pids = [patient.await_begin(token).pid for token in (call, command)]
    for pid in pids:
        os.killpg(pid, number)
    # the agent has seen that they ended
    patient.wait(lambda: not any(map(psutil.pid_exists, pids)))
    assert not patient.ended
    patient.frames.send(Quit(grace=1))
    assert [patient.end_of(token).kind for token in (call, command)] == [EndKind.CUT] * 2


def test_a_shell_whose_program_was_killed_by_the_batch_system_is_cut_too(
    patient: AgentNode,
) -> None:
    file = patient.folder / "pid"
    token = patient.command(f"sh -c 'echo $$ > \"{file}\"; exec sleep 600'; exit $?")
    shell = patient.await_begin(token).pid
    os.kill(patient.pid_in("pid"), signal.SIGTERM)
    patient.wait(lambda: not psutil.pid_exists(shell))  # the agent has seen that it ended
    assert not patient.ended
    patient.frames.send(Quit(grace=1))
    assert patient.end_of(token).kind is EndKind.CUT


def test_a_death_is_judged_only_by_an_agent_that_has_heard_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was held up saw that two seconds had passed, and not that the head had said meanwhile that all end."""
    monkeypatch.setattr(ledger, "JUDGED_AFTER", 0.0)
    # it runs in the process of all tests, whose children are no orphans
    monkeypatch.setattr(agent, "end_all", lambda: None)
    monkeypatch.setattr(agent, "end_orphans", lambda *_: False)
    ours, its = socket.socketpair()
    parent, end = os.pipe()
    dies, death = os.pipe()
    made = agent.Agent(its, parent, tmp_path, dict(os.environ))
    head = Frames(ours, msgspec.msgpack.Decoder(FromAgent))

    def is_killed() -> None:
        made._unwatch(dies)
        ended = TaskEnd(1, EndKind.SIGNAL, signal.SIGKILL)
        made._ledger.judge(ended, signal.SIGKILL, time.monotonic())
        head.send(Quit(grace=1))
        head.flush()

    made._ledger.add(Start(1, CommandSpec([CommandStep("", text="true")], "/", ""), SLOT))
    made._watch(dies, is_killed)
    os.write(death, b"x")
    made.run(0)
    kinds = [message.kind for message in head.receive() if isinstance(message, TaskEnd)]
    for one in (ours, its):
        one.close()
    for fd in (parent, end, dies, death):
        os.close(fd)
    assert kinds == [EndKind.CUT]


def test_a_program_may_save_although_its_shell_ended_at_once(node: AgentNode) -> None:
    """A shell ends at SIGTERM; what it has started still has the rest of the grace."""
    code = (
        "import signal, sys, time, pathlib\n"
        "def save(*_):\n    time.sleep(0.5); pathlib.Path('saved').touch(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(600)\n"
    )
    (node.folder / "save.py").write_text(code)
    token = node.command(f"{shlex.quote(sys.executable)} ../save.py; true")
    work = node.folder / "work"
    node.wait((work / "ready").exists)
    node.stop(token)
    assert node.end_of(token).kind is EndKind.CANCELLED
    assert (work / "saved").exists()


# ------------------------------------------------------------------------------- bad days


def test_a_daemon_lives_as_long_as_the_call_that_has_started_it(node: AgentNode) -> None:
    file = node.folder / "daemon"

    def uses_a_daemon(path: str) -> bool:
        daemon(path)
        while not (Path(path).exists() and Path(path).read_text()):
            time.sleep(0.01)
        time.sleep(2.5)  # the agent looks each second
        os.kill(int(Path(path).read_text()), 0)
        return True

    uses_a_daemon.__globals__["daemon"] = daemon
    assert node.value_of(node.call(uses_a_daemon, str(file)))
    node.await_gone([node.pid_in("daemon")])


def test_a_fork_that_comes_back_from_its_call_is_no_second_worker(node: AgentNode) -> None:
    bad, good = node.call(os.fork), node.call(lambda: 5)
    assert node.value_of(bad) > 0
    assert node.value_of(good) == 5
    assert set(node.times_ended.values()) == {1}


def test_a_call_that_prints_a_lot_is_not_held_up(node: AgentNode) -> None:
    def prints() -> int:
        for _ in range(2000):
            print("x" * 10_000)
        return 1

    assert node.value_of(node.call(prints)) == 1
    assert (node.folder / "output").stat().st_size == 2000 * 10_001


def test_a_call_that_closes_its_streams_harms_nobody(node: AgentNode) -> None:
    def closes() -> int:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            stream.close()
        os.closerange(0, 3)
        return 1

    assert node.value_of(node.call(closes)) == 1
    assert node.value_of(node.call(lambda: 2)) == 2


def test_an_exception_that_cannot_be_pickled_is_told_by_its_text(node: AgentNode) -> None:
    def fails() -> None:
        class OddError(Exception):
            def __reduce__(self) -> Any:
                raise RuntimeError("not me")

        raise OddError("the reason")

    token = node.call(fails)
    assert node.error_of(token)[:2] == ("OddError", "the reason")
    assert node.error_of(token)[3] is None
    assert node.ended[token].text == "OddError: the reason"


def test_an_exception_that_is_too_large_is_cut_to_its_beginning(node: AgentNode) -> None:
    def fails() -> None:
        raise ValueError("x" * 50_000_000)

    token = node.call(fails)
    name, message, text, pickled = node.error_of(token)
    assert (name, set(message), pickled) == ("ValueError", {"x"}, None)
    assert len(node.ended[token].value) < 2**19
    assert len(node.ended[token].text) == 200
    assert "raise ValueError" in text


def test_a_value_that_is_too_large_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: a real one has a gigabyte."""

    monkeypatch.setattr(worker, "LARGEST_VALUE", 200_000)
    one = worker.CallEvaluator(tmp_path, tmp_path)
    kind, value, path, text = one._in_file(1, bytes(300_000), "bytes")
    assert (kind, path) == (EndKind.ERROR, "")
    assert "a bytes of 0.00 GB" in pickle.loads(value)[1]
    assert "return the path" in pickle.loads(value)[1]
    assert text.startswith("TaskError: ")
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_finds_no_place_on_the_disk_is_an_error(node: AgentNode) -> None:
    (node.folder / "values").rmdir()
    token = node.call(lambda: bytes(10**6))
    assert "values" in node.error_of(token)[1]


def test_arguments_that_cannot_be_unpickled_are_an_error(node: AgentNode) -> None:
    from adaptive_scheduler.client.tasks.messages import Call

    first = node.call(lambda: 1)
    assert node.value_of(first) == 1
    key = next((node.folder / "functions").iterdir()).name
    assert node.error_of(node.start(Call(key, b"no pickle")))[0] == "UnpicklingError"


def test_a_call_that_recurses_for_ever_is_an_error(node: AgentNode) -> None:
    def again(n: int) -> int:
        return again(n + 1)

    again.__globals__["again"] = again
    assert node.error_of(node.call(lambda: again(0)))[0] == "RecursionError"


def limit(pid: int) -> Path:
    """Put a process, and all that it starts, into a group of its own with little memory."""
    memory = Path("/sys/fs/cgroup/memory")  # version 1
    own = next(
        line.split(":")[2].strip()
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.split(":")[1] == "memory"
    )
    group = memory / own.lstrip("/") / f"adaptive-scheduler-test-{pid}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(300 * 2**20))
    (group / "cgroup.procs").write_text(str(pid))
    return group


def test_memory_that_runs_out_takes_the_task_and_nothing_else(tmp_path: Path) -> None:
    """By the kernel's own choice, in a memory cgroup: the agent and its neighbour stay."""
    groups: list[Path] = []
    try:
        node = AgentNode(tmp_path, lambda pid: groups.append(limit(pid)))
    except (OSError, StopIteration) as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        neighbour = node.call(time.sleep, 3, slot=Slot((1,)))
        node.await_begin(neighbour)
        call = node.call(lambda: len(bytearray(2**30)))
        ended = node.end_of(call)
        assert (ended.kind, ended.code) == (EndKind.SIGNAL, signal.SIGKILL)
        assert "killed, probably out of memory: peak 0." in ended.text
        assert ended.peak > 100 * 2**20
        filling = f"{shlex.quote(sys.executable)} -c 'bytearray(2**30)'; exit $?"
        ended = node.end_of(node.command(filling))
        assert (ended.kind, ended.code) == (EndKind.EXIT, 128 + signal.SIGKILL)
        assert "a program in it was killed, probably out of memory: peak 0." in ended.text
        assert ended.peak > 100 * 2**20
        assert node.value_of(neighbour) is None
        assert len(node.ended) == 3
        assert is_alive(node.ready.pid)
    finally:
        node.close()
        for group in groups:
            group.rmdir()


def test_only_one_of_many_neighbours_fails(node: AgentNode) -> None:
    """Field fault 52, small: of 24 workers on one node one has a segmentation fault."""

    def segfault() -> None:
        import ctypes

        ctypes.string_at(0)

    slots = [Slot((1000 + n,)) for n in range(6)]
    first = [node.call(time.sleep, 1.0, slot=slot) for slot in slots]
    bad = node.call(segfault, slot=slots[3])
    after = [node.call(lambda: 1, slot=slot) for slot in slots]
    assert node.end_of(bad).kind is EndKind.SIGNAL
    assert [node.value_of(token) for token in first] == [None] * 6
    assert [node.value_of(token) for token in after] == [1] * 6


def test_placeholders_of_the_node(node: AgentNode) -> None:
    text = (
        f"echo {later('_gpus')} {later('_attempt')} {later('_hosts')} && echo $CUDA_VISIBLE_DEVICES"
    )
    token = node.command(text, slot=Slot((1,), ("5", "6")), attempt=3)
    assert node.end_of(token).kind is EndKind.VALUE
    assert node.log_of(token) == f"5,6 3 {os.uname().nodename}\n5,6\n"


def test_a_folder_that_is_not_there_is_named(node: AgentNode) -> None:
    work = CommandSpec([CommandStep("", ["true"])], "/no/such/folder", str(node.folder / "log"))
    ended = node.end_of(node.start(work))
    assert (ended.kind, "/no/such/folder" in ended.text) == (EndKind.UNABLE, True)


def test_an_argument_with_a_nul_is_refused_and_harms_nobody(node: AgentNode) -> None:
    work = CommandSpec([CommandStep("", ["echo", "\0x"])], "/", str(node.folder / "log"))
    assert node.end_of(node.start(work)).kind is EndKind.UNABLE
    assert node.value_of(node.call(lambda: 1)) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_the_log_of_a_success_is_kept_if_it_is_wanted(node: AgentNode, kept: bool) -> None:
    logs = [node.folder / "good.log", node.folder / "bad.log"]
    for text, log in zip(("echo 1", "echo 2; false"), logs, strict=True):
        node.end_of(node.start(CommandSpec([CommandStep("", text=text)], "/", str(log), {}, kept)))
    assert [log.exists() for log in logs] == [kept, True]


def test_a_machine_without_room_for_processes_is_not_the_fault_of_a_task(tmp_path: Path) -> None:
    """It is tried again, and told as a death, after which it runs elsewhere."""
    import resource

    node = AgentNode(tmp_path)
    try:
        agent = node.ready.pid
        _, most = resource.prlimit(agent, resource.RLIMIT_NOFILE)
        resource.prlimit(agent, resource.RLIMIT_NOFILE, (9, most))
        call = node.call(lambda: 1)
        ended = node.end_of(call)
        assert (ended.kind, ended.begun) == (EndKind.DIED, False)
        assert "Too many open files" in ended.text
        resource.prlimit(agent, resource.RLIMIT_NOFILE, (1000, most))
        assert node.value_of(node.call(lambda: 2)) == 2
    finally:
        node.close()


def test_a_command_that_prints_nothing_leaves_no_log(node: AgentNode) -> None:
    quiet = [node.command("true") for _ in range(3)]
    printed = node.command("echo 1")
    after = [node.command("true"), node.command("echo 2"), node.command("exit 3")]
    for token in [*quiet, printed, *after]:
        node.end_of(token)
    there = [node.log(token).exists() for token in [*quiet, printed, *after]]
    assert there == [False, False, False, True, False, True, True]
    assert [node.log_of(token) for token in (printed, *after[1:])] == ["1\n", "2\n", ""]


def test_a_command_that_prints_nothing_leaves_no_log_though_it_takes_long(node: AgentNode) -> None:
    """It left an empty one, if it took more than a moment: as any command does on a loaded machine."""
    go = node.folder / "go"
    token = node.command(f"until [ -e '{go}' ]; do sleep 0.02; done")
    node.wait(node.log(token).exists)
    go.touch()
    assert node.end_of(token).kind is EndKind.VALUE
    assert not node.log(token).exists()


def test_the_log_of_a_command_is_there_while_it_runs(node: AgentNode) -> None:
    token = node.command("echo begun; sleep 600")
    node.wait(lambda: node.log(token).exists() and node.log_of(token) == "begun\n")
    assert token not in node.ended
    node.stop(token, grace=0)
    node.end_of(token)
    assert node.log_of(token) == "begun\n"


def test_what_a_daemon_prints_is_in_no_other_log(node: AgentNode) -> None:
    first = node.command("(exec setsid sh -c 'while :; do echo noise; done' &)")
    after = [node.command("true") for _ in range(5)]
    for token in [first, *after]:
        node.end_of(token)
    # a command that was held up for a moment has a log
    assert not any(node.log(token).exists() and node.log_of(token) for token in after)


def test_a_later_try_goes_on_in_the_log_of_the_first_one(node: AgentNode) -> None:
    log = node.folder / "both"
    for attempt in (1, 2):
        work = CommandSpec([CommandStep("", text="echo $(( 2 + 3 )); false")], "/", str(log))
        node.end_of(node.start(work, attempt=attempt))
    assert log.read_text() == "5\n5\n"


def test_a_file_system_without_unnamed_files(tmp_path: Path, monkeypatch: Any) -> None:
    """In this process, as there is none here: `open` says what it says on NFS."""

    from adaptive_scheduler.client.tasks.node import command_log

    real = os.open

    def without(path: Any, flags: int, *args: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, *args)

    monkeypatch.setattr(command_log.os, "open", without)
    spare = command_log.SpareLog()
    for name, kept in (("a", True), ("b", False)):
        log = command_log.CommandLog(str(tmp_path / name), spare, is_first=True)
        os.write(log.open(), b"text")
        log.close(is_kept=kept, is_shown=False, is_alone=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["text"]


def test_slots_of_many_shapes_are_not_kept(tmp_path: Path) -> None:
    """Each set of cores is a slot: tasks of 1 to 8 cores on one node have no end of them."""
    ours, its = socket.socketpair()
    parent, end = os.pipe()
    made = agent.Agent(its, parent, tmp_path, dict(os.environ))
    for n in range(1, 300):
        slot = Slot((n,))
        made._start(Start(n, CommandSpec([CommandStep("", text="true")], "/", ""), slot))
        if n % 100:  # a few run for long
            made._slots[slot].waiting.clear()
            made._ledger.report(TaskEnd(n, EndKind.VALUE))
    assert len(made._slots) <= agent.FEW_SLOTS
    assert {Slot((100,)), Slot((200,)), Slot((299,))} <= made._slots.keys()
    for one in (ours, its):
        one.close()
    os.close(parent)
    os.close(end)


def test_a_call_that_writes_into_the_socket_of_its_worker_is_the_only_one_that_dies(
    node: AgentNode,
) -> None:
    def bad() -> None:
        os.write(int(sys.argv[1]), b"\0\0\0\5junk!")
        time.sleep(60)

    other = node.call(time.sleep, 1, slot=Slot((0,), (), 2))
    assert node.end_of(node.call(bad)).kind in (EndKind.DIED, EndKind.SIGNAL)
    assert node.value_of(other) is None
    assert node.value_of(node.call(os.getpid))


def test_a_call_that_is_recalled_as_it_begins_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker looked before it said what it begins: the agent gave the call to another one, too."""
    ours, its = socket.socketpair()
    page = mmap.mmap(-1, mmap.PAGESIZE)
    evaluator = worker.CallWorker(its, page, tmp_path, tmp_path)
    evaluated: list[int] = []

    class Page:
        size = worker.NOW.size

        @staticmethod
        def pack_into(page: Any, offset: int, token: int, begin: int) -> None:
            if token == 2:  # at this moment the agent recalls what has not begun
                worker.RECALL.pack_into(page, worker.NOW.size, 7)
            now.pack_into(page, offset, token, begin)

    now = worker.NOW
    monkeypatch.setattr(worker, "NOW", Page)
    monkeypatch.setattr(
        evaluator, "_call",
        lambda token, *_: evaluated.append(token) or (EndKind.VALUE, b"", "", ""),
    )  # fmt: skip
    evaluator._evaluate(Do([(1, "", b""), (2, "", b"")], 7))
    ours.close()
    its.close()
    assert evaluated == [1]
    assert now.unpack_from(page, 0) == (0, 0)


def test_a_log_that_finds_no_place_on_the_disk_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent ended, and with it all tasks of the node."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = CommandLog(str(tmp_path / "log"), SpareLog(), is_first=True)
    os.write(log.open(), b"some output")
    monkeypatch.setattr(os, "link", full)
    log.close(is_kept=True, is_shown=False, is_alone=True)
    assert "log is lost: [Errno 28] No space left" in capsys.readouterr().err


def test_a_program_that_cannot_be_watched_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was started again as too many files were open, and ran twice at the same time."""
    watch, pids = os.pidfd_open, []

    def full(pid: int) -> int:
        pids.append(pid)
        if len(pids) == 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return watch(pid)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "pidfd_open", full)
    child = child_process.patiently(
        lambda: child_process.Child(["/bin/sleep", "20"], dict(os.environ), cwd=str(tmp_path))
    )
    try:
        assert child.pid == pids[1]
        assert not is_alive(pids[0])
    finally:
        child.reap()


def test_a_signal_for_a_call_that_has_just_ended_harms_not_the_next_one(node: AgentNode) -> None:
    """The next call was said to have been killed, and its task failed."""
    is_blocked = node.folder / "blocked"

    def ends_before_the_signal() -> str:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        is_blocked.touch()
        while signal.SIGTERM not in signal.sigpending():
            time.sleep(0.001)
        return "ended"

    def is_hit() -> str:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        return "ran"

    def kills_itself() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    first, following, last = map(node.call, (ends_before_the_signal, is_hit, kills_itself))
    node.wait(is_blocked.exists)
    node.stop(first)
    assert node.value_of(first) == "ended"
    assert node.value_of(following) == "ran"
    assert node.end_of(last).kind is EndKind.SIGNAL
    assert set(node.times_ended.values()) == {1}


def test_a_worker_that_is_held_up_evaluates_no_call_twice(node: AgentNode) -> None:
    """What it had evaluated, but not sent yet, was taken back as well, and evaluated again."""
    noted = node.folder / "noted"

    def notes(path: str, stands_still: bool = False) -> None:
        with open(path, "a") as file:  # noqa: PTH123  it travels by value
            file.write("x")
        if stands_still:
            os.kill(os.getpid(), signal.SIGSTOP)

    short = [node.call(notes, str(noted)) for _ in range(80)]  # then more are given at once
    node.end_of(short[-1])
    before = [node.call(notes, str(noted)) for _ in range(5)]
    held_up = node.call(notes, str(noted), True)
    behind = node.call(notes, str(noted))
    pid = node.await_begin(held_up).pid
    node.stop(behind, EndKind.BACK)
    node.end_of(behind)  # the agent has taken back what has not begun
    os.kill(pid, signal.SIGCONT)
    assert [node.value_of(token) for token in [*before, held_up]] == [None] * 6
    n_values = sum(ended.kind is EndKind.VALUE for ended in node.ended.values())
    assert len(noted.read_text()) == n_values
    assert set(node.times_ended.values()) == {1}


def test_a_worker_that_answers_all_just_as_it_is_to_give_some_back_is_given_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says of none that it gives it back: it was given nothing more, and its slot stood still."""
    monkeypatch.chdir(tmp_path)  # and back at the end: an agent stays in no folder
    for name in ("functions", "values"):
        (tmp_path / name).mkdir()
    program = pickle.dumps(executor.Program("", (), b"", b"", dumps_by_value(abs)))
    key = hashlib.blake2b(program, digest_size=16).hexdigest()
    (tmp_path / "functions" / key).write_bytes(program)
    one = call_worker.Worker(SLOT, dict(os.environ), tmp_path, str(tmp_path))

    def answers() -> list[int]:
        """Tokens of the results that come next; they are not taken in yet."""
        end = time.monotonic() + 60
        while not (
            found := [result[0] for done in one.frames.receive() for result in done.results]
        ):
            assert time.monotonic() < end
            time.sleep(0.001)
        return found

    try:
        one.give([Start(n, Call(key, pickle.dumps(((-n,), {}))), SLOT) for n in (1, 2)])
        come = answers()
        while len(come) < 2:
            come += answers()
        one.recall(1)  # the agent had looked when the first one ran
        for token in come:
            del one.given[token]
        assert one.room > 0
        one.give([Start(3, Call(key, pickle.dumps(((-3,), {}))), SLOT)])
        assert answers() == [3]
        del one.given[3]
        assert one.room > 0
    finally:
        child_process.unbind()
        one.child.reap()
        one.close()
