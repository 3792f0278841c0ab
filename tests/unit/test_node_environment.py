"""What a task's process is told: GPUs, threads, what only its node knows of a command's texts."""

from __future__ import annotations

import pytest

from adaptive_scheduler.client.tasks.messages import Slot
from adaptive_scheduler.client.tasks.node.environment import (
    argv_of,
    marks_of,
    placeholders,
    slot_environment,
)
from adaptive_scheduler.client.tasks.node.ledger import how
from adaptive_scheduler.client.tasks.node.variables import TASK_VARIABLE, with_devices
from adaptive_scheduler.core.paths import JOB_VARIABLE, RUN_VARIABLE
from adaptive_scheduler.core.tasks.command_spec import LATER, CommandStep, later
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.system.child_process import ProcessEnd
from adaptive_scheduler.runs.driver.commands.command import Command

SLOT = Slot((1, 2), ("2", "3"), threads=2)


def test_threads_of_all_libraries() -> None:
    told = slot_environment(SLOT, {"OMP_NUM_THREADS": "64", "A": "b"})
    assert told["A"] == "b"
    assert {told[name] for name in told if name.endswith("_NUM_THREADS")} == {"2"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} <= told.keys()


def test_gpus_of_all_makers() -> None:
    told = with_devices({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, "2,3", 2, is_amd=False)
    names = (
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
    )
    assert [told[name] for name in names] == ["2,3"] * 4


def test_amds_runtime_counts_those_that_are_left_anew_so_one_variable_says_it() -> None:
    told = with_devices({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, "2,3", 2, is_amd=True)
    assert told["ROCR_VISIBLE_DEVICES"] == "2,3"
    assert not told.keys() & {"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"}


def test_a_task_without_gpus_sees_none_unless_nobody_knows_whether_there_are_any() -> None:
    inherited = {"CUDA_VISIBLE_DEVICES": "0"}
    assert slot_environment(Slot((1,), ()), inherited)["CUDA_VISIBLE_DEVICES"] == ""
    assert slot_environment(Slot((1,), None), inherited)["CUDA_VISIBLE_DEVICES"] == "0"


def test_what_only_the_node_knows_is_quoted_for_the_shell_and_not_in_arguments() -> None:
    values = placeholders(Slot((1,), ("GPU a", "3")), "host", 2)
    text = f"run {later('_gpus')} {later('_hosts')} {later('_attempt')} {{_gpus}}"
    assert argv_of(CommandStep("", text=text), values)[2] == "run 'GPU a,3' host 2 {_gpus}"
    assert argv_of(CommandStep("", argv=["x", later("_gpus")]), values) == ["x", "GPU a,3"]
    assert values.keys() == LATER


def test_a_parameter_that_looks_like_a_placeholder_stays_as_it_is() -> None:
    from adaptive_scheduler.runs.driver.commands import command as module

    step = module._filled(CommandStep("", text="echo {x} {{_gpus}} {_gpus}"), {"x": "{_gpus}"})
    filled = argv_of(step, placeholders(SLOT, "h", 1))
    assert filled[2] == "echo '{_gpus}' {_gpus} 2,3"


def test_a_parameter_with_a_nul_is_refused() -> None:
    from adaptive_scheduler.runs.driver.commands import command as module

    with pytest.raises(InputError, match="NUL"):
        module._filled(Command("echo {x}").steps[0], {"x": later("_gpus")})


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (ProcessEnd(3, 0, 0), "ended with status 3"),
        (ProcessEnd(0, 9, 3_900_000_000), "was killed, probably out of memory: peak 3.9 GB"),
        (ProcessEnd(0, 11, 0), "was ended by SIGSEGV"),
        (ProcessEnd(0, 40, 0), "was ended by signal 40"),
        (ProcessEnd(137, 0, 10**9), "ended with status 137: a program in it was killed, probably out of"),
        (ProcessEnd(143, 0, 0), "ended with status 143: a program in it was ended by SIGTERM"),
        (ProcessEnd(255, 0, 0), "ended with status 255"),
    ],
)  # fmt: skip
def test_how_a_process_ended(ending: ProcessEnd, text: str) -> None:
    assert how(ending).startswith(text)


def test_what_is_killed_as_a_tasks_is_of_the_same_run_and_job() -> None:
    """Two clusters may both have a job 7 on one machine, and both a task 3."""
    job = {RUN_VARIABLE: "/a/run", JOB_VARIABLE: "7"}
    assert marks_of({**job, "A": "b"}, {TASK_VARIABLE: "3"}) == {**job, TASK_VARIABLE: "3"}
