"""Which rank a process is, what it gets, and how launchers are called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.client.tasks.messages import Call, NodeRanks, Ranks, Slot, Start
from adaptive_scheduler.client.tasks.node.environment import gpus_of
from adaptive_scheduler.client.tasks.ranks import rank_start
from adaptive_scheduler.client.tasks.ranks.files import RankFiles
from adaptive_scheduler.client.tasks.ranks.launcher import RankLauncher, find_launcher
from adaptive_scheduler.client.tasks.ranks.plan import (
    RankBegun,
    RankEnded,
    RankLost,
    RankOrder,
    RankPlan,
    hosts_of,
    orders_of,
    ranks_of,
    size_of,
    slots_of,
)
from adaptive_scheduler.client.tasks.ranks.ranked_program import ENTER, RankedProgram, _Launch
from adaptive_scheduler.client.tasks.ranks.reports import LauncherOutput
from adaptive_scheduler.client.tasks.ranks.which_rank import Rank, name_of, rank_in
from adaptive_scheduler.core.paths import NODE_VARIABLE
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import EnvironmentMismatchError, TaskError
from adaptive_scheduler.io.system.child_process import ProcessEnd
from adaptive_scheduler.schedulers.rank_launch import (
    is_in_slurm,
    launch_environment,
    mpiexec_line,
    own_launcher,
    srun_line,
    srun_settings,
)

ROOT = Path(__file__).parents[2]
NODES = [
    NodeInventory("n1", [0, 1, 2, 3], ["a", "b"]),
    NodeInventory("n2", [4, 5, 6, 7], ["c", "d"]),
]


def placed(**resources: Any) -> Ranks | None:
    asked = TaskResources(**resources)
    place = Inventory(NODES).place(asked)
    assert place is not None
    return ranks_of(place, asked.threads_per_rank, NODES)


def test_one_rank_needs_no_launcher() -> None:
    assert placed(threads_per_rank=4) is None


def test_each_rank_has_its_cores_and_gpus() -> None:
    ranks = placed(nodes=2, ranks_per_node=2, threads_per_rank=2, gpus_per_rank=1)
    assert ranks == Ranks(
        [NodeRanks("n1", (0, 1, 2, 3), ("a", "b")), NodeRanks("n2", (4, 5, 6, 7), ("c", "d"))], 2
    )
    assert slots_of(ranks.nodes[0], 2, 2)[0] == Slot((0, 1), ("a",), 2)
    assert slots_of(ranks.nodes[1], 2, 2)[1] == Slot((6, 7), ("d",), 2)


def test_ranks_share_a_gpu_or_have_several() -> None:
    shared = placed(ranks_per_node=2, gpus_per_rank=0.5)
    assert shared is not None
    assert [slot.gpus for slot in slots_of(shared.nodes[0], 2, 1)] == [("a",), ("a",)]
    several = placed(nodes=2, gpus_per_rank=2)
    assert several is not None
    assert slots_of(several.nodes[1], 1, 1)[0].gpus == ("c", "d")


def test_a_node_of_whose_gpus_nobody_has_told_hides_none() -> None:
    assert slots_of(NodeRanks("n1", (0, 1), None), 2, 1)[1] == Slot((1,), None, 1)


def test_ranks_that_run_the_same_are_told_it_once() -> None:
    """A plan has the text of a program for each of its GPUs, not for each of its ranks."""
    ranks = Ranks([NodeRanks(name, (0, 1, 2, 3), ("a", "a", "b", "b")) for name in ("n1", "n2")], 4)
    programs, orders = orders_of(ranks, 1, lambda slot: ["run", gpus_of(slot) or ""])
    assert programs == [["run", "a"], ["run", "b"]]
    assert [order.program for order in orders[1]] == [0, 0, 1, 1]
    assert [(order.cores, order.gpus) for order in orders[0]][2] == ((2,), "b")
    assert [node[0].environment for node in orders] == [
        {NODE_VARIABLE: "n1"},
        {NODE_VARIABLE: "n2"},
    ]


NAMES = ["n1", "n2"]
RANKS = Ranks([NodeRanks(name, (0, 1)) for name in NAMES], 2)


def test_a_rank_of_srun_is_where_slurm_says() -> None:
    told = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURMD_NODENAME": "n2", "SLURM_NTASKS": "4"}
    assert rank_in(told, NAMES, 2) == Rank(1, 1, 1)  # Slurm sorts nodes by itself


def test_a_rank_of_hydra_is_counted() -> None:
    told = {"PMI_RANK": "2", "PMI_SIZE": "4"}
    assert (
        rank_in(told, NAMES, 2)
        == rank_in({**told, "MPI_LOCALRANKID": "0"}, NAMES, 2)
        == Rank(2, 1, 0)
    )


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"OMPI_COMM_WORLD_RANK": "1"},
        {"PMI_RANK": "x", "PMI_SIZE": "4"},
        {"PMI_RANK": "1", "PMI_SIZE": "2"},
        {"PMI_RANK": "7", "PMI_SIZE": "8"},
        {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"},  # one on each node in turn
        {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURMD_NODENAME": "n9", "SLURM_NTASKS": "4"},
        {"SLURM_PROCID": "1", "SLURM_LOCALID": "2", "SLURMD_NODENAME": "n2", "SLURM_NTASKS": "4"},
    ],
)
def test_a_rank_of_another_world_is_refused(told: dict[str, str]) -> None:
    with pytest.raises(EnvironmentMismatchError, match=r"(?i)rank"):
        rank_in(told, NAMES, 2)


def test_a_rank_that_refuses_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its launcher would wait for the others, and they for it."""
    files = RankFiles(tmp_path, 7)
    files.write_plan(RankPlan("owner", {}, NAMES, 2, [], False, [], "/", False, ""))
    monkeypatch.setattr(rank_start, "become_subreaper", lambda: None)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    for name, value in {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PMI_HOSTNAME", "n2")
    assert rank_start.main([str(files.plan)]) == 1
    told = msgspec.json.decode(capfd.readouterr().err, type=RankEnded)
    assert (told.rank, told.node, told.is_bad) == (1, "n2", True)
    assert told.fault.startswith("Rank 1 of 4 is number 0 on its node")
    assert rank_start.main([str(tmp_path / "8.ranks")]) == 1
    assert "No such file" in capfd.readouterr().err


#: Starts one rank as slurmstepd does, and ends as it is told.
STEPD = """
import os, signal, subprocess, sys, time
how, *argv = sys.argv[1:]
rank = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
assert b"RankBegun" in rank.stderr.readline()
if how == "cannot hear":
    rank.stderr.close()
    rank.stdin.write(b"e")
    rank.stdin.flush()
    rank.wait()
elif how == "input first":
    rank.stdin.close()
    time.sleep(0.3)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["at once", "input first", "cannot hear"])
def test_a_rank_whose_launcher_is_killed_says_so(tmp_path: Path, how: str) -> None:
    """Whatever it learns first: a process that is killed closes its files before its children are told.

    Neither Slurm nor srun notices: without a word of the rank its task would never end.
    """
    files = RankFiles(tmp_path, 7)
    sleep = [["sleep", "600"]]
    order = RankOrder(0, {}, (), None, 1)
    plan = RankPlan("owner", {}, ["n1"], 1, sleep, False, [[order]], "/", True, str(files.lost))
    files.write_plan(plan)
    rank = [sys.executable, "-S", "-P", "-c", ENTER, str(ROOT), str(files.plan)]
    told = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURMD_NODENAME": "n1", "SLURM_NTASKS": "1"}
    stepd = [sys.executable, "-S", "-c", STEPD, how, *rank]
    with subprocess.Popen(stepd, env={**os.environ, **told}) as process:
        assert process.wait(120) == -signal.SIGKILL
    end = time.monotonic() + 120
    while (lost := files.read_lost()) is None:
        assert time.monotonic() < end, "the rank has said nothing"
        time.sleep(0.02)
    assert lost == RankLost(0, "n1")


def test_names_of_ranks_and_hosts() -> None:
    assert hosts_of(RANKS) == "n1,n2"
    assert name_of(3, "n2", size_of(RANKS)) == "rank 3 of 4 on n2"


def test_a_rank_imports_next_to_nothing() -> None:
    """All ranks of a node start at once: what each imports is most of the time that a short program takes."""
    code = f"{ENTER.replace('os._exit(main(sys.argv[1:]))', 'print(*sys.modules)')}"
    told = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code, str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(told.stdout.split())
    ours = {
        name.removeprefix("adaptive_scheduler.") for name in found if name.startswith("adaptive")
    }
    assert "client.tasks.ranks.rank_start" in ours
    slow = {
        "msgspec",
        "psutil",
        "pathlib",
        "inspect",
        "dataclasses",
        "socket",
        "subprocess",
        "logging",
    }
    assert found & slow == set()
    assert len(found) < 100, sorted(found)


# ------------------------------------------------------------------------------- launchers


def test_srun_leaves_the_cores_to_the_ranks() -> None:
    line = srun_line("srun", ["n1", "n2"], 2, {"mpi": "pmi2"})
    assert line[0] == "srun"
    assert {"--overlap", "--mem=0", "--mpi=pmi2", "--ntasks=4", "--nodelist=n1,n2"} <= set(line)
    assert "--exact" not in line


@pytest.mark.parametrize(
    ("shown", "environ", "settings"),
    [
        ("MpiDefault = none\nTaskPlugin = task/none\n", {}, {"mpi": "pmi2"}),
        ("MpiDefault = none\n", {"SLURM_MPI_TYPE": "pmix"}, {}),
        ("MpiDefault              = pmix\nTaskPlugin = task/affinity,task/cgroup\n", {},
         {"cpu-bind": "none"}),
    ],
)  # fmt: skip
def test_settings_of_the_cluster_count(
    shown: str, environ: dict[str, str], settings: dict[str, str]
) -> None:
    assert srun_settings(shown, environ) == settings


def test_ranks_are_not_started_while_slurm_does_not_say_how_they_find_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would be a world of its own, which computes something else, without a word."""
    for name, text in {"srun": "", "scontrol": "echo Unable to contact >&2; exit 1"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environ = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "SLURM_CONF": str(tmp_path)}
    environ |= {"PATH": os.environ["PATH"], "SLURM_LABELIO": "1"}
    with pytest.raises(TaskError, match=r"find each other: .*Unable to contact\. Retry .*MPI_TYPE"):
        find_launcher(RANKS, environ, tmp_path)
    found = find_launcher(RANKS, {**environ, "SLURM_MPI_TYPE": "pmix"}, tmp_path)
    assert found.environment["SLURM_MPI_TYPE"] == "pmix"
    assert "SLURM_LABELIO" not in found.environment  # it would number the lines of reports


def test_mpiexec_stays_on_one_node_or_goes_by_pbs() -> None:
    assert mpiexec_line("mpiexec", ["n1"], 3) == ["mpiexec", "-launcher", "fork", "-n", "3"]
    line = mpiexec_line("mpiexec", ["n1", "n2"], 3, "/run/tmrsh")
    assert line == [
        "mpiexec", "-launcher", "rsh", "-launcher-exec", "/run/tmrsh", "-hosts", "n1,n2", "-ppn", "3",
        "-n", "6",
    ]  # fmt: skip


def test_a_launcher_has_its_job_but_no_step() -> None:
    of_step = {"SLURM_PROCID": "0", "SLURM_NTASKS": "9", "SLURM_MEM_PER_NODE": "5", "PMI_RANK": "1"}
    of_job = {"SLURM_JOB_ID": "7", "PBS_JOBID": "8", "PBS_NODEFILE": "/f", "PATH": "/bin"}
    ours = {"ADAPTIVE_SCHEDULER_JOB": "7", "ADAPTIVE_SCHEDULER_TASK": "3", "LOCALBATCH_JOB_ID": "1"}
    assert launch_environment({**of_step, **of_job, **ours}) == {**of_job, **ours}


def test_an_salloc_elsewhere_is_no_node() -> None:
    assert not is_in_slurm({"SLURM_JOB_ID": "7"})
    assert is_in_slurm({"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1"})


def test_a_programs_own_launcher_finds_the_way() -> None:
    assert own_launcher(1, None) == {"HYDRA_LAUNCHER": "fork", "HYDRA_RMK": "user"}
    assert own_launcher(2, None, "/tmrsh")["HYDRA_LAUNCHER_EXEC"] == "/tmrsh"
    assert own_launcher(2, {"mpi": "pmi2"}) == {
        "SLURM_OVERLAP": "1", "SLURM_MEM_PER_NODE": "0", "SLURM_MPI_TYPE": "pmi2",
        "HYDRA_LAUNCHER": "slurm",
    }  # fmt: skip


# ------------------------------------------------------------------------------- reports


def test_reports_are_told_from_what_launchers_say() -> None:
    output = LauncherOutput()
    begun, ended = RankBegun(1, 77), RankEnded(1, "n2", status=3)
    told = msgspec.json.encode(begun) + b"\nsrun: error: no\n=====\n" + msgspec.json.encode(ended)
    os.write(output.its, told[:20])
    assert list(output.read()) == []
    os.write(output.its, told[20:])
    output.close_its()
    assert list(output.read()) == [begun, b"srun: error: no\n", b"=====\n", ended]
    assert output.last_line == "srun: error: no"
    assert ended.is_bad
    assert not RankEnded(0, "n1").is_bad


def test_what_srun_says_of_a_job_that_goes_on_is_no_line_of_its_task() -> None:
    """It came behind the value that a command prints last, and was taken for it."""
    output = LauncherOutput()
    os.write(output.its, b"srun: error: no\nsrun: got SIGCONT\nsrun: go")
    assert list(output.read()) == [b"srun: error: no\n"]
    os.write(output.its, b"t SIGCONT\n")
    output.close_its()
    assert list(output.read()) == []
    assert output.last_line == "srun: error: no"


@pytest.mark.parametrize("work", [Call("f", b""), CommandSpec([], "/", "/log")])
@pytest.mark.parametrize("ended", [{0: True}, {0: True, 1: False}])
def test_a_task_has_succeeded_only_when_all_its_ranks_have_said_so(
    work: Call | CommandSpec, ended: dict[int, bool]
) -> None:
    """srun ends with status 0 when a node has died and the ranks that are left have ended well."""
    ranks = Ranks([NodeRanks("n1", (0,)), NodeRanks("n2", (0,))], 1)
    program = object.__new__(RankedProgram)
    program._folder = Path("/none")
    program.start = Start(7, work, Slot((0,)), ranks=ranks)
    program.since, program._peak, program._step, program._ranks = 0.0, 0, CommandStep(""), ranks
    program._launch = launch = _Launch(RankLauncher(["srun"], {}, has_input=True))
    launch.ended = ended
    found = program._judge(ProcessEnd(0, 0, 0))
    assert found is not None
    assert (found.kind, found.text) == (
        EndKind.DIED, "1 of its 2 ranks were lost before they had ended",
    )  # fmt: skip
