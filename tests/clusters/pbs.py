"""A private PBS for a test session: programs on PATH that behave as the captures show.

What it does is what a real OpenPBS 23.06 did (``tests/data/pbs``), including
its traps. It runs jobs as real processes on this host, whatever hosts they are given; from
one of a job's hosts to another only ``pbs_tmrsh`` leads, as where nodes have no ssh.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.clusters.fakepbs.client import ask

PROGRAMS = Path(__file__).resolve().parent / "fakepbs"
#: Times in seconds; the real ones are in the comments.
DEFAULTS: dict[str, Any] = {
    "cores": 16,
    "hosts": None,  # cores by name, e.g. {"pbs1": 4, "pbs2": 4}; None: one host with `cores`
    "hosts_away": [],  # names of those that are down
    "kill_delay": 5.0,  # 10 to 23 between SIGTERM and SIGKILL
    "exit_delay": 0.1,  # 1 in state E
    "stage_delay": 3.0,  # 30 in state E when the output folder is missing
    "start_delay": 0.0,
    "max_queued": None,  # jobs of one user
    "max_array_size": 10000,
    "max_walltime": None,
    "resources": [],  # that the site has defined for chunks, such as "ngpus"; nothing is counted
    "queues": ["workq", "long"],
    "queue_enabled": True,
    "queue_started": True,
    "queue_open": True,  # else its list of users does not name this one
    "max_ncpus": None,  # of a job: the queue's resources_max
    "accounts": None,  # a list: others are refused, as by a hook of the site; OpenPBS itself takes any
    "roots_allowed": True,  # what the server's acl_roots says
    "down": False,
    "next_number": 1000,
}


class PrivatePBS:
    """A server, a scheduler and one host with some cores, in one folder.

    Parameters
    ----------
    folder : Path, optional
        Default: a new one in ``/tmp``, removed by `stop`.
    settings
        See `DEFAULTS`; they can be changed later by `change`.
    """

    def __init__(self, folder: Path | None = None, **settings: Any) -> None:
        self._owns_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="as-pbs-", dir="/tmp"))
        self.settings = {**DEFAULTS, **settings}
        if unknown := set(settings) - set(DEFAULTS):
            raise ValueError(f"unknown settings {unknown}; known: {sorted(DEFAULTS)}")
        self._process: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------------ life

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to use this cluster.

        HOME is the jobs' home, which is empty: nobody's profile is in the way.
        """
        path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "FAKEPBS": str(self.folder), "HOME": str(self.folder / "home")}

    def start(self) -> PrivatePBS:
        """Return when the server answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, PROGRAMS / "server.py", self.folder, json.dumps(self.settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(lambda: self._control() is not None, "the fake pbs_server")
        return self

    def stop(self) -> None:
        """End the server and every process of its jobs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=120)
            self._process = None
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PrivatePBS:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ use

    def run(
        self, *argv: str, check: bool = True, timeout: float = 120, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this cluster; its output is text."""
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.env},
            timeout=timeout,
            cwd=cwd,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Attributes of all jobs and subjobs by id, finished ones too (`qstat -x`)."""
        done = self.run("qstat", "-x", "-t", "-f", "-F", "json")
        found: dict[str, dict[str, Any]] = json.loads(done.stdout).get("Jobs", {})
        return found

    def state(self, job: str) -> str:
        """One letter, ``F`` when it is over."""
        return str(self.jobs()[job]["job_state"])

    def processes_of(self, job: str) -> list[int]:
        """Process ids of a job."""
        answer = self._control(pids=[job])
        assert answer is not None
        return list(json.loads(str(answer["stdout"])))

    def change(self, **settings: Any) -> None:
        """Change settings while it runs, e.g. ``max_queued=3``."""
        self._control(settings=settings)

    def server_down(self) -> None:
        """From now on every command says that it cannot connect; jobs go on."""
        self.change(down=True)

    def server_up(self) -> None:
        """The server is back, with all its jobs."""
        self.change(down=False)

    def rerun(self, job: str) -> None:
        """Requeue a running job, as an administrator does by ``qrerun``."""
        self._control(rerun=[job])

    def release(self, job: str) -> None:
        """End a hold, as ``qrls`` does."""
        self._control(release=[job])

    def suspend(self, job: str) -> None:
        """Suspend a running job, as ``qsig -s suspend`` does."""
        self._control(suspend=[job])

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 180) -> None:
        """Return when the condition holds; AssertionError that names it after some seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.03)

    def wait_until_over(self, *jobs: str, seconds: float = 180) -> None:
        """Return when these jobs, or all, are in the history."""

        def over() -> bool:
            known = self.jobs()
            return all(known[job]["job_state"] in "XF" for job in jobs or known)

        self.wait(over, f"the end of {jobs or 'all jobs'}", seconds)

    def _control(self, **request: Any) -> dict[str, object] | None:
        return ask(self.folder, {"program": "control", **request})


@pytest.fixture
def pbs(tmp_path: Path) -> Iterator[PrivatePBS]:
    """A PBS of its own for one test; it lasts a tenth of a second to start."""
    with PrivatePBS(tmp_path / "pbs") as cluster:
        yield cluster
