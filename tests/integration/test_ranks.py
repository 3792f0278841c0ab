"""Programs and calls of several ranks: real launchers, the ranks of which are real processes."""

from __future__ import annotations

import os
import pickle
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from adaptive_scheduler import Command, Executor, TaskResources
from adaptive_scheduler.client.tasks.messages import EndRanks, NodeRanks, Ranks, Slot
from adaptive_scheduler.client.tasks.node.variables import TASK_VARIABLE
from adaptive_scheduler.core.paths import NODE_VARIABLE, RUN_VARIABLE
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep, later
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import TaskError
from adaptive_scheduler.scheduler import PBS, SLURM, Here
from tests.clusters.pbs import PrivatePBS
from tests.clusters.slurm import PrivateSlurm
from tests.integration.agent_node import AgentNode, is_alive

pytestmark = pytest.mark.mpi

PATIENCE = 120.0
#: Two ranks on this machine, with a core and a GPU each.
TWO = Ranks([NodeRanks("one", (0, 1), ("a", "b"))], 2)
BOTH = Slot((0, 1), ("a", "b"))
PYTHON = shlex.quote(sys.executable)
#: An MPI program: each rank prints its number, the world's size and a sum over all ranks.
SUM = (
    rf"{PYTHON} -c 'from mpi4py import MPI; c = MPI.COMM_WORLD; "
    'print(f"sum {c.rank} {c.size} {c.allreduce(c.rank + 1)}\\n", end="", flush=True)\''
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[AgentNode]:
    one = AgentNode(tmp_path)
    yield one
    one.close()


def lines_of(node: AgentNode, token: int) -> list[str]:
    assert node.end_of(token).kind is EndKind.VALUE, (node.ended[token], node.log_of(token))
    return sorted(node.log_of(token).splitlines())


def world_of(start: int) -> tuple[int, int, list[int], str]:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    threads = os.environ["OMP_NUM_THREADS"]
    return world.allreduce(world.rank + start), world.size, sorted(os.sched_getaffinity(0)), threads


def rank_here() -> int:
    return int(os.environ.get("SLURM_PROCID") or os.environ["PMI_RANK"])


# ------------------------------------------------------------------------------- programs


def test_ranks_of_an_mpi_program_talk_to_each_other(node: AgentNode) -> None:
    token = node.command(SUM, slot=BOTH, ranks=TWO)
    assert lines_of(node, token) == ["sum 0 2 3", "sum 1 2 3"]
    assert node.ended[token].peak > 10**6
    assert list((node.folder / "values").iterdir()) == []


def test_a_program_without_mpi_has_its_rank_cores_gpus_and_threads(node: AgentNode) -> None:
    text = (
        f"echo $PMI_RANK {later('_gpus')} {later('_hosts')} $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS "
        "$(taskset -cp $$ | cut -d: -f2)"
    )
    cores = [n % (os.cpu_count() or 1) for n in (0, 1)]
    token = node.command(text, slot=BOTH, ranks=TWO)
    assert lines_of(node, token) == [f"0 a one a 1 {cores[0]}", f"1 b one b 1 {cores[1]}"]


def test_steps_have_ranks_each_and_end_with_the_first_that_fails(node: AgentNode) -> None:
    token = node.command("echo a", "[ $PMI_RANK = 0 ] || exit 3", "echo c", slot=BOTH, ranks=TWO)
    ended = node.end_of(token)
    assert (ended.kind, ended.code) == (EndKind.EXIT, 3)
    assert ended.text == "step 'step1' rank 1 of 2 on one ended with status 3"
    assert node.log_of(token).splitlines()[:2] == ["a", "a"]
    assert "\nc\n" not in node.log_of(token)


def test_the_others_end_when_a_rank_fails(node: AgentNode) -> None:
    """Hydra would wait for them: ten minutes."""
    token = node.command("[ $PMI_RANK = 0 ] && exec sleep 600; exit 4", slot=BOTH, ranks=TWO)
    assert node.end_of(token).code == 4


def test_a_killed_rank_is_told_by_its_number(node: AgentNode) -> None:
    token = node.command("[ $PMI_RANK = 1 ] && kill -SEGV $$; exec sleep 60", slot=BOTH, ranks=TWO)
    ended = node.end_of(token)
    assert (ended.kind, ended.code) == (EndKind.SIGNAL, signal.SIGSEGV)
    assert ended.text == "step 'step0' rank 1 of 2 on one was ended by SIGSEGV"


def test_a_program_that_is_not_there_is_told_with_its_rank(node: AgentNode) -> None:
    spec = CommandSpec([CommandStep("", ["./none"])], str(node.folder), str(node.log(1)))
    ended = node.end_of(node.start(spec, BOTH, ranks=TWO))
    assert ended.kind is EndKind.UNABLE
    assert "on one could not be started: ./none: No such file or directory" in ended.text


def test_a_folder_that_is_not_there_is_told(node: AgentNode) -> None:
    spec = CommandSpec([CommandStep("", ["true"])], str(node.folder / "no"), str(node.log(1)))
    ended = node.end_of(node.start(spec, BOTH, ranks=TWO))
    assert (ended.kind, "no: No such file" in ended.text) == (EndKind.UNABLE, True), ended


def test_mpi_abort_has_its_status(node: AgentNode) -> None:
    text = f"exec {PYTHON} -c 'from mpi4py import MPI; MPI.COMM_WORLD.Abort(7)'"
    ended = node.end_of(node.command(text, slot=BOTH, ranks=TWO))
    assert (ended.kind, ended.code) == (EndKind.EXIT, 7), ended


def test_mpi_abort_is_no_loss_of_a_rank(node: AgentNode) -> None:
    """Hydra may end before a rank that it has not killed yet, and that takes this for the death of its launcher."""
    # written as late as can be: of ranks that have lost their launcher while it lives, the others are ended
    program = (
        "import json, pathlib, sys; from mpi4py import MPI; "
        'pathlib.Path(sys.argv[1]).write_text(json.dumps({"rank": 1, "node": "one"})); '
        "MPI.COMM_WORLD.Abort(7)"
    )
    lost = node.folder / "values" / "1.rank-lost"
    text = f"exec {PYTHON} -c {shlex.quote(program)} {shlex.quote(str(lost))}"
    ended = node.end_of(node.command(text, slot=BOTH, ranks=TWO))
    assert (ended.kind, ended.code) == (EndKind.EXIT, 7), ended


def test_a_task_that_starts_its_ranks_itself_runs_once(node: AgentNode) -> None:
    mpiexec = shlex.quote(str(Path(sys.executable).parent / "mpiexec"))
    text = f"echo once on {later('_hosts')}; {mpiexec} -n 2 {SUM}"
    spec = CommandSpec(
        [CommandStep("", text=text)], str(node.folder), str(node.log(1)), launch_ranks=False
    )
    token = node.start(spec, BOTH, ranks=TWO)
    assert lines_of(node, token) == ["once on one", "sum 0 2 3", "sum 1 2 3"]


def test_no_launcher_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from adaptive_scheduler.client.tasks.ranks import launcher

    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(
        TaskError, match=r"mpiexec is not on the PATH of one, nor beside .*Load MPICH"
    ):
        launcher.find_launcher(TWO, {"PATH": str(tmp_path)}, tmp_path)
    in_slurm = {"SLURM_JOB_ID": "1", "SLURMD_NODENAME": "one", "PATH": str(tmp_path)}
    with pytest.raises(TaskError, match="srun is not on the PATH of one"):
        launcher.find_launcher(TWO, in_slurm, tmp_path)


# ------------------------------------------------------------------------------- their end


MARKED = "trap 'sleep 0.3; echo soft; exit 0' TERM; echo ready; while :; do sleep 0.1; done"


def await_line(node: AgentNode, token: int, line: str, n: int) -> None:
    log = node.log(token)
    node.wait(lambda: log.exists() and log.read_text().splitlines().count(line) >= n)


def test_a_task_that_is_stopped_may_save_in_all_its_ranks(node: AgentNode) -> None:
    token = node.command(MARKED, slot=BOTH, ranks=TWO)
    await_line(node, token, "ready", 2)
    node.stop(token)
    assert node.end_of(token).kind is EndKind.CANCELLED
    assert node.log_of(token).splitlines().count("soft") == 2


def test_a_rank_that_does_not_end_is_killed(node: AgentNode) -> None:
    token = node.command(
        "trap '' TERM; echo ready; while :; do sleep 1; done", slot=BOTH, ranks=TWO
    )
    await_line(node, token, "ready", 2)
    node.stop(token, grace=0.5)
    assert node.end_of(token).kind is EndKind.CANCELLED


def test_a_rank_that_hangs_has_a_timeout(node: AgentNode) -> None:
    token = node.command("[ $PMI_RANK = 0 ] || exec sleep 600", slot=BOTH, ranks=TWO, timeout=1.0)
    assert node.end_of(token).kind is EndKind.TIMEOUT


def test_what_ranks_leave_behind_is_killed(node: AgentNode) -> None:
    text = (
        "setsid sh -c 'trap \"\" TERM; echo $$ > leaves-$PMI_RANK; exec sleep 600' & "
        'env -i setsid sh -c "echo \\$\\$ > hides-$PMI_RANK; exec sleep 600" & '
        "while [ ! -s leaves-$PMI_RANK ] || [ ! -s hides-$PMI_RANK ]; do sleep 0.05; done"
    )
    token = node.command(text, slot=BOTH, ranks=TWO)
    pids = [node.pid_in(f"work/{name}-{n}") for name in ("leaves", "hides") for n in (0, 1)]
    assert node.end_of(token).kind is EndKind.VALUE
    assert not any(map(is_alive, pids))


def test_ranks_end_with_their_agent(node: AgentNode) -> None:
    token = node.command("echo $$ > rank-$PMI_RANK; exec sleep 600", slot=BOTH, ranks=TWO)
    pids = [node.pid_in(f"work/rank-{n}") for n in (0, 1)]
    os.kill(node.ready.pid, signal.SIGKILL)
    assert node.accept().life == 1
    assert not any(map(is_alive, pids))
    assert token not in node.ended
    assert list((node.folder / "values").iterdir()) == []


@pytest.mark.parametrize("victim", ["mpiexec", "hydra_pmi_proxy", "rank_start"])
def test_nothing_is_left_of_a_launcher_that_dies(node: AgentNode, victim: str) -> None:
    token = node.command("echo $$ > rank-$PMI_RANK; sleep 600", slot=BOTH, ranks=TWO)
    pids = [node.pid_in(f"work/rank-{n}") for n in (0, 1)]
    around = psutil.Process(node.ready.pid).children(recursive=True)
    next(one for one in around if victim in " ".join(one.cmdline()[:5])).kill()
    ended = node.end_of(token)
    assert ended.kind in (EndKind.SIGNAL, EndKind.DIED), ended
    assert not any(map(is_alive, pids))


def test_what_another_agent_has_started_is_ended(node: AgentNode) -> None:
    """As slurmstepd starts it: it is no child of the agent."""
    run = {RUN_VARIABLE: str(node.folder)}  # of another run's task of this number, nothing is
    environment = {**os.environ, **run, TASK_VARIABLE: "77"}
    other = psutil.Popen(["sleep", "600"], env={**os.environ, TASK_VARIABLE: "77"})
    stranger = psutil.Popen(["sleep", "600"], env=environment, start_new_session=True)
    node.frames.send(EndRanks(77))
    node.wait(lambda: 77 in node.ranks_ended)
    assert stranger.wait(PATIENCE) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()
    node.frames.send(EndRanks(78))
    node.wait(lambda: 78 in node.ranks_ended)


# ------------------------------------------------------------------------------- calls


def test_a_call_is_a_program_of_its_own_and_rank_0_has_the_value(node: AgentNode) -> None:
    token = node.call(world_of, 10, slot=BOTH, ranks=TWO)
    assert node.value_of(token) == (21, 2, [0], "1")
    assert list((node.folder / "values").iterdir()) == []


def test_a_call_that_needs_no_mpi(node: AgentNode) -> None:
    assert node.value_of(node.call(rank_here, slot=BOTH, ranks=TWO)) == 0


def test_a_large_value_of_a_call_goes_by_a_file(node: AgentNode) -> None:
    token = node.call(lambda: bytes(10**6), slot=BOTH, ranks=TWO)
    assert node.value_of(token) == bytes(10**6)
    assert [path.name for path in (node.folder / "values").iterdir()] == [f"{token}.pickle"]


def fail_in(rank: int) -> None:
    from mpi4py import MPI

    if MPI.COMM_WORLD.rank == rank:
        raise ValueError("no")
    MPI.COMM_WORLD.barrier()


def test_the_exception_of_any_rank_is_that_of_the_call(node: AgentNode) -> None:
    token = node.call(fail_in, 1, slot=BOTH, ranks=TWO)
    name, message, text, pickled = node.error_of(token)
    assert (name, message) == ("ValueError", "no")
    assert text.startswith("In rank 1 of 2 on one:\nTraceback")
    assert node.ended[token].text == "rank 1 of 2 on one: ValueError: no"
    assert pickled is not None
    assert isinstance(pickle.loads(pickled), ValueError)


def test_a_value_that_cannot_be_pickled(node: AgentNode) -> None:
    token = node.call(lambda: (n for n in ()), slot=BOTH, ranks=TWO)
    assert "generator" in node.error_of(token)[1]


def end_in(rank: int) -> None:
    if rank_here() == rank:
        os._exit(5)
    time.sleep(600)


def test_a_rank_that_ends_without_a_word(node: AgentNode) -> None:
    ended = node.end_of(node.call(end_in, 1, slot=BOTH, ranks=TWO))
    assert (ended.kind, ended.code) == (EndKind.DIED, 5)
    assert ended.text == "rank 1 of 2 on one ended with status 5"


def test_a_call_of_one_process_is_next_in_the_same_slot(node: AgentNode) -> None:
    tokens = [
        node.call(os.getpid, slot=BOTH), node.call(rank_here, slot=BOTH, ranks=TWO),
        node.call(os.getpid, slot=BOTH),
    ]  # fmt: skip
    first, between, last = map(node.value_of, tokens)
    assert (first, between) == (last, 0)


# ------------------------------------------------------------------------------- whole runs


def by_an_executor(executor: Executor, folder: Path) -> None:
    resources = TaskResources(ranks_per_node=2)
    two = executor.options(resources=resources)
    value = two.submit(world_of, 10)
    text = SUM + "; echo {_ranks} on {_nodes}"
    program = executor.submit(Command(text, resources=resources))
    text = "echo $$ > {folder}/leaves; setsid sleep 600 & sleep 600"
    long = executor.submit(Command(text, resources=resources), folder=str(folder))
    assert value.result(PATIENCE)[:2] == (21, 2)
    assert program.result(PATIENCE) == 0
    assert program.log is not None
    log = sorted(Path(program.log).read_text().splitlines())
    assert log == ["2 on 1", "2 on 1", "sum 0 2 3", "sum 1 2 3"]
    end = time.monotonic() + PATIENCE
    while not (folder / "leaves").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    long.cancel()
    with pytest.raises(CancelledError):
        long.result(PATIENCE)
    failing = two.submit(fail_in, 0)
    with pytest.raises(ValueError, match="no") as told:
        failing.result(PATIENCE)
    assert "In rank 0 of 2 on" in str(told.value.__cause__)
    end = time.monotonic() + PATIENCE
    values = folder / "run" / "values"
    while left := list(values.glob("*.rank*")):  # the one that was cancelled may still be ending
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_on_this_machine(tmp_path: Path) -> None:
    with Executor(Here(slots=4), tmp_path / "run") as executor:
        by_an_executor(executor, tmp_path)


@pytest.mark.slurm
def test_in_a_job_of_slurm(
    tmp_path: Path, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    scheduler = SLURM(cores=4, walltime="5m")
    with Executor(scheduler, tmp_path / "run", idle=0.5, interval=1) as executor:
        by_an_executor(executor, tmp_path)
        agents_die(executor, tmp_path)


def agents_die(executor: Executor, folder: Path) -> None:
    """The ranks are children of slurmstepd, and end all the same with the agent that has them started."""
    text = "echo $$ >> {folder}/tries; sleep 600"
    resources = TaskResources(ranks_per_node=2)
    future = executor.submit(Command(text, resources=resources), folder=str(folder))
    tries = folder / "tries"
    pids = await_lines(tries, 2)
    job = psutil.Process(pids[0]).environ()["SLURM_JOB_ID"]  # one that was idle may be leaving
    agents_of(folder, "SLURM_JOB_ID", job)[0].kill()
    await_lines(tries, 4)
    assert not any(map(is_alive, pids[:2]))
    future.cancel()


def await_lines(path: Path, n: int) -> list[int]:
    end = time.monotonic() + PATIENCE
    while not path.exists() or len(path.read_text().split()) < n:
        assert time.monotonic() < end, f"{path}: not {n} lines"
        time.sleep(0.05)
    return list(map(int, path.read_text().split()))


def agents_of(folder: Path, variable: str, value: str) -> list[psutil.Process]:
    """Agents of a run in whose environment a variable has this value."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended
            line = " ".join(process.cmdline())
            is_its = process.environ().get(variable) == value and str(folder / "run") in line
            if is_its and "adaptive_scheduler.client.tasks.node.agent" in line:
                found.append(process)
    return found


# ------------------------------------------------------------------------------- two nodes

FOUR = TaskResources(nodes=2, ranks_per_node=2)
#: Number of a rank, by either launcher.
NUMBER = "${SLURM_PROCID:-$PMI_RANK}"


@pytest.mark.slurm
def test_over_two_nodes_of_slurm(
    tmp_path: Path, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    scheduler = SLURM(nodes=2, cores=4, walltime="10m")
    with Executor(scheduler, tmp_path / "run", idle=20, interval=1) as executor:
        over_two_nodes(executor, tmp_path)
        ranks_start_themselves(executor, f"srun -w {{_hosts}} -n {{_ranks}} {SUM}")
        a_slurmstepd_dies(executor, tmp_path)
        a_node_dies(executor, tmp_path, slurm)


def test_over_two_nodes_of_pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PrivatePBS(tmp_path / "pbs", hosts={"pbs1": 2, "pbs2": 2}) as pbs:
        for name, value in pbs.env.items():
            monkeypatch.setenv(name, value)
        scheduler = PBS(nodes=2, cores=4, walltime="10m")
        with Executor(scheduler, tmp_path / "run", idle=20, interval=1) as executor:
            ranks_share_one_node_of_several(executor)
            over_two_nodes(executor, tmp_path)
            all_ranks_may_save_when_their_job_ends(executor, tmp_path)


def over_two_nodes(executor: Executor, folder: Path) -> None:
    four = executor.options(resources=FOUR)
    value = four.submit(world_of, 10)
    program = four.submit(Command(f"{SUM}; echo {NUMBER} of {{_ranks}} $ADAPTIVE_SCHEDULER_NODE"))
    failing = four.submit(fail_in, 3)
    assert value.result(PATIENCE)[:2] == (46, 4)
    assert program.result(PATIENCE) == 0
    lines = log_lines(program.log)
    assert [line for line in lines if "sum" in line] == [f"sum {n} 4 10" for n in range(4)]
    nodes = [line.split()[-1] for line in lines if " of " in line]
    assert nodes[0] == nodes[1] != nodes[2] == nodes[3]
    with pytest.raises(ValueError, match="no") as told:
        failing.result(PATIENCE)
    assert f"In rank 3 of 4 on {nodes[3]}" in str(told.value.__cause__)
    assert (value.node, failing.node) == (nodes[0], nodes[3])
    mpiexec = shlex.quote(str(Path(sys.executable).parent / "mpiexec"))
    ranks_start_themselves(executor, f"{mpiexec} -hosts {{_hosts}} -ppn 2 -n {{_ranks}} {SUM}")
    what_is_left_on_all_nodes_is_gone(executor, folder)
    all_ranks_may_save(executor, folder)
    the_agent_of_another_node_dies(executor, folder, nodes[3])


def ranks_share_one_node_of_several(executor: Executor) -> None:
    """PBS's list has each host once: Hydra gave each rank a node of its own, and the ranks refused."""
    local = 'echo "local ${SLURM_LOCALID:-$MPI_LOCALRANKID}"'
    two = executor.options(resources=TaskResources(ranks_per_node=2))
    launched = two.submit(Command(local))
    mpiexec = shlex.quote(str(Path(sys.executable).parent / "mpiexec"))
    own = two.submit(
        Command(f"{mpiexec} -n 2 sh -c 'echo local $MPI_LOCALRANKID'", launch_ranks=False)
    )
    for future in (launched, own):
        assert future.result(PATIENCE) == 0
        assert [one for one in log_lines(future.log) if "local" in one] == ["local 0", "local 1"]


def log_lines(log: Any) -> list[str]:
    return sorted(Path(log).read_text().splitlines())


def ranks_start_themselves(executor: Executor, text: str) -> None:
    own = executor.submit(Command(text, resources=FOUR, launch_ranks=False))
    assert own.result(PATIENCE) == 0
    lines = [line for line in log_lines(own.log) if "sum" in line]  # srun tells of signals, too
    assert lines == [f"sum {n} 4 10" for n in range(4)]


def what_is_left_on_all_nodes_is_gone(executor: Executor, folder: Path) -> None:
    text = (
        "setsid sh -c 'trap \"\" TERM; echo $$ > {folder}/left-$0; exec sleep 600' "
        + NUMBER
        + " & "
        "while [ ! -s {folder}/left-" + NUMBER + " ]; do sleep 0.05; done"
    )
    future = executor.submit(Command(text, resources=FOUR), folder=str(folder))
    assert future.result(PATIENCE) == 0
    pids = [int((folder / f"left-{n}").read_text()) for n in range(4)]
    assert not any(map(is_alive, pids))


def all_ranks_may_save(executor: Executor, folder: Path) -> None:
    text = (
        "trap 'sleep 0.3; echo >> {folder}/saved-"
        + NUMBER
        + "; exit 0' TERM; echo 1 >> {folder}/saves; "
        "while :; do sleep 0.1; done"
    )
    future = executor.submit(Command(text, resources=FOUR), folder=str(folder))
    await_lines(folder / "saves", 4)
    future.cancel()
    end = time.monotonic() + PATIENCE
    while len(list(folder.glob("saved-*"))) < 4:
        assert time.monotonic() < end, "not all have saved"
        time.sleep(0.05)


def all_ranks_may_save_when_their_job_ends(executor: Executor, folder: Path) -> None:
    """The other node has nothing to end, but must not leave before them: they would be killed with it."""
    file = folder / "at-end"
    text = (
        "trap 'sleep 1; echo 1 >> {file}-saved; exit 0' TERM; echo $$ >> {file}; "
        "while :; do sleep 0.1; done"
    )
    future = executor.submit(Command(text, resources=FOUR), file=str(file))
    try:
        await_lines(file, 4)
        (head,) = (one for one in psutil.process_iter() if is_head_of(one, folder))
        head.terminate()
        await_lines(Path(f"{file}-saved"), 4)
    finally:
        future.cancel()


def is_head_of(process: psutil.Process, folder: Path) -> bool:
    try:
        is_its = process.environ().get(RUN_VARIABLE, "").startswith(str(folder / "run"))
        return is_its and "adaptive_scheduler.client" in process.cmdline()
    except psutil.Error:
        return False


#: Writes the pids of its ranks into {file}, and ends when there is {file}-go.
UNTIL = "echo $$ >> {file}; while [ ! -e {file}-go ]; do sleep 0.1; done"


def a_slurmstepd_dies(executor: Executor, folder: Path) -> None:
    """Neither Slurm nor srun notices; the task is tried again as after any crash."""
    file = folder / "of-stepd"
    future = executor.submit(Command(UNTIL, resources=FOUR), file=str(file))
    pids = await_lines(file, 4)
    stepd = psutil.Process(pids[3]).parents()[1]
    assert stepd.name() == "slurmstepd"
    stepd.kill()
    await_lines(file, 8)
    assert not any(map(is_alive, pids))
    (folder / "of-stepd-go").touch()
    assert future.result(PATIENCE) == 0


def a_node_dies(executor: Executor, folder: Path, slurm: PrivateSlurm) -> None:
    """The program fails at once, but it is not its own failure, nor a crash."""
    file = folder / "of-node"
    once = executor.options(max_crashes=0, resources=FOUR)
    future = once.submit(Command(UNTIL), file=str(file))
    pids = await_lines(file, 4)
    node = psutil.Process(pids[3]).environ()["SLURMD_NODENAME"]
    other = {psutil.Process(pid).environ()["SLURMD_NODENAME"] for pid in pids} - {node}
    slurm.kill_node(max(node, *other))  # the head is on the first one
    slurm.start_node(max(node, *other))
    await_lines(file, 8)
    assert not any(map(is_alive, pids))
    (folder / "of-node-go").touch()
    assert future.result(PATIENCE) == 0


def the_agent_of_another_node_dies(executor: Executor, folder: Path, node: str) -> None:
    """Its ranks are not its own: the task goes on, and is clean there before it ends."""
    text = "echo $$ >> {folder}/goes-on; while [ ! -e {folder}/go ]; do sleep 0.1; done; sleep 1"
    future = executor.submit(Command(text, resources=FOUR), folder=str(folder))
    pids = await_lines(folder / "goes-on", 4)
    agents_of(folder, NODE_VARIABLE, node)[0].kill()
    time.sleep(2)  # there is another one by now, which finds ranks that are not its own
    assert all(map(is_alive, pids))
    (folder / "go").touch()
    assert future.result(PATIENCE) == 0
    assert future.attempts == 1
