"""Options of a sweep that take several words, and what its file says of jobs."""

from __future__ import annotations

from typing import Any

import pytest

from adaptive_scheduler.commandline.input.sweep_jobs import job_settings
from adaptive_scheduler.commandline.input.word_lists import with_repeated_options
from adaptive_scheduler.core.sweeps.slots import read_resource
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.sweep.places import beside_jobs, in_jobs, job_shape, on_this_machine
from adaptive_scheduler.scheduler import SLURM


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("-c train test -d", "-c train -c test -d"),
        ("-r 0 1,2 --dry-run -c a", "-r 0 -r 1,2 --dry-run -c a"),
        ("-c a -c b", "-c a -c b"),
        ("-r", "-r"),
        ("-c -d", "-c -d"),
        ("-o out -t one --command=a", "-o out -t one --command=a"),
        ("--metric a=b c=d out", "--metric a=b --metric c=d out"),
        ("out --metric a=b", "out --metric a=b"),
    ],
)
def test_a_list_of_words_is_an_option_several_times(typed: str, read: str) -> None:
    assert with_repeated_options(typed.split()) == read.split()


KNOWN = ("scheduler", "cores", "gpus", "max_jobs", "extra_env_vars", "memory")


def test_what_is_typed_comes_before_what_the_file_says() -> None:
    written = {"scheduler": "slurm", "max-jobs": 8, "extra_env_vars": {"A": 1}}
    assert job_settings(written, {"max_jobs": 2}, KNOWN) == {
        "scheduler": "slurm", "max_jobs": 2, "extra_env_vars": ["A=1"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"core": 1}, "there is no core. Did you mean `cores"),
        ({"cores": 1}, "without a scheduler"),
        ({"scheduler": "local", "cores": "2"}, "whole number"),
        ({"scheduler": "local", "max_jobs": 0}, "at least 1"),
    ],
)
def test_wrong_jobs_are_refused(written: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        job_settings(written, {}, KNOWN)


def test_the_shape_of_jobs() -> None:
    resource = read_resource({"gpus_per_node": 4, "gpus_per_task": 1, "cores_per_task": 8})
    shape = job_shape(resource, {})
    assert (shape.cores, shape.gpus_per_node, shape.task.threads_per_rank) == (32, 4, 8)
    assert job_shape(resource, {"cores": 64}).cores == 64
    for job in ({"cores": 4}, {"memory": "1GB"}):
        with pytest.raises(InputError, match="none could ever begin"):
            job_shape(read_resource({"cores_per_task": 8, "memory_per_task": "2GB"}), job)


@pytest.mark.parametrize(
    ("resource", "job", "cores", "slots"),
    [
        ([0, 1], {"cores": 16}, 8, 2),
        ([0, 1], {}, 1, 2),
        ([0, 1, 0, 1], {"cores": 16}, 4, 4),
        (["0,1", "2,3"], {"cores": 16}, 8, 2),
        (["", ""], {"cores": 16}, 8, 2),
        ([0, 1], {"cores": 16, "gpus": 4}, 4, 4),
        ([0, 1], {"cores": 1}, 1, 1),
        (None, {"cores": 16}, 1, 16),
    ],
)
def test_slots_share_the_cores_of_a_job(
    resource: Any, job: dict[str, Any], cores: int, slots: int
) -> None:
    """Each had one core of 16, and the others were for nobody."""
    shape = job_shape(read_resource(resource), job)
    assert shape.task.threads_per_rank == cores
    assert in_jobs(SLURM(cores=shape.cores), shape, 1).slots == slots


def test_jobs_and_commands_of_several_nodes() -> None:
    resource = read_resource({
        "nodes": 4, "nodes_per_task": 2, "ranks_per_node": 2, "cores_per_task": 8, "gpus_per_node": 4,
        "gpus_per_task": 2, "memory_per_task": "2GB",
    })  # fmt: skip
    shape = job_shape(resource, {})
    assert (shape.cores, shape.task.nodes, shape.task.cores_per_node) == (16, 2, 8)
    assert (shape.task.ranks_per_node, shape.task.gpus_per_rank) == (2, 1)
    place = in_jobs(SLURM(nodes=4, cores=64), shape, 1)
    assert (place.slots, place.cores, place.launches_ranks) == (4, 16, True)
    assert job_shape(resource, {"cores": 64}).cores == 16, "those of a job are on all of its nodes"
    alone = job_shape(read_resource({"nodes": 2, "nodes_per_task": 2}), {})
    assert not in_jobs(SLURM(nodes=2, cores=2), alone, 1).launches_ranks


@pytest.mark.parametrize(
    ("resource", "job", "words"),
    [
        ({"nodes": 2, "nodes_per_task": 3}, {}, "a task has 3 nodes"),
        ({"nodes_per_task": 2}, {}, "give nodes: 2"),
        ({"cores_per_task": 3, "ranks_per_node": 2}, {}, "give cores_per_task: 2"),
        ({"nodes": 2}, {"cores": 3}, "give a multiple of 2"),
        ({"nodes": 2, "cores_per_task": 4}, {"cores": 4}, "2 cores and 0 GPUs on each node"),
        ({"nodes": 0}, {}, "at least 1"),
    ],
)
def test_nodes_that_do_not_fit(resource: Any, job: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        job_shape(read_resource(resource), job)


def test_this_machine_is_one_node() -> None:
    with pytest.raises(InputError, match="this machine is one node"):
        on_this_machine(read_resource({"nodes": 2}))


@pytest.mark.parametrize(
    ("devices", "gpus", "each"),
    [(["0,1", "2,3"], "0 1 2 3", 2), (["0", "1", "0", "1"], "0 1", 0.5), (["", ""], "", 0)],
)
def test_who_joins_a_sweep_in_jobs_has_the_gpus_that_its_tasks_ask_for(
    devices: list[str], gpus: str, each: float
) -> None:
    """They were sets of GPUs, each one GPU for a task that asks for two: only one such task ran."""
    place = beside_jobs(devices, 3)
    assert " ".join(place.where.gpus) == gpus
    assert (place.resources.gpus_per_rank, place.slots, place.where.slots) == (each, len(devices), 3 * len(devices))  # fmt: skip
