"""Job scripts, run by a real bash with a client that only records what it was given."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import string
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adaptive_scheduler.core.config import Environment, RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.schedulers import job_script
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm import SLURM

PATIENCE = 200.0
SCHEDULERS = [SLURM, PBS, LocalScheduler]
#: What a batch system tells its jobs.
TOLD = {
    "SLURM_JOB_ID": "71", "SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_RESTART_COUNT": "2", "PBS_JOBID": "70[3].vm", "LOCALBATCH_JOB_ID": "70_3",
    "LOCALBATCH_RESTART": "2",
}  # fmt: skip
ODD = [
    "", " ", "a b", "'", '"', "''\"\"", "\n", "a\nb\n", "\t", "$(touch owned)", "`touch owned`",
    "${HOME}", "$HOME", "\\", "\\n", "a\\", "-n", "--", "-", "~", "*", "?", "[a]", "{a,b}", "!!",
    "a;b", "a&b", "a|b", "<a", ">a", "#a", "ü€😀", "\u202e", "\r", "\x01", "\x7f", "%s", "a=b",
]  # fmt: skip


def odd_strings(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    letters = string.printable + "ü€😀$`'\"\\\n-"
    return [*ODD, *("".join(rng.choices(letters, k=rng.randint(1, 20))) for _ in range(n))]


class Bench:
    """A run folder, a client that obeys, and a way to run scripts.

    The client is any Python code; it stands for python_executable.
    """

    def __init__(self, home: Path, client: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.client = home / "client"
        code = home / "client.py"
        code.write_text(client)
        # Python itself cannot stand in the first line: its path may have a blank in it
        words = shlex.join([sys.executable, str(code)])
        self.client.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        self.client.chmod(0o755)
        qstat = home / "bin" / "qstat"
        qstat.parent.mkdir()
        qstat.write_text("#!/bin/sh\necho '    run_count = 3'\n")
        qstat.chmod(0o755)
        self.folder = RunFolder(home / "run")
        (self.folder.folder / "ends").mkdir(parents=True)
        self.logs = home / "logs"
        self.setup = f"PATH={shlex.quote(str(home / 'bin'))}:$PATH"

    def script(self, scheduler: Scheduler, resources: Resources, cwd: Path | None = None) -> str:
        job = JobRequest("job", "as:run:5", resources, str(self.logs))
        where = Environment(str(cwd or self.home), [], "3.11", {})
        config = RunConfig("run", [resources], ["job"], str(self.logs), environment=where)
        return job_script.job_script(scheduler, job, config, self.folder, 5)

    def start(self, text: str, **environ: str) -> subprocess.Popen[bytes]:
        path = self.home / "script.sh"
        path.write_bytes(os.fsencode(text))
        env = os.environ | TOLD | environ
        return subprocess.Popen(
            ["bash", "-l", path], env=env, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, text: str, **environ: str) -> int:
        """Run a script to its end; it prints nothing past its own log."""
        process = self.start(text, **environ)
        out, _ = process.communicate(timeout=PATIENCE)
        assert out == b"", "what a script prints lands in the batch system's own file"
        return process.returncode

    def output(self) -> str:
        (log,) = self.logs.iterdir()
        return log.read_text(errors="replace")

    def simple(self) -> str:
        scheduler = LocalScheduler(1, python_executable=str(self.client))
        return self.script(scheduler, Resources(executor_type="sequential"))


SAYS = """
import json, os, pathlib, sys
said = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}
pathlib.Path(os.environ["REPORT"]).write_text(json.dumps(said))
"""


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def has_said(bench: Bench, text: str) -> bool:
    """Whether it is written down; so who writes that ignores signals by now."""
    logs = bench.logs.iterdir() if bench.logs.exists() else ()
    return any(text in log.read_text() for log in logs)


# ------------------------------------------------------------------ quoting (fault 29)


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_fault_29_every_string_arrives_as_it_was_given(
    kind: type[Scheduler], tmp_path: Path
) -> None:
    words = odd_strings(300, seed=1)
    bench = Bench(tmp_path / "a 'b' $(touch owned) \"ü\" -n", SAYS)
    cwd = bench.home / "- $x\n'y'"
    cwd.mkdir()
    variables = tuple((f"ODD_{n}", word) for n, word in enumerate(words))
    scheduler = kind(1, setup=bench.setup, mpiexec_executable=[str(bench.client), *words])
    report = bench.home / "report"
    text = bench.script(scheduler, Resources(cores=7, extra_env_vars=variables), cwd)
    assert bench.run(text, REPORT=str(report)) == 0
    said = json.loads(report.read_text())
    assert said["argv"][: len(words)] == words
    assert [said["env"][key] for key, _ in variables] == words
    assert Path(said["cwd"]).samefile(cwd)
    assert said["env"]["ADAPTIVE_SCHEDULER_RUN"] == os.fspath(bench.folder)
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_the_job_knows_itself(kind: type[Scheduler], tmp_path: Path) -> None:
    bench = Bench(tmp_path, SAYS)
    report = tmp_path / "report"
    scheduler = kind(1, setup=bench.setup, python_executable=str(bench.client))
    resources = Resources(cores=2, walltime=90, num_threads=3, executor_type="sequential")
    assert bench.run(bench.script(scheduler, resources), REPORT=str(report)) == 0
    env = json.loads(report.read_text())["env"]
    job = "70[3].vm" if kind is PBS else "70_3"
    assert env["ADAPTIVE_SCHEDULER_JOB"] == job
    assert env["ADAPTIVE_SCHEDULER_RESTART"] == "2"
    assert env["ADAPTIVE_SCHEDULER_TRY"] == "0"
    assert env["ADAPTIVE_SCHEDULER_SUBMIT"] == "5"
    assert env["ADAPTIVE_SCHEDULER_WALLTIME"] == "90"
    assert env["OMP_NUM_THREADS"] == "3"
    assert [path.name for path in bench.logs.iterdir()] == [f"{job}.out"]


def test_fault_21_no_key_and_no_address_in_a_script(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SAYS)
    text = bench.simple()
    assert "tcp://" not in text
    assert "key" not in text.lower().replace(str(tmp_path).lower(), "")


# ------------------------------------------------------------------- the restart loop

FAILS_TWICE = """
import os, pathlib, sys
tries = pathlib.Path(os.environ["REPORT"])
with tries.open("a") as file:
    print(os.environ["ADAPTIVE_SCHEDULER_TRY"], file=file)
print("working", flush=True)
if len(tries.read_text().split()) < 3:
    os.kill(os.getpid(), 9)
"""


def test_fault_19_a_killed_client_is_started_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FAILS_TWICE)
    report = tmp_path / "report"
    assert bench.run(bench.simple(), REPORT=str(report)) == 0
    assert report.read_text().split() == ["0", "1", "2"]
    assert bench.output().count("started again") == 2


ENDS_WITH_A_MARK = """
import os, pathlib, sys
pathlib.Path(os.environ["REPORT"]).open("a").write("x")
pathlib.Path(os.environ["ADAPTIVE_SCHEDULER_END"]).touch()
sys.exit(4)
"""


def test_a_mark_ends_the_loop(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ENDS_WITH_A_MARK)
    report = tmp_path / "report"
    assert bench.run(bench.simple(), REPORT=str(report)) == 4
    assert report.read_text() == "x"
    assert not list(bench.folder.ends.iterdir()), "the mark is removed"


def test_no_more_tries_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_script, "MAX_TRIES", 3)
    bench = Bench(tmp_path, "import os\nopen(os.environ['REPORT'], 'a').write('x')\nos._exit(9)")
    report = tmp_path / "report"
    assert bench.run(bench.simple(), REPORT=str(report)) == 9
    assert report.read_text() == "xxx"


MEETS_AND_DIES = """
import os, pathlib
pathlib.Path(os.environ["ADAPTIVE_SCHEDULER_END"] + ".begun").touch()
open(os.environ["REPORT"], "a").write("x")
os._exit(9)
"""


def test_a_client_that_met_the_manager_is_followed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_script, "MAX_TRIES", 12)  # whose pauses would be 65 s in all
    bench = Bench(tmp_path, MEETS_AND_DIES)
    begin = time.monotonic()
    assert bench.run(bench.simple(), REPORT=str(tmp_path / "report")) == 9
    assert (tmp_path / "report").read_text() == "x" * 12
    assert time.monotonic() - begin < 60


BEGINS_ONCE = """
import os, pathlib
report = pathlib.Path(os.environ["REPORT"])
if not report.exists():
    pathlib.Path(os.environ["ADAPTIVE_SCHEDULER_END"] + ".begun").touch()
report.open("a").write("x")
os._exit(9)
"""


def test_clients_that_are_given_no_learner_are_started_slower_and_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_script, "MAX_TRIES", 5)
    bench = Bench(tmp_path, BEGINS_ONCE)
    begin = time.monotonic()
    assert bench.run(bench.simple(), REPORT=str(tmp_path / "report")) == 9
    assert (tmp_path / "report").read_text() == "xxxxx", (
        "a job that was given a learner is worth more"
    )
    assert time.monotonic() - begin >= 1 + 2 + 3 + 4


def test_clients_that_were_never_given_a_learner_are_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "import os\nopen(os.environ['REPORT'], 'a').write('x')\nos._exit(9)")
    assert bench.run(bench.simple(), REPORT=str(tmp_path / "report")) == 9
    assert (tmp_path / "report").read_text() == "x" * job_script.MAX_VAIN_TRIES
    assert "were given no learner" in bench.output()


LEAVES_MEMORY = """
import os, pathlib
tries = pathlib.Path(os.environ["REPORT"])
n = tries.read_text().count("x") if tries.exists() else 0
left = tries.with_name(f"segment $x {n}")
left.touch()
end = os.environ["ADAPTIVE_SCHEDULER_END"]
launcher = os.environ["LAUNCHER"]
pathlib.Path(end + ".memory").write_text(
    f"{left}\\n{tries.parent}\\n/dev/shm/not there\\n{launcher}old\\n{launcher}young\\n")
tries.open("a").write("x")
if n < 2:
    os.kill(os.getpid(), 9)
"""


def test_shared_memory_of_a_dead_world_is_removed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LEAVES_MEMORY)
    report = tmp_path / "report"
    launcher = f"/tmp/hydra_hwloc_xmlfile_{os.getpid()}_"
    old, young = Path(launcher + "old"), Path(launcher + "young")
    old.touch()
    os.utime(old, (1, 1))
    young.touch()
    assert bench.run(bench.simple(), REPORT=str(report), LAUNCHER=launcher) == 0
    assert not old.exists()
    young.unlink()  # it was left: another world that starts may need it
    assert report.read_text() == "xxx"
    assert not list(tmp_path.glob("segment*"))
    assert not list(bench.folder.ends.iterdir())


SAVES_SLOWLY = """
import os, pathlib, signal, sys, time
report = pathlib.Path(os.environ["REPORT"])
def save(*_):
    time.sleep(1.0)
    print("saved", flush=True)
    report.write_text("saved")
    sys.exit(int(os.environ.get("STATUS", "0")))
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.mark.parametrize("status", ["0", "7"])
def test_a_signal_is_outlived_until_the_client_has_saved(tmp_path: Path, status: str) -> None:
    """The batch system's signal goes to every process of the job."""
    bench = Bench(tmp_path, SAVES_SLOWLY)
    report = tmp_path / "report"
    process = bench.start(bench.simple(), REPORT=str(report), STATUS=status)
    wait_for(lambda: has_said(bench, "ready\n"))
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert report.read_text() == "saved"
    assert "saved" in bench.output()
    assert "started again" not in bench.output()
    assert process.returncode == int(status)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP])
def test_an_early_signal_ends_nothing(tmp_path: Path, number: int) -> None:
    """It means to the client: look at the clock. The script goes on waiting."""
    client = f"import signal\nsignal.signal({int(number)}, signal.SIG_IGN)\n{SAVES_SLOWLY}"
    bench = Bench(tmp_path, client)
    report = tmp_path / "report"
    process = bench.start(bench.simple(), REPORT=str(report))
    wait_for(lambda: has_said(bench, "ready\n"))
    os.killpg(process.pid, number)
    time.sleep(0.3)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_signal_between_two_tries_ends_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "import os\nopen(os.environ['REPORT'], 'a').write('x')\nos._exit(9)")
    report = tmp_path / "report"
    pause = "sleep $(( vain < 10 ? vain : 10 ))"
    assert pause in bench.simple()
    process = bench.start(bench.simple().replace(pause, "sleep 20"), REPORT=str(report))
    wait_for(lambda: has_said(bench, "started again"))
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert report.read_text() == "x"


# ----------------------------------------------------------------------------- output

PRINTS = "for n in range(20000): print(n, flush=n % 100 == 0)"


def test_output_is_whole_and_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PRINTS)
    assert bench.run(bench.simple()) == 0
    assert bench.output() == "".join(f"{n}\n" for n in range(20000))


def test_too_much_output_is_cut_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_script, "OUTPUT_LIMIT", 1000)
    bench = Bench(tmp_path, PRINTS + "\nimport sys; sys.exit(0)")
    assert bench.run(bench.simple()) == 0
    text = bench.output()
    assert text.startswith("0\n1\n2\n")
    assert "cut here, at 1000 bytes" in text
    assert len(text) < 1200


def test_fault_30_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "import os; os.write(1, bytes(range(256)))")
    assert bench.run(bench.simple()) == 0
    (log,) = bench.logs.iterdir()
    assert log.read_bytes() == bytes(range(256))


PRINTS_ALL = (
    PRINTS
    + """
import os, pathlib
pathlib.Path(os.environ["REPORT"]).write_text("done")
"""
)


def test_a_log_on_a_full_disk_ends_no_client(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PRINTS_ALL)
    bench.logs.mkdir()
    (bench.logs / "70_3.out").symlink_to("/dev/full")
    report = tmp_path / "report"
    process = bench.start(bench.simple(), REPORT=str(report))
    words = process.communicate(timeout=60)[0].decode()
    assert (process.returncode, report.read_text()) == (0, "done")
    assert "No space left" in words


def test_a_log_folder_that_cannot_be_written_to_ends_no_client(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PRINTS_ALL)
    bench.logs.write_text("no folder")
    report = tmp_path / "report"
    process = bench.start(bench.simple(), REPORT=str(report))
    words = process.communicate(timeout=60)[0].decode()
    assert (process.returncode, report.read_text()) == (0, "done")
    assert "logs" in words.splitlines()[0]
    assert words.endswith("".join(f"{n}\n" for n in range(20000))), "the batch system's own has it"


LEAVES_A_PROCESS = """
import os, pathlib, subprocess
left = subprocess.Popen(["sleep", "300"], start_new_session=True)
pathlib.Path(os.environ["REPORT"]).write_text(str(left.pid))
"""


def test_what_a_function_left_running_does_not_hold_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LEAVES_A_PROCESS)
    report = tmp_path / "report"
    process = bench.start(bench.simple(), REPORT=str(report))
    try:
        assert process.wait(PATIENCE) == 0
    finally:
        os.kill(int(report.read_text()), signal.SIGKILL)
    assert process.communicate(timeout=60)[0] == b""
