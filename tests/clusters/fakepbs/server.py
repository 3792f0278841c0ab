"""The fake pbs_server with its scheduler: ``python server.py FOLDER SETTINGS_JSON``."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import deletion
import model
import placing
import status
import submit
from client import SOCKET
from execution import Mom
from model import DELETED, EXITING, FAILED, FINISHED, QUEUED, RUNNING, Job, Refused

TICK = 0.02
NO_SERVER = {
    "qstat": (255, "Connection refused\nqstat: cannot connect to server vm (errno=15010)\n"),
    "qsub": (162, "Connection refused\nqsub: cannot connect to server vm (errno=15010)\n"),
    "pbsnodes": (162, "Connection refused\npbsnodes: cannot connect to server vm, error=15010\n"),
    "qdel": (162, "Connection refused\nCouldn't connect to cluster: vm\n"),
}


class Server:
    """All jobs in memory; ends with its process, and takes the jobs along."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.settings = settings
        submit.CHUNK_RESOURCES.update(settings["resources"])
        self.mom = Mom(folder)
        self.jobs: list[Job] = []
        self.stopping = False
        self.listener = socket.socket(socket.AF_UNIX)
        os.chdir(folder)
        self.listener.bind(SOCKET)
        self.listener.listen(128)
        self.listener.settimeout(TICK)

    # ------------------------------------------------------------ requests

    def serve(self) -> None:
        while not self.stopping:
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                self.tick()
                continue
            # who asks may be killed or stand still before it has said all, or before it has heard the answer
            with connection, suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                connection.settimeout(30)
                text = b"".join(iter(lambda: connection.recv(1 << 16), b""))  # noqa: B023
                if text.endswith(b"\n"):
                    answer = self.answer(json.loads(text))
                    connection.sendall(json.dumps(answer).encode())
            self.tick()
        self.mom.stop()

    def answer(self, request: dict[str, Any]) -> dict[str, object]:
        program = request["program"]
        try:
            if program == "control":
                rc, stdout, stderr = self.control(request)
            elif program.startswith("tm_"):  # asks the MOM
                rc, stdout, stderr = getattr(self, program)(request)
            elif self.settings["down"]:
                rc, stderr = NO_SERVER[program]
                is_json = "json" in request["argv"]
                stdout = status.qstat(["-F", "json"], [], self.find)[1] if is_json else ""
            else:
                rc, stdout, stderr = getattr(self, program)(request)
        except Refused as error:
            rc, stdout, stderr = error.rc, "", error.text
        return {"rc": rc, "stdout": stdout, "stderr": stderr}

    def control(self, request: dict[str, Any]) -> tuple[int, str, str]:
        self.settings |= request.get("settings", {})
        for name in request.get("rerun", []):
            self._rerun(self.find(name))
        for name in request.get("release", []):
            self._release(self.find(name))
        for name in request.get("suspend", []):
            self._suspend(self.find(name))
        pids = [pid for name in request.get("pids", []) for pid in self._pids(name)]
        return 0, json.dumps(pids), ""

    def tm_spawn(self, request: dict[str, Any]) -> tuple[int, str, str]:
        environ, argv = request["environ"], request["argv"]
        job = self.find(environ["PBS_JOBID"])
        if job is None or job.state != "R":
            return 1, "", "the job is over"
        try:
            pid = self.mom.spawn(job, request["host"], argv, environ["PBS_JOBCOOKIE"])
        except OSError as error:
            return 1, "", f"{argv[0]}: {error.strerror}"
        return 0, str(pid), ""

    def tm_obit(self, request: dict[str, Any]) -> tuple[int, str, str]:
        return 0, str(self.mom.obit(request["pid"])), ""

    def qsub(self, request: dict[str, Any]) -> tuple[int, str, str]:
        asked, options = submit.read(
            request["argv"], request["cwd"], request["environ"], request["stdin"]
        )
        self._check(asked, options)
        job = Job(number=self.settings["next_number"], request=asked)
        if "-h" in options:
            job.state, job.substate = "H", 20
        if "-J" in options:
            indices = submit.array_indices(options["-J"], self.settings["max_array_size"])
            job.indices = options["-J"]
            job.subjobs = [
                Job(number=job.number, request=asked, index=index, parent=job) for index in indices
            ]
        limit = self.settings["max_queued"]
        if limit is not None and job.counted + sum(one.counted for one in self._alive()) > limit:
            raise Refused(38, "qsub: would exceed complex's per-user limit\n")
        self.settings["next_number"] += 1
        self.jobs.append(job)
        return 0, f"{job.id}\n", ""

    def _check(self, asked: model.Request, options: submit.Options) -> None:
        longest, largest = self.settings["max_walltime"], self.settings["max_ncpus"]
        accounts = self.settings["accounts"]
        if not self.settings["roots_allowed"] and os.getuid() == 0:
            raise Refused(submit.BAD_USER, "qsub: Bad UID for job execution\n")
        if accounts is not None and options.get("-A") not in accounts:
            raise Refused(submit.BAD_ACCOUNT, "qsub: Invalid Account\n")
        if asked.queue not in self.settings["queues"]:
            raise Refused(submit.UNKNOWN_QUEUE, "qsub: Unknown queue\n")
        if not self.settings["queue_enabled"]:
            raise Refused(submit.QUEUE_OFF, "qsub: Queue is not enabled\n")
        if not self.settings["queue_open"]:
            raise Refused(submit.NO_ACCESS, "qsub: Access to queue is denied\n")
        if (longest is not None and (asked.walltime or 0) > longest) or (
            largest is not None and asked.total("ncpus") > largest
        ):
            raise Refused(
                submit.OVER_MAX, "qsub: Job violates queue and/or server resource limits\n"
            )

    def qstat(self, request: dict[str, Any]) -> tuple[int, str, str]:
        return status.qstat(request["argv"], self.jobs, self.find)

    def qdel(self, request: dict[str, Any]) -> tuple[int, str, str]:
        return deletion.qdel(request["argv"], self.find, self.delete)

    def pbsnodes(self, request: dict[str, Any]) -> tuple[int, str, str]:
        return status.pbsnodes(self.hosts(), self._free(), self.settings["hosts_away"])

    def hosts(self) -> dict[str, int]:
        """Cores by host, also of those that take no jobs."""
        return self.settings["hosts"] or {model.HOST: self.settings["cores"]}

    def _free(self) -> dict[str, int]:
        free = dict(self.hosts())
        for job in self._alive():
            if job.state in "RE":
                for host, cores in job.cores_on.items():
                    free[host] = free.get(host, 0) - cores
        return free

    def find(self, name: str) -> Job | None:
        for job in self.jobs:
            for one in (job, *(job.subjobs or ())):
                if one.id == name:
                    return one
        return None

    def delete(self, job: Job) -> None:
        """SIGTERM to all its processes; one that waits ends at once."""
        job.deleted = True
        for sub in job.subjobs or ():
            if not sub.is_over:
                self.delete(sub)
        if job.state in "QHW" and job.subjobs is None:
            self._over(job, None)
        elif job.state in "RS" and job.kill_at is None:
            self.mom.signal(job, signal.SIGCONT)
            job.state, job.substate = "R", RUNNING
            job.comment += f" and terminated by {model.owner()}@{model.SERVER}"
            self._terminate(job)

    # ------------------------------------------------------------- scheduling

    def tick(self) -> None:
        """Move every job on by what has happened since the last tick."""
        now = time.time()
        self.mom.reap()
        for job in self._alive():
            if job.subjobs is not None:
                self._array(job)
            elif job.state == "R":
                self._watch(job, now)
            elif job.state == "E" and now >= (job.exit_until or 0):
                self._leave(job)
        self._schedule()

    def _schedule(self) -> None:
        away = self.settings["hosts_away"]
        empty = {host: cores for host, cores in self.hosts().items() if host not in away}
        free = {host: cores for host, cores in self._free().items() if host not in away}
        for job in self._alive():
            if job.state != "Q" or job.subjobs is not None or job.is_held:
                continue
            asked, total, left = job.request.total("ncpus"), sum(empty.values()), sum(free.values())
            lack = f"Insufficient amount of resource: ncpus (R: {asked} A: {left} T: {total})"
            placed = placing.place(job.request, free)
            if not self.settings["queue_started"]:
                job.comment = "Not Running: Queue not started."
            elif placing.place(job.request, empty) is None:
                job.comment = f"Can Never Run: {lack}"
            elif placed is None or time.time() < job.created + self.settings["start_delay"]:
                # the parent's own comment hides the reason of what waits in a begun array
                begun = job.parent is not None and job.parent.state == "B"
                job.comment = job.parent.comment if begun else f"Not Running: {lack}"
            else:
                job.placed = placed
                for host, cores in job.cores_on.items():
                    free[host] -= cores
                self._start(job)

    def _start(self, job: Job) -> None:
        job.state, job.substate = "R", RUNNING
        job.started = job.changed = time.time()
        job.run_count += 1
        when = time.strftime("%a %b %d at %H:%M")
        job.comment = f"Job run at {when} on {job.vnodes}"
        self.mom.start(job)

    def _watch(self, job: Job, now: float) -> None:
        assert job.process is not None
        assert job.started is not None
        code = job.process.poll()
        walltime = job.request.walltime
        if code is not None:
            self._exiting(job, code, now)
        elif job.kill_at is not None and now >= job.kill_at:
            self.mom.signal(job, signal.SIGKILL)
            job.kill_at = now + 1
        elif walltime is not None and job.kill_at is None and now > job.started + walltime:
            job.over_walltime = True
            text = f"walltime {int(now - job.started)} exceeded limit {walltime}"
            self.mom.complain(job, f"=>> PBS: job killed: {text}\n")
            job.comment += " and exceeded resource walltime"
            self._terminate(job)

    def _terminate(self, job: Job) -> None:
        self.mom.signal(job, signal.SIGTERM)
        job.kill_at = time.time() + self.settings["kill_delay"]

    def _exiting(self, job: Job, code: int, now: float) -> None:
        self.mom.clean(job)
        if job.rerun:
            job.rerun, job.kill_at, job.started = False, None, None
            job.state, job.substate, job.comment = "Q", QUEUED, ""
            return
        job.exit_status = 256 - code if code < 0 else code
        if job.over_walltime:
            job.exit_status = model.WALLTIME_STATUS
        elif not job.deleted:
            job.comment += " and failed" if code else " and finished"
        job.state, job.substate, job.ended = "E", EXITING, now
        delivered = self.mom.stage_out(job)
        job.stageout = int(delivered)
        job.exit_until = now + self.settings["exit_delay" if delivered else "stage_delay"]

    def _leave(self, job: Job) -> None:
        self._over(job, FAILED if job.exit_status else FINISHED)

    def _over(self, job: Job, substate: int | None) -> None:
        job.substate = DELETED if job.deleted or substate is None else substate
        job.state = "F" if job.index is None else "X"
        job.changed = time.time()

    def _array(self, parent: Job) -> None:
        subjobs = parent.subjobs or []
        if all(sub.is_over for sub in subjobs):
            parent.exit_status = int(any(sub.exit_status for sub in subjobs))
            self._over(parent, FAILED if parent.exit_status else FINISHED)
            for sub in subjobs:
                sub.state = "F"
        elif parent.state == "Q" and any(sub.state != "Q" for sub in subjobs):
            parent.state, parent.substate = "B", model.BEGUN
            parent.comment = f"Job Array Began at {time.strftime('%a %b %d at %H:%M')}"

    def _alive(self) -> list[Job]:
        jobs = [job for job in self.jobs if job.state != "F"]
        return [one for job in jobs for one in (job, *(job.subjobs or ())) if not one.is_over]

    def _rerun(self, job: Job | None) -> None:
        if job is not None and job.state == "R":
            job.rerun = True
            self._terminate(job)

    def _release(self, job: Job | None) -> None:
        """As qrls does."""
        if job is not None and job.state == "H":
            job.state, job.substate = "Q", QUEUED

    def _suspend(self, job: Job | None) -> None:
        """As ``qsig -s suspend`` does: its cores are free, its comment stays."""
        if job is not None and job.state == "R":
            self.mom.signal(job, signal.SIGSTOP)
            job.state, job.substate = "S", model.SUSPENDED

    def _pids(self, name: str) -> list[int]:
        job = self.find(name)
        return [] if job is None else self.mom.processes(job)


if __name__ == "__main__":
    server = Server(Path(sys.argv[1]), json.loads(sys.argv[2]))
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "stopping", True))
    server.serve()
