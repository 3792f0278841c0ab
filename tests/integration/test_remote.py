"""A driver that knows a run only by ``ssh://``: real ssh, a real sshd, a user of its own there."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import psutil
import pytest

from adaptive_scheduler import Command, Executor, Runner, json_value
from adaptive_scheduler.core.wire.messages import Status
from adaptive_scheduler.errors import (
    CommandMissingError,
    FarHostError,
    InputError,
    ManagerUnreachableError,
    TaskError,
    UnpicklableError,
)
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.sites.find_site import closed_if_refused, site_for
from adaptive_scheduler.scheduler import PBS, SLURM, Here, LocalScheduler
from tests.clusters.slurm import PrivateSlurm
from tests.clusters.sshd import HOST, IS_ROOT, PrivateSshd, free_port
from tests.effort import FULL
from tests.integration.noted import noted, noted_in

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0
#: Seconds without a connection: longer than ssh takes to find out.
AWAY = 30.0 if FULL else 5.0
#: Of the run that most tests share: whatever a path may have.
SHARED = "a run $HOME 'x' `id` %é#?"


def double(x: Any) -> Any:
    return 2 * x


def slowly(x: float, seconds: float) -> float:
    time.sleep(seconds)
    return x


def later(path: str, x: Any) -> Any:
    """Return x once there is a file."""
    while not Path(path).exists():
        time.sleep(0.02)
    return x


def whose(_: int) -> tuple[int, str]:
    return os.getuid(), os.getcwd()


def until(condition: Callable[[], Any], patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def jobs(cores: int = 2) -> LocalScheduler:
    # one user has one batch system there: jobs of several runs must not wait for each other
    return LocalScheduler(cores=cores, max_cores=16)


def shared(sshd: PrivateSshd, home: Path | str | None = None) -> str:
    """The url of the run that most tests share."""
    path = f"{sshd.home if home is None else home}/{SHARED}"
    return sshd.url(path.replace("%", "%25").replace(" ", "%20"))


def ledger_there(sshd: PrivateSshd, name: str) -> str:
    """A file there, in which points of a learner write that they were computed."""
    path = sshd.home / f"ledger of {name}"
    path.touch()
    path.chmod(0o666)
    return os.fspath(path)


def lives(process: psutil.Process) -> bool:
    """Whether a process runs: one that has ended may wait for long until somebody takes note of it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def own_ssh() -> list[psutil.Process]:
    """The ssh processes that this process has started."""
    found = []
    for one in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # a thread has just taken note of its end
            if one.name() == "ssh":
                found.append(one)
    return found


def kill_own_ssh() -> None:
    """Kill those that this process has started, but for one that has just ended by itself."""
    for one in own_ssh():
        with suppress(psutil.NoSuchProcess):
            one.kill()


@pytest.fixture(scope="module")
def executor(session_sshd: PrivateSshd) -> Iterator[Executor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTIVE_SCHEDULER_SSH", session_sshd.ssh)
        url = shared(session_sshd)
        with Executor(jobs(), folder=url, python=str(session_sshd.python)) as made:
            assert made.submit(double, 1).result(PATIENCE) == 2
            yield made
    until(lambda: own_ssh() == [])


# ------------------------------------------------------------------- what a driver does


def test_calls_run_there_in_the_folder_of_the_run(executor: Executor, sshd: PrivateSshd) -> None:
    user, folder = executor.submit(whose, 1).result(PATIENCE)
    assert folder == str(sshd.home / SHARED)
    assert user == sshd.home.stat().st_uid
    assert (user != os.getuid()) == IS_ROOT


def test_many_calls_come_back_in_their_order(executor: Executor) -> None:
    futures = executor.submit_many(double, range(2000))
    assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(2000)]


def test_large_arguments_and_values_travel(executor: Executor) -> None:
    text = os.urandom(6_000_000)
    assert executor.submit(double, text).result(PATIENCE) == 2 * text


def test_an_error_brings_its_traceback(executor: Executor) -> None:
    with pytest.raises(TypeError) as caught:
        executor.submit(slowly, 1, "x").result(PATIENCE)
    assert "time.sleep(seconds)" in str(caught.value.__cause__)


def test_what_waits_is_reprioritised_and_cancelled(executor: Executor, sshd: PrivateSshd) -> None:
    go = sshd.home / "may go on"
    blockers = executor.submit_many(partial(later, os.fspath(go)), range(2))
    waiting = executor.submit_many(lambda x: (x, time.time()), range(30))
    executor.update_priorities(waiting[20:], [5.0] * 10)
    try:
        until(lambda: waiting[29].task is not None)
        until(lambda: executor.tasks()[waiting[29].task or 0]["priority"] == 5)
        assert all(one.cancel() for one in waiting[:10])
    finally:
        go.touch()
    begun = {future: future.result(PATIENCE)[1] for future in waiting[10:]}
    assert all(one.result(PATIENCE) in (0, 1) for one in blockers)
    first = sorted(waiting[10:], key=lambda future: begun[future])[:10]
    assert len(set(first) & set(waiting[20:])) >= 8
    until(lambda: executor.tasks()[waiting[0].task or 0]["state"] == "cancelled")


def test_a_command_has_its_inputs_its_value_and_its_log(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "base $x.dat").write_text("base\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "program").write_text("#!/bin/sh\necho run\n")
    (tmp_path / "more" / "program").chmod(0o755)
    command = Command(
        "cat 'base $x.dat' && ./more/program && cp {_param_file} result.json",
        value=json_value("result.json", "x"), inputs=[tmp_path / "base $x.dat", tmp_path / "more"],
    )  # fmt: skip
    future = executor.submit(command, x=7)
    assert future.result(PATIENCE) == 7
    assert future.read() == "base\nrun\n"
    assert future.read("result.json") == '{"x": 7}'
    with pytest.raises(FileNotFoundError):
        future.read("nothing")
    short = executor.submit(Command("echo {x}; exit 3"), x=1)
    with pytest.raises(TaskError, match="status 3"):
        short.result(PATIENCE)
    assert short.read() == "1\n"


def test_a_command_has_links_to_files_that_are_there(executor: Executor) -> None:
    future = executor.submit(Command("head -n 1 passwd", links=["/etc/passwd"]))
    assert future.result(PATIENCE) == 0
    assert future.read().startswith("root:")
    with pytest.raises(InputError, match="missing does not exist"):
        executor.submit(Command("true", links=["/etc/missing"]))


def test_large_inputs_survive_a_connection_that_breaks(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program there that had taken a part of them is another one then."""
    from adaptive_scheduler.runs.sites import remote

    monkeypatch.setattr(remote, "PART", 2**16)
    data = os.urandom(2_000_000)
    (tmp_path / "data").write_bytes(data)
    command = Command("sha256sum data", inputs=[tmp_path / "data"])
    killer = threading.Timer(0.05, kill_own_ssh)
    killer.start()
    future = executor.submit(command)
    killer.join()
    assert future.result(PATIENCE) == 0
    import hashlib

    assert future.read().split()[0] == hashlib.sha256(data).hexdigest()


def test_who_attaches_has_table_futures_and_files(
    executor: Executor, sshd: PrivateSshd, tmp_path: Path
) -> None:
    """By the name of the home folder there, and with the Python of the run."""
    future = executor.options(tag="seen").submit(double, 21)
    assert future.result(PATIENCE) == 42
    (row,) = executor.tasks(tag="seen")
    assert (row["state"], row["task"]) == ("done", future.task)
    other = Executor.attach(shared(sshd, "/~"))
    assert other.folder.home == sshd.home / SHARED
    (same,) = [one for one in other.futures if one.task == future.task]
    assert (same.result(PATIENCE), same.args) == (42, (21,))
    assert same.explain().cause == other.explain(same.task or 0).cause == "done"
    report = json.loads(other.report(tmp_path / "report.json").read_text())
    assert report["schema_version"] == 1
    assert "tasks have not ended" in repr(other)
    late = other.submit(Command("echo {x}"), x="late")
    assert late.result(PATIENCE) == 0
    other.shutdown()
    assert late.read() == "late\n"


def test_a_run_there_is_shown_as_one_of_here(
    executor: Executor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert executor.options(tag="shown").submit(double, 4).result(PATIENCE) == 8
    executor.info()
    printed = capsys.readouterr().out
    assert "done" in printed
    assert "Executor of" not in printed, "tables, not a line"


def test_a_second_pool_is_of_the_same_kind(executor: Executor) -> None:
    name = executor.add_pool(jobs(), accepts=["second"])
    assert executor.options(tag="second").submit(double, 1).result(PATIENCE) == 2
    executor.remove_pool(name)
    with pytest.raises(CommandMissingError, match="qsub"):
        executor.add_pool(PBS(cores=1))
    with pytest.raises(InputError, match="runs tasks on this machine"):
        executor.add_pool(Here())


def test_functions_do_not_go_to_another_python(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adaptive_scheduler.runs.sites import remote

    monkeypatch.setattr(remote, "own_python", lambda: "3.99")
    with pytest.raises(UnpicklableError, match=r"here is 3\.99"):
        executor.submit(lambda: 1).result(PATIENCE)
    assert executor.submit(Command("true")).result(PATIENCE) == 0


def test_a_learners_points_are_computed_there_and_saved_here(
    executor: Executor, sshd: PrivateSshd, tmp_path: Path
) -> None:
    ledger, fname = ledger_there(sshd, "there"), os.fspath(tmp_path / "data.pickle")
    learner = adaptive.Learner1D(partial(noted, 0.05, ledger), (-1, 1))
    runner = Runner(learner, executor, 20, fname=fname, refit_every=4, name="there").start()
    until(lambda: runner.status()["slots"] == 2)  # of the job that the others have left
    outcome = runner.wait(PATIENCE)
    assert (outcome.reason, outcome.saved) == ("goal", True)
    begun = noted_in(ledger, "begin")
    assert len(begun) == len(set(begun)) >= learner.npoints >= 20
    loaded = adaptive.Learner1D(abs, (-1, 1))
    LearnerStore(loaded, fname).load()
    assert loaded.data == learner.data


@pytest.mark.slurm
def test_pools_are_submitted_to_the_slurm_of_there(
    sshd: PrivateSshd, slurm: PrivateSlurm, other_config: Callable[..., None], tmp_path: Path
) -> None:
    """By the manager there; here nobody knows this Slurm. It is that of the user who runs the tests."""
    other_config(User=pwd.getpwuid(os.getuid()).pw_name)
    python = tmp_path / "python"
    settings = shlex.join(f"{name}={slurm.env[name]}" for name in ("SLURM_CONF", "HOME"))
    python.write_text(f'#!/bin/sh\nexec env {settings} {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    home = tmp_path / "run"
    scheduler = SLURM(cores=2, walltime="5m")
    with Executor(scheduler, folder=f"ssh://{HOST}{home}", python=str(python)) as executor:
        future = executor.submit(double, 4)
        assert future.result(PATIENCE) == 8
        assert future.node in ("n1", "n2", "n3", "n4")
        (row,) = executor.tasks()
        assert row["job"].isdigit()


# ------------------------------------------------------------------- what breaks


def test_a_manager_that_dies_is_started_there_again(executor: Executor, sshd: PrivateSshd) -> None:
    pid = executor._book.site.whereabouts().read_address().pid
    killed = sshd.home / "killed it"
    # while nothing is left to do, none is started
    last = executor.submit(later, os.fspath(killed), 100)
    futures = [*executor.submit_many(lambda x: slowly(x, 0.02), range(100)), last]
    try:
        futures[0].result(PATIENCE)
        os.kill(pid, signal.SIGKILL)
    finally:
        killed.touch()
    assert [future.result(PATIENCE) for future in futures] == list(range(101))
    assert executor._book.site.whereabouts().read_address().pid != pid


def test_a_connection_that_is_away_for_long_is_taken_up_again(
    executor: Executor, sshd: PrivateSshd, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tasks go on meanwhile, more are submitted, and none is lost or run twice."""
    seen, ledger = sshd.home / "seen", ledger_there(sshd, "away")
    seen.mkdir(mode=0o777)
    seen.chmod(0o777)
    learner = adaptive.Learner1D(partial(noted, 0.1, ledger), (-1, 1))
    cut = sshd.home / "is cut"

    def note(x: int) -> int:
        # so many are left, however late it is cut
        while 500 <= x < 1000 and len(noted_in(ledger, "end")) >= 5 and not cut.exists():
            time.sleep(0.02)
        time.sleep(2 * AWAY / 1000)
        with (seen / str(x)).open("a") as file:
            file.write("x")
        return x

    futures = executor.submit_many(note, range(1000))
    runner = Runner(learner, executor, 40, ahead=6, name="away").start()
    futures[0].result(PATIENCE)
    until(lambda: len(noted_in(ledger, "end")) >= 5)
    sshd.stop()
    kill_own_ssh()
    begun, before = time.monotonic(), len(list(seen.iterdir()))
    futures += executor.submit_many(note, range(1000, 1010))
    futures[-1].priority = 2.0
    assert futures[900].cancel()
    cut.touch()
    time.sleep(AWAY)
    until(lambda: len(list(seen.iterdir())) - before > 100)
    sshd.start()
    values = [one.result(PATIENCE) for one in futures if one is not futures[900]]
    assert values == [n for n in range(1010) if n != 900]
    assert time.monotonic() - begun > AWAY
    assert runner.wait(PATIENCE).npoints >= 40
    points = noted_in(ledger, "begin")
    assert len(points) == len(set(points))
    assert {path.read_text() for path in seen.iterdir()} == {"x"}
    until(lambda: len(own_ssh()) == 2)
    said = capsys.readouterr().err
    assert said.count("is lost") == 1, said
    assert said.count("is there again") == 1, said
    assert "Traceback" not in said


def test_an_end_without_a_connection_is_no_hang(executor: Executor, sshd: PrivateSshd) -> None:
    """What was submitted stays there, and others have it."""
    other = Executor(jobs(), folder=shared(sshd), python=str(sshd.python))
    future = other.submit(double, 1)
    assert future.result(PATIENCE) == 2
    sshd.stop()
    kill_own_ssh()
    begun = time.monotonic()
    try:
        other._closing.leave()
    finally:
        sshd.start()
    assert time.monotonic() - begun < 60
    with pytest.raises(RuntimeError, match="after shutdown"):
        other.submit(double, 1)
    (same,) = [one for one in executor.futures if one.task == future.task]
    assert same.result(PATIENCE) == 2


def test_a_driver_that_is_killed_has_its_results_when_it_is_run_again(
    sshd: PrivateSshd, tmp_path: Path
) -> None:
    marks, ledger = sshd.home / "marks", ledger_there(sshd, "killed")
    marks.mkdir(mode=0o777)
    marks.chmod(0o777)
    home = sshd.home / "killed"
    argv = [sys.executable, str(ROOT / "tests/integration/remote_driver.py"),
            sshd.url(home), str(sshd.python), str(marks), ledger]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL)
    try:
        until(lambda: len(list(marks.iterdir())) > 20 and len(noted_in(ledger, "end")) > 8)
        children = psutil.Process(first.pid).children()
    finally:
        first.kill()
        first.wait()
    Path(f"{marks}.end").touch()
    assert children
    until(lambda: not any(map(lives, children)))
    again = subprocess.run(
        argv, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert again.returncode == 0, again.stderr
    total, npoints = map(int, again.stdout.split())
    assert total == sum(range(200))
    assert {path.read_text() for path in marks.iterdir()} == {"x"}
    points = noted_in(ledger, "begin")
    assert len(points) == len(set(points)) >= npoints >= 25
    _attach_at_once(sshd.url(home), home, 200 + len(points))


def _attach_at_once(url: str, home: Path, tasks: int) -> None:
    """The manager is about to end, as its driver has done."""
    begun = time.monotonic()
    other = Executor.attach(url)
    assert len(other.futures) >= tasks  # some were withdrawn before they began
    other.shutdown()
    assert time.monotonic() - begun < 60, "whether anybody answers at its port is known at once"
    log = (home / "db.tinydb.run" / "manager.log").read_text()
    assert "connections_refused" not in log, "we count as an attacker"


# ------------------------------------------------------------------- paths


def test_a_path_may_have_blanks_and_dollars(executor: Executor, sshd: PrivateSshd) -> None:
    """As that of the run that most tests share."""
    assert executor.submit(whose, 1).result(PATIENCE)[1] == str(sshd.home / SHARED)
    command = Command("echo {x} > {_output}/out; cat {_output}/out", inputs=[__file__])
    future = executor.submit(command, x="$y")
    assert future.result(PATIENCE) == 0
    assert future.read() == "$y\n"


# ------------------------------------------------------------------- errors: a sentence each


def attach_fails(sshd: PrivateSshd, folder: str = "/nowhere", host: str = HOST) -> str:
    before = own_ssh()
    with pytest.raises((FarHostError, InputError)) as caught:
        Executor.attach(sshd.url(folder, host), python=str(sshd.python))
    until(lambda: set(own_ssh()) <= set(before))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def other_config(
    sshd: PrivateSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Changes words of what ssh is told."""

    def change(**words: str) -> None:
        text = (sshd.folder / "ssh_config").read_text()
        for name, value in words.items():
            lines = [line for line in text.splitlines() if f" {name} " in line]
            text = text.replace(lines[0], f"    {name} {value}")
        (tmp_path / "ssh_config").write_text(text)
        monkeypatch.setenv("ADAPTIVE_SCHEDULER_SSH", f"ssh -F '{tmp_path / 'ssh_config'}'")

    return change


def test_without_a_key(
    sshd: PrivateSshd, other_config: Callable[..., None], tmp_path: Path
) -> None:
    other_config(IdentityFile="/nowhere/key")
    text = attach_fails(sshd)
    assert text == (
        f"{HOST}: it does not let you in without a password. Give it your key (ssh-copy-id {HOST}), "
        "or load the key into an agent (ssh-add)."
    )


def test_a_host_that_does_not_exist(sshd: PrivateSshd, other_config: Callable[..., None]) -> None:
    other_config(HostName="nowhere.invalid")
    assert "there is no host of this name. Check it" in attach_fails(sshd)


def test_a_host_key_that_is_not_known(
    sshd: PrivateSshd, other_config: Callable[..., None], tmp_path: Path
) -> None:
    other_config(UserKnownHostsFile=str(tmp_path / "none"))
    assert f"not known here. Run ssh {HOST} once in a terminal" in attach_fails(sshd)


def test_a_host_key_that_has_changed(
    sshd: PrivateSshd, other_config: Callable[..., None], tmp_path: Path
) -> None:
    public = (sshd.folder / "key.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd.port} {public}")
    other_config(UserKnownHostsFile=str(tmp_path / "known"))
    text = attach_fails(sshd)
    assert "another host key than before" in text
    assert "ssh-keygen -R" in text


def test_a_port_where_nobody_answers(sshd: PrivateSshd, other_config: Callable[..., None]) -> None:
    other_config(Port=str(free_port()))
    assert "no ssh server answers there. Check host and port" in attach_fails(sshd)


def test_ports_that_are_not_let_through(
    executor: Executor, sshd: PrivateSshd, other_config: Callable[..., None]
) -> None:
    other_config(IdentityFile=str(sshd.folder / "poor_key"))
    site = site_for(shared(sshd), "closed", jobs(1), str(sshd.python))
    with closed_if_refused(site), ManagerClient(site.folder, where=site.whereabouts()) as client:
        site.start("closed")  # it runs
        with pytest.raises(ManagerUnreachableError, match="does not answer"):
            client.ask(Status("none"))  # it is tried now
        with pytest.raises(ManagerUnreachableError, match=r"lets no port .* another login node"):
            client.ask(Status("none"))
    site.close()


def test_connections_of_the_users_own_are_used(
    executor: Executor, sshd: PrivateSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is open already lets in who would be asked for a one-time password."""
    text = (sshd.folder / "ssh_config").read_text()
    own = f"    ControlPath {sshd.folder}/own\n"
    (tmp_path / "poor").write_text(
        "Host *\n" + own + text.replace(str(sshd.folder / "key"), "/nowhere/key")
    )
    ssh = [*sshd.ssh.split(), "-o", f"ControlPath={sshd.folder}/own", "-o", "ControlMaster=yes"]
    master = subprocess.Popen([*ssh, "-N", HOST], stderr=subprocess.DEVNULL)
    try:
        until((sshd.folder / "own").exists)
        monkeypatch.setenv("ADAPTIVE_SCHEDULER_SSH", f"ssh -F '{tmp_path / 'poor'}'")
        other = Executor.attach(shared(sshd))
        assert other.submit(double, 1).result(PATIENCE) == 2
        other.shutdown()
    finally:
        master.terminate()
        master.wait()


def test_no_ssh_here(sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_SSH", "/nowhere/ssh")
    assert attach_fails(sshd).startswith("There is no ssh on this machine")


def test_a_python_that_is_not_there(sshd: PrivateSshd) -> None:
    with pytest.raises(FarHostError, match=r"far has no Python at /nowhere/python\. Give python="):
        Executor(jobs(), folder=sshd.url("/nowhere"), python="/nowhere/python")


def python_with(sshd: PrivateSshd, name: str, body: str) -> str:
    """A program in place of a Python."""
    path = sshd.folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_without_the_package(sshd: PrivateSshd) -> None:
    bare = python_with(sshd, "bare", f'exec {sshd.python} -I -S "$@"')
    with pytest.raises(FarHostError, match=r"^far: its Python has no adaptive_scheduler\. Install"):
        Executor(jobs(), folder=sshd.url("/nowhere"), python=bare)


def test_a_package_that_is_older(sshd: PrivateSshd) -> None:
    """It has no program for ssh:// yet."""
    package = sshd.folder / "older" / "adaptive_scheduler"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    older = python_with(sshd, "old", f'export PYTHONPATH={package.parent}; exec {sshd.python} "$@"')
    with pytest.raises(FarHostError, match="too old for ssh://"):
        Executor(jobs(), folder=sshd.url("/nowhere"), python=older)


def test_a_package_of_another_version(sshd: PrivateSshd) -> None:
    package = sshd.folder / "other" / "adaptive_scheduler"
    shutil.copytree(ROOT / "adaptive_scheduler", package)
    text = (package / "__init__.py").read_text()
    (package / "__init__.py").write_text(text.replace("__version__ = ", '__version__ = "9.9"  # '))
    other = python_with(
        sshd, "newer", f'export PYTHONPATH={package.parent}; exec {sshd.python} "$@"'
    )
    with pytest.raises(FarHostError, match=r"far has adaptive_scheduler 9\.9 .* the same version"):
        Executor(jobs(), folder=sshd.url("/nowhere"), python=other)


def test_a_folder_that_is_no_run(sshd: PrivateSshd) -> None:
    assert "there is no run. Executor(folder=...) begins one" in attach_fails(sshd)


def test_a_folder_that_cannot_be_written(sshd: PrivateSshd) -> None:
    if not IS_ROOT:
        pytest.skip("it is this user's")
    with pytest.raises(InputError, match="folder"):
        Executor(jobs(), folder=sshd.url("/proc/x"), python=str(sshd.python))


def test_what_is_on_this_machine_is_refused(sshd: PrivateSshd, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"LocalScheduler\(cores=\.\.\.\) for that machine"):
        Executor(folder=sshd.url("/nowhere"))
    with pytest.raises(InputError, match="is for a run on another host"):
        Executor(Here(), folder=tmp_path / "run", python="python3")
    with pytest.raises(InputError, match="names no folder"):
        Executor.attach("ssh://far/")


# ------------------------------------------------------------------- the command line


def command(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "adaptive_scheduler.cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_command_line_goes_there(executor: Executor, sshd: PrivateSshd) -> None:
    url = shared(sshd)
    slow = executor.options(name="slow one").submit(slowly, 1, 300)
    until(lambda: slow.state == "running")
    try:
        _look_at(slow, url)
    finally:
        slow.cancel()


def _look_at(slow: Any, url: str) -> None:
    shown = command("task", url, "slow one")
    assert (shown.returncode, "slowly(1, 300)" in shown.stdout) == (0, True), shown.stderr
    assert command("prioritise", url, "slow one", "-3").stdout == "1 task has priority -3.\n"
    assert "manager" in command("logs", url, "-n", "5", "--json").stdout
    assert f"adaptive-scheduler logs {shlex.quote(url)} TASK" in command("logs", url).stdout
    assert command("cancel", url, "slow one").stdout == "1 task cancelled.\n"
    until(slow.cancelled)


def test_the_command_line_says_what_is_wrong(sshd: PrivateSshd) -> None:
    nowhere = sshd.url("/nowhere")
    for words, text, code in (
        (("pool", "join", nowhere), "uses files of the machine on which it runs", 2),
        (("run", "learners.py", "--folder", nowhere), "uses files of the machine", 2),
        (("status", "ssh://far"), "names no folder", 2),
        (("status", nowhere), "/nowhere", 2),
    ):
        done = command(*words)
        assert (done.returncode, text in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
