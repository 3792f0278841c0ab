"""Which rank a process is, what it gets, and how launchers are called."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.client.tasks.messages import NodeRanks, Ranks, Slot
from adaptive_scheduler.client.tasks.ranks.plan import (
    Rank,
    RankBegun,
    RankEnded,
    hosts_of,
    name_of,
    rank_in,
    ranks_of,
    slot_of,
)
from adaptive_scheduler.client.tasks.ranks.reports import LauncherOutput
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.errors import EnvironmentMismatchError
from adaptive_scheduler.schedulers.rank_launch import (
    is_in_slurm,
    launch_environment,
    mpiexec_line,
    own_launcher,
    srun_line,
    srun_settings,
)

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
    assert slot_of(Rank(0, 0, 0), ranks, 2) == Slot((0, 1), ("a",), 2)
    assert slot_of(Rank(3, 1, 1), ranks, 2) == Slot((6, 7), ("d",), 2)


def test_ranks_share_a_gpu_or_have_several() -> None:
    shared = placed(ranks_per_node=2, gpus_per_rank=0.5)
    assert shared is not None
    assert [slot_of(Rank(n, 0, n), shared, 1).gpus for n in (0, 1)] == [("a",), ("a",)]
    several = placed(nodes=2, gpus_per_rank=2)
    assert several is not None
    assert slot_of(Rank(1, 1, 0), several, 1).gpus == ("c", "d")


def test_a_node_of_whose_gpus_nobody_has_told_hides_none() -> None:
    ranks = Ranks([NodeRanks("n1", (0, 1), None)], 2)
    assert slot_of(Rank(1, 0, 1), ranks, 1) == Slot((1,), None, 1)


RANKS = Ranks([NodeRanks("n1", (0, 1)), NodeRanks("n2", (0, 1))], 2)


def test_a_rank_of_srun_is_where_slurm_says() -> None:
    told = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURMD_NODENAME": "n2", "SLURM_NTASKS": "4"}
    assert rank_in(told, RANKS) == Rank(1, 1, 1)  # Slurm sorts nodes by itself


def test_a_rank_of_hydra_is_counted() -> None:
    assert rank_in({"PMI_RANK": "2", "PMI_SIZE": "4"}, RANKS) == Rank(2, 1, 0)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"OMPI_COMM_WORLD_RANK": "1"},
        {"PMI_RANK": "x", "PMI_SIZE": "4"},
        {"PMI_RANK": "1", "PMI_SIZE": "2"},
        {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURMD_NODENAME": "n9", "SLURM_NTASKS": "4"},
        {"SLURM_PROCID": "1", "SLURM_LOCALID": "2", "SLURMD_NODENAME": "n2", "SLURM_NTASKS": "4"},
    ],
)
def test_a_rank_of_another_world_is_refused(told: dict[str, str]) -> None:
    with pytest.raises(EnvironmentMismatchError, match=r"(?i)rank"):
        rank_in(told, RANKS)


def test_names_of_ranks_and_hosts() -> None:
    assert hosts_of(RANKS) == "n1,n2"
    assert name_of(3, "n2", RANKS) == "rank 3 of 4 on n2"


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
    assert own_launcher(1, None) == {"HYDRA_LAUNCHER": "fork"}
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
