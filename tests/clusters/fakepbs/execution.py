"""The fake MOM: runs jobs as sessions of real processes."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import model
from model import Job

HERE = Path(__file__).resolve().parent
#: What a login shell has, whatever the submitter had; the profile may add to it.
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"


class Mom:
    """Starts, signals and cleans up jobs in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("home", "jobs", "aux", "spool", "tmp", "undelivered"):
            (folder / name).mkdir(exist_ok=True)
        self._tasks: dict[int, subprocess.Popen[bytes]] = {}  # of `pbs_tmrsh`, by pid
        # a home of its own, as a profile killed half-way may leave locks; PBS's programs
        # are last on PATH, as /etc/profile.d/pbs.sh puts them
        here = shlex.quote(str(HERE))
        (folder / "home" / ".bash_profile").write_text(f'PATH="$PATH":{here}\n')

    def start(self, job: Job) -> None:
        """Run the job's script in a login shell, in a session of its own."""
        script = self.folder / "jobs" / f"{job.id}.SC"
        script.write_bytes(job.request.script.encode(errors="surrogateescape"))
        script.chmod(0o700)
        lines = [f"{host}\n" * int(chunk.get("mpiprocs", 1)) for host, chunk in job.placed]
        self._nodefile(job).write_text("".join(lines))
        (self.folder / "tmp" / f"pbs.{job.id}").mkdir(mode=0o700, exist_ok=True)
        environ = self._environ(job)
        for kind in ("OU", "ER"):
            self.spool(job, kind).write_bytes(b"")
        with self.spool(job, "OU").open("ab") as output, self.spool(job, "ER").open("ab") as error:
            job.process = subprocess.Popen(
                ["-bash", "-c", f"exec {shlex.quote(str(script))}"],
                executable="/bin/bash",
                cwd=environ["HOME"],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output if job.request.joined else error,
                start_new_session=True,
                umask=0o077,
            )

    def spawn(self, job: Job, host: str, argv: list[str], cookie: str) -> int:
        """Start a program on a host of a running job, in its environment; returns its pid. OSError if it cannot.

        All hosts are this one, so this is the MOM of each: the program is nobody's child in the job.
        """
        with (self.folder / "tmrsh.log").open("a") as log:
            log.write(f"{job.id} {host}\n")
        environ = self._environ(job)
        hosts = list(dict.fromkeys(name for name, _ in job.placed))
        environ |= {"PBS_JOBCOOKIE": cookie, "PBS_NODENUM": str(hosts.index(host))}
        environ["PBS_TASKNUM"] = str(len(self._tasks) + 2)
        joined = job.request.joined
        with (
            self.spool(job, "OU").open("ab") as output,
            self.spool(job, "OU" if joined else "ER").open("ab") as error,
        ):
            task = subprocess.Popen(
                argv, cwd=environ["HOME"], env=environ, stdin=subprocess.DEVNULL, stdout=output,
                stderr=error, start_new_session=True,
            )  # fmt: skip
        self._tasks[task.pid] = task
        return task.pid

    def obit(self, pid: int) -> int:
        """Exit status of such a program, which has ended."""
        code = self._tasks[pid].wait()
        return 256 - code if code < 0 else code

    def reap(self) -> None:
        """Notice which of them have ended: perhaps nobody asks."""
        for task in self._tasks.values():
            task.poll()

    def signal(self, job: Job, number: int) -> None:
        """To every process of the job at once, also those that left its session."""
        for pid in self.processes(job):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def processes(self, job: Job | None = None) -> list[int]:
        """Process ids of one job, or of all jobs of this server."""
        ours = f"FAKEPBS={self.folder}".encode()
        mark = b"PBS_JOBID=" + (b"" if job is None else job.id.encode() + b"\0")
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"\0" + ours + b"\0" in b"\0" + environ and b"\0" + mark in b"\0" + environ:
                found.append(int(entry.name))
        return found

    def stage_out(self, job: Job) -> bool:
        """Move the output to its place, mode 0600; False if its folder is missing."""
        good = True
        for kind in ("OU",) if job.request.joined else ("OU", "ER"):
            source, target = self.spool(job, kind), job.place_for(kind)
            if str(target) == "/dev/null":
                continue
            if not target.parent.is_dir():
                shutil.copy(source, self.folder / "undelivered" / source.name)
                good = False
                continue
            shutil.copyfile(source, target)
            target.chmod(0o600)
        return good

    def clean(self, job: Job) -> None:
        """Kill what outlived the job and remove its files."""
        self.signal(job, signal.SIGKILL)
        shutil.rmtree(self.folder / "tmp" / f"pbs.{job.id}", ignore_errors=True)
        self._nodefile(job).unlink(missing_ok=True)

    def spool(self, job: Job, kind: str) -> Path:
        return self.folder / "spool" / f"{job.id}.{kind}"

    def complain(self, job: Job, text: str) -> None:
        """A line of PBS's own on the job's standard error."""
        with self.spool(job, "OU" if job.request.joined else "ER").open("a") as stream:
            stream.write(text)

    def stop(self) -> None:
        """Kill every process of every job."""
        deadline = time.monotonic() + 10
        while (pids := self.processes()) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)

    def _nodefile(self, job: Job) -> Path:
        return self.folder / "aux" / job.id

    def _environ(self, job: Job) -> dict[str, str]:
        request, first = job.request, job.request.chunks[0][1]
        cores = first.get("ncpus", "1")
        home = str(self.folder / "home")
        environ = dict(request.variables)
        environ.pop("PATH", None)
        environ |= {"HOME": home, "LOGNAME": model.owner(), "USER": model.owner()}
        environ |= {"PATH": LOGIN_PATH, "SHELL": "/bin/bash", "ENVIRONMENT": "BATCH"}
        environ |= {"NCPUS": cores, "OMP_NUM_THREADS": first.get("ompthreads", cores)}
        environ |= {"PBS_JOBID": job.id, "PBS_JOBNAME": request.name, "PBS_QUEUE": request.queue}
        environ |= {"PBS_ENVIRONMENT": "PBS_BATCH", "PBS_NODEFILE": str(self._nodefile(job))}
        environ |= {"PBS_JOBDIR": home, "PBS_TASKNUM": "1", "PBS_NODENUM": "0"}
        environ |= {"PBS_JOBCOOKIE": secrets.token_hex(16).upper(), "PBS_MOMPORT": "15003"}
        environ |= {"TMPDIR": str(self.folder / "tmp" / f"pbs.{job.id}")}
        environ |= {"FAKEPBS": str(self.folder)}
        if job.index is not None:
            environ["PBS_ARRAY_INDEX"] = str(job.index)
            environ["PBS_ARRAY_ID"] = f"{job.number}[].{model.SERVER}"
        return environ
