"""Resources: what is accepted, and what an error says."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaptive_scheduler.core.resources import (
    Resources,
    parse_environment,
    parse_memory,
    parse_walltime,
)
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm import SLURM


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (90, 90),
        (0.2, 1),
        (timedelta(minutes=2), 120),
        ("30:00", 1800),
        ("12:00:00", 43200),
        ("2-00:00:00", 172800),
        (" 1:00 ", 60),
    ],
)
def test_a_walltime_is_whole_seconds(value: Any, seconds: int | None) -> None:
    assert parse_walltime(value) == seconds


@pytest.mark.parametrize(
    "value", ["30", "1w", "", 0, -5, float("nan"), True, timedelta(0), "0:00", "1:2:3:4", [60]]
)
def test_a_wrong_walltime_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="walltime"):
        parse_walltime(value)


def test_an_infinite_walltime_is_an_input_error() -> None:
    with pytest.raises(InputError, match="walltime"):
        parse_walltime(float("inf"))


@pytest.mark.parametrize(
    ("value", "mib"),
    [(None, None), (500, 500), ("4GB", 4096), ("4g", 4096), ("500M", 500), ("1.5 GiB", 1536),
     ("1K", 1), ("1T", 1024**2), ("4GiB", 4096), ("4 gb", 4096), ("500", 500), (np.int64(3), 3),
     ("4096B", 1), ("1048577b", 2), ("0.5k", 1)],
)  # fmt: skip
def test_memory_is_whole_mib(value: Any, mib: int | None) -> None:
    assert parse_memory(value) == mib


@pytest.mark.parametrize(
    "value", [0, -1, "4 apples", "", True, 1.5, "0GB", "GB", "4GBB", "9" * 400, -5.0, b"4GB", [1]]
)
def test_a_wrong_memory_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="memory"):
        parse_memory(value)


def test_an_environment_is_literal_and_ordered() -> None:
    assert parse_environment({"A": "$HOME", "B": 1}) == (("A", "$HOME"), ("B", "1"))
    assert parse_environment(None) == ()


@pytest.mark.parametrize("value", [["A=1"], {"A B": "1"}, {"": "1"}, {"A": "x\0"}, {"1A": "x"}])
def test_a_wrong_environment_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="extra_env_vars"):
        parse_environment(value)


# ------------------------------------------------------------------ options of a scheduler


def test_nodes_times_cores_per_node_are_the_cores() -> None:
    (shape,), index = SLURM(nodes=2, cores_per_node=3).shapes(2)
    assert (shape.cores, index) == (6, [0, 0])


def test_a_tuple_gives_one_value_per_learner_and_equal_ones_share_a_shape() -> None:
    shapes, index = SLURM(cores=(1, 2, 1), memory=("1GB", 1024, "1GB")).shapes(3)
    assert [shape.cores for shape in shapes] == [1, 2]
    assert index == [0, 1, 0]


def test_numpy_numbers_are_numbers() -> None:
    (shape,), _ = SLURM(cores=np.int64(3)).shapes(1)
    assert type(shape.cores) is int


@pytest.mark.parametrize("kind", [SLURM, PBS])
@pytest.mark.parametrize("option", ["queue", "partition"])
def test_queue_and_partition_are_two_names_for_one_thing(kind: Any, option: str) -> None:
    assert kind(cores=1, **{option: "q"}).shapes(1)[0] == [Resources(cores=1, partition="q")]
    with pytest.raises(InputError, match=rf"{option}\[1\]=3 must be a text"):
        kind(cores=1, **{option: ("a", 3)})
    with pytest.raises(InputError, match="are two names for one thing"):
        kind(cores=1, partition="a", queue="b")


def test_names_that_users_of_other_packages_type_are_accepted() -> None:
    scheduler = SLURM(
        1, python="/py", log_directory="/logs", job_script_prologue=["module load x"],
        job_extra_directives=["--account=x"],
    )  # fmt: skip
    assert scheduler.python_executable == "/py"
    assert scheduler.log_folder == "/logs"
    assert scheduler.setup == ("module load x",)
    assert scheduler.shapes(1)[0][0].extra_scheduler == ("--account=x",)


@pytest.mark.parametrize("kind", [SLURM, PBS, LocalScheduler])
def test_every_option_is_named_and_described(kind: type[Scheduler]) -> None:
    parameters = inspect.signature(kind).parameters
    assert {p.kind for p in parameters.values()} <= {
        inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY,
    }  # fmt: skip
    described = f"{kind.__doc__}{inspect.getdoc(Scheduler.__init__)}"
    assert [name for name in parameters if name not in described] == []


@pytest.mark.parametrize("kind", [SLURM, PBS, LocalScheduler])
def test_an_unknown_option_is_told_what_this_scheduler_takes(kind: type[Scheduler]) -> None:
    with pytest.raises(InputError, match=rf"{kind.__name__}: .*Did you mean 'walltime'\?"):
        kind(1, waltime="1h")  # type: ignore[call-arg]
    with pytest.raises(InputError) as caught:
        kind(1, xyz=1)  # type: ignore[call-arg]
    options = str(caught.value).rpartition("Known are ")[2].rstrip(".").split(", ")
    assert options == list(inspect.signature(kind).parameters)
    for option in options:  # what is offered is accepted
        if option != "cores":
            kind(1, **{option: None})


def test_a_scheduler_is_shown_on_one_line() -> None:
    assert repr(SLURM(4, walltime="12h", queue="main")) == (
        "SLURM(cores=4, walltime='12h', partition='main')"
    )
    assert repr(PBS(4, queue="main")) == "PBS(cores=4, queue='main')"
    assert repr(LocalScheduler(2, max_cores=8)) == "LocalScheduler(cores=2, max_cores=8)"
    many = repr(SLURM(tuple(range(1, 1000)), extra_script="echo hello\n" * 1000))
    assert len(many) < 200
    assert "\n" not in many


def test_a_callable_executor_is_named_by_its_place() -> None:
    def pool(n: int) -> None: ...

    scheduler = SLURM(cores=2, executor_type=(pool, "mpi4py", pool))
    shapes, index = scheduler.shapes(3)
    assert index == [0, 1, 0]
    assert shapes[0].executor_type == "callable:0"
    assert shapes[0].is_single_process
    assert scheduler.executor_callables == [pool]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["cores", "nodes"]),
        ({"cores": 0}, ["cores=0", "at least 1"]),
        ({"cores": "4"}, ["cores='4'", "whole number"]),
        ({"cores": 1.5}, ["cores=1.5"]),
        ({"cores": True}, ["cores=True"]),
        ({"cores": (1, -2)}, ["cores[1]=-2"]),
        ({"cores": ()}, ["cores=()", "empty"]),
        ({"cores": (1, 2), "memory": (1, 2, 3)}, ["cores has 2", "memory has 3"]),
        ({"cores": 5, "nodes": 2, "cores_per_node": 2}, ["cores=5", "leave cores out"]),
        ({"cores": 4, "nodes": 2, "executor_type": "loky"}, ["loky", "one node"]),
        ({"cores": 1, "walltime": "30"}, ["walltime='30'", "MM:SS"]),
        ({"cores": (1, 1), "walltime": ("1:00", "x")}, ["walltime[1]='x'"]),
        ({"cores": 1, "memory": "lots"}, ["memory='lots'", "4GB"]),
        ({"cores": 1, "gpus": -1}, ["gpus=-1"]),
        ({"cores": 1, "partition": 3}, ["partition=3"]),
        ({"cores": 1, "partition": "a", "queue": "b"}, ["partition", "queue"]),
        ({"cores": 1, "extra_scheduler": 5}, ["extra_scheduler=5", "list of texts"]),
        ({"cores": 1, "extra_env_vars": ["A=1"]}, ["extra_env_vars", "mapping"]),
        ({"cores": 1, "coers": 2}, ["unknown argument 'coers'", "Did you mean 'cores'"]),
        ({"cores": 1, "mpiexec_executable": ""}, ["mpiexec_executable", "empty"]),
    ],
)
def test_an_error_names_the_option_and_the_remedy(
    options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        SLURM(**options)
    for word in words:
        assert word in str(caught.value)


def test_a_tuple_must_have_one_value_per_learner() -> None:
    with pytest.raises(InputError, match="2 values for 3 learners"):
        SLURM(cores=(1, 2)).shapes(3)


def test_a_launcher_is_split_like_a_shell_does() -> None:
    assert SLURM(cores=1, mpiexec_executable="srun '--x=a b'").mpiexec_executable == (
        "srun",
        "--x=a b",
    )
    assert SLURM(cores=1, mpiexec_executable=["a b", "-c"]).mpiexec_executable == ("a b", "-c")


@pytest.mark.parametrize("kind", [SLURM, PBS, LocalScheduler])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exclusive": "no"}, "exclusive='no' must be True or False"),
        ({"setup": 3}, "setup=3 must be a text or a list of texts"),
        ({"setup": [3]}, "setup=3 must be a text"),
        ({"log_folder": 3}, "log_folder=3 must be a str or a path"),
    ],
)
def test_a_wrong_option_is_named(kind: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        kind(1, **options)


def test_the_slots_and_the_folder_of_the_local_scheduler_are_checked(tmp_path: Path) -> None:
    assert LocalScheduler(1, max_cores=np.int64(3), state=tmp_path).max_cores == 3  # type: ignore[arg-type]
    for wrong in ({"max_cores": True}, {"max_cores": 1.5}, {"state": 3}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            LocalScheduler(1, **wrong)  # type: ignore[arg-type]
