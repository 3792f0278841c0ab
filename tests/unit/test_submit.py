"""What each answer to a submit means, without a batch system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobRequest, Refusal
from adaptive_scheduler.core.jobs.commands import NotSubmitted, Submitted, SubmitUnknown
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import CommandMissingError, FileError, SchedulerError, UserCodeError
from adaptive_scheduler.io.system.commands import TIMED_OUT
from adaptive_scheduler.io.system.submit import refused_by, submit, write_script
from adaptive_scheduler.schedulers.slurm import SLURM


def request(log_folder: str = "/logs") -> JobRequest:
    return JobRequest("job", "as:run:1", Resources(cores=1), log_folder)


def answered(rc: int, stdout: str = "", stderr: str = "") -> object:
    def run(argv: Sequence[str]) -> CommandResult:
        return CommandResult(tuple(argv), rc, stdout, stderr)

    return submit(SLURM(cores=1), request(), Path("x.sh"), 2, run)


def test_the_jobs_are_named() -> None:
    assert answered(0, "61\n") == Submitted(["61_0", "61_1"])


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr"),
    [
        (TIMED_OUT, "", "no answer in 60 s"),
        (1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"),
        (0, "\x00?\n", ""),
    ],
)  # fmt: skip
def test_fault_16_where_nobody_knows_the_result_is_unknown(
    rc: int, stdout: str, stderr: str
) -> None:
    assert isinstance(answered(rc, stdout, stderr), SubmitUnknown)


def test_a_refusal_says_what_it_means_in_one_line() -> None:
    result = answered(1, "", "sbatch: error: invalid partition\n  specified: x\n")
    assert isinstance(result, NotSubmitted)
    assert result.refusal is Refusal.IMPOSSIBLE
    assert "\n" not in result.reason
    assert "invalid partition" in result.reason


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (CommandMissingError("no sbatch"), Refusal.IMPOSSIBLE),
        (UserCodeError("write_script", "it raises ValueError"), Refusal.IMPOSSIBLE),
        (FileError("/logs", "is full."), Refusal.BUSY),
        (SchedulerError("no process can be started"), Refusal.BUSY),
    ],
)
def test_of_errors_before_the_submit_only_lasting_ones_hold_the_run(
    error: SchedulerError, refusal: Refusal
) -> None:
    def run(argv: Sequence[str]) -> CommandResult:
        raise error

    result = submit(SLURM(cores=1), request(), Path("x.sh"), 1, run)
    assert result == refused_by(error) == NotSubmitted(refusal, str(error))


def test_a_script_is_private_and_its_output_folder_exists(tmp_path: Path) -> None:
    script = tmp_path / "1.sh"
    write_script(request(str(tmp_path / "new" / "logs")), script, "#!/bin/sh\n")
    assert script.read_text() == "#!/bin/sh\n"
    assert script.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "logs").is_dir()
