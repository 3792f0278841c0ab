"""The text of job scripts."""

from __future__ import annotations

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import client_command, job_script
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm import SLURM


def script(scheduler: Scheduler, resources: Resources, **config: object) -> str:
    job = JobRequest("job", "as:run:5", resources, "/logs")
    settings = RunConfig("run", [resources], ["job"], "/logs", **config)  # type: ignore[arg-type]
    return job_script(scheduler, job, settings, RunFolder("/tmp/x.tinydb"), 5)


@pytest.mark.parametrize("kind", [SLURM, PBS, LocalScheduler])
def test_the_header_comes_first_then_the_setup(kind: type[Scheduler]) -> None:
    scheduler = kind(1, setup="module load x")
    lines = script(scheduler, Resources(cores=1)).splitlines()
    assert lines[0] == "#!/bin/bash -l"
    header = [n for n, line in enumerate(lines) if line.startswith(("#SBATCH", "#PBS", "#LOCAL"))]
    assert header == list(range(1, len(header) + 1)), "directives below a command are not read"
    ours = scheduler.output_script(JobRequest("job", "as:run:5", Resources(cores=1), "/logs"))
    assert lines[len(header) + 1 :][: len(ours) + 1] == [*ours, "module load x"]


def test_no_address_and_no_key() -> None:
    text = script(SLURM(4), Resources(cores=4))
    assert "tcp://" not in text
    assert "secret" not in text
    assert "export ADAPTIVE_SCHEDULER_RUN=/tmp/x.tinydb.run" in text


def test_environment_is_set_before_extra_script_and_the_client() -> None:
    resources = Resources(extra_env_vars=(("A", "b c"),), extra_script="echo $A", num_threads=2)
    text = script(SLURM(1), resources)
    places = [
        text.index(part) for part in ("export A='b c'", "\necho $A\n", "adaptive_scheduler.client")
    ]
    assert places == sorted(places)
    assert "export MKL_NUM_THREADS=2" in text


def test_users_variables_win_over_ours() -> None:
    text = script(SLURM(1), Resources(extra_env_vars=(("OMP_NUM_THREADS", "8"),), num_threads=2))
    assert text.count("export OMP_NUM_THREADS=") == 1
    assert "export OMP_NUM_THREADS=8" in text


def test_the_client_or_the_users_own_script() -> None:
    settings = RunConfig("run", [], ["job"], "/logs")
    scheduler = SLURM(2, python_executable="/py", mpiexec_executable="mpirun -x")
    mpi = client_command(scheduler, Resources(cores=2), settings)
    assert mpi[:4] == ["mpirun", "-x", "-n", "2"]
    assert mpi[-2:] == ["-m", "adaptive_scheduler.client"]
    one = client_command(scheduler, Resources(cores=2, executor_type="process-pool"), settings)
    assert one == ["/py", "-m", "adaptive_scheduler.client"]
    own = RunConfig("run", [], ["job"], "/logs", run_script="/my run.py")
    assert client_command(scheduler, Resources(), own)[-1] == "/my run.py"


@pytest.mark.parametrize("kind", [SLURM, PBS, LocalScheduler])
def test_the_script_can_be_seen_before_anything_is_submitted(kind: type[Scheduler]) -> None:
    text = kind(2, walltime="1h", setup="module load x").job_script()
    assert text.startswith("#!/bin/bash -l\n")
    for line in ("module load x", "export ADAPTIVE_SCHEDULER_SUBMIT=1", "cd -- /WORKING_DIRECTORY || exit 1",
                 "export ADAPTIVE_SCHEDULER_WALLTIME=3600",
                 "export ADAPTIVE_SCHEDULER_LOGS=/RUN_FOLDER/logs"):  # fmt: skip
        assert line in text.splitlines()


def test_there_is_one_script_for_each_shape() -> None:
    text = SLURM(cores=(1, 2, 1)).job_script()
    first, second = text.split("##### learners ")[1:]
    assert first.startswith("0, 2:\n#!/bin/bash")
    assert "--ntasks=1" in first
    assert second.startswith("1:\n#!/bin/bash")
    assert "--ntasks=2" in second
