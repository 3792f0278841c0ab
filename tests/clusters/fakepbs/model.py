"""Jobs of the fake PBS: what is known of each, as qstat would tell it."""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

SERVER = "vm"
HOST = socket.gethostname().partition(".")[0]
#: substates as the captures show them
QUEUED, RUNNING, EXITING, BEGUN, DELETED, FINISHED, FAILED = 10, 42, 51, 70, 91, 92, 93
SUSPENDED = 43
WALLTIME_STATUS = -29


class Refused(Exception):  # noqa: N818  what a command prints and its exit status
    def __init__(self, rc: int, text: str) -> None:
        super().__init__(text)
        self.rc = rc
        self.text = text


@dataclasses.dataclass
class Request:
    """A submitted script with all its options."""

    script: str
    name: str
    queue: str
    select: str
    place: str
    walltime: int | None
    output: str
    error: str
    joined: bool
    rerunnable: bool
    variables: dict[str, str]
    workdir: str
    arguments: str
    mail: str

    @property
    def chunks(self) -> list[tuple[int, dict[str, str]]]:
        """``2:ncpus=4+1:ncpus=1`` as [(2, {"ncpus": "4"}), (1, {"ncpus": "1"})]."""
        found = []
        for chunk in self.select.split("+"):
            count, *pairs = chunk.split(":")
            if not count.isdigit():
                pairs.insert(0, count)
                count = "1"
            found.append((int(count), dict(pair.split("=", 1) for pair in pairs)))
        return found

    def total(self, resource: str, default: int = 1) -> int:
        return sum(count * int(chunk.get(resource, default)) for count, chunk in self.chunks)


@dataclasses.dataclass
class Job:
    """A job, a subjob, or (``subjobs`` is not None) the parent of an array."""

    number: int
    request: Request
    index: int | None = None
    subjobs: list[Job] | None = None
    indices: str = ""
    state: str = "Q"
    substate: int = QUEUED
    comment: str = ""
    exit_status: int | None = None
    stageout: int | None = None
    run_count: int = 0
    created: float = dataclasses.field(default_factory=time.time)
    changed: float = dataclasses.field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    process: subprocess.Popen[bytes] | None = None
    deleted: bool = False
    over_walltime: bool = False
    rerun: bool = False
    kill_at: float | None = None
    exit_until: float | None = None
    #: Where each chunk is: (host, its resources).
    placed: list[tuple[str, dict[str, str]]] = dataclasses.field(default_factory=list)
    parent: Job | None = dataclasses.field(default=None, repr=False)

    @property
    def id(self) -> str:
        if self.subjobs is not None:
            return f"{self.number}[].{SERVER}"
        middle = "" if self.index is None else f"[{self.index}]"
        return f"{self.number}{middle}.{SERVER}"

    @property
    def is_held(self) -> bool:
        """Subjobs of a held array are listed as Q; only their Hold_Types tell."""
        return self.state == "H" or (self.parent is not None and self.parent.state == "H")

    @property
    def cores_on(self) -> dict[str, int]:
        """Cores by host."""
        found: dict[str, int] = {}
        for host, chunk in self.placed:
            found[host] = found.get(host, 0) + int(chunk.get("ncpus", 1))
        return found

    @property
    def is_over(self) -> bool:
        return self.state in "XF"

    @property
    def counted(self) -> int:
        """How many jobs it is for ``max_queued``."""
        return 1 if self.subjobs is None else sum(not sub.is_over for sub in self.subjobs)

    def place_for(self, kind: str) -> Path:
        """Where its ``OU`` (output) or ``ER`` (error) goes, as qsub(1B) describes ``-o``."""
        given = self.request.output if kind == "OU" else self.request.error
        index = "" if self.index is None else str(self.index)
        path = Path(self.request.workdir, given.replace("^array_index^", index))
        if given.endswith("/") or (given and path.is_dir()):
            return path / f"{self.id}.{kind}"
        if given:
            return path
        suffix = f"{'o' if kind == 'OU' else 'e'}{self.number}" + (index and f".{index}")
        return Path(self.request.workdir, f"{self.request.name}.{suffix}")

    def attributes(self) -> dict[str, Any]:
        """In the order in which qstat prints them."""
        request = self.request
        known: dict[str, Any] = {"Job_Name": request.name, "Job_Owner": f"{owner()}@{SERVER}"}
        if self.started is not None and self.subjobs is None:
            used = int((self.ended or time.time()) - self.started)
            known["resources_used"] = {
                "cpupercent": 0,
                "cput": "00:00:00",
                "mem": "0kb",
                "ncpus": request.total("ncpus"),
                "vmem": "0kb",
                "walltime": clock(used),
            }
        known |= {"job_state": self.state, "queue": request.queue, "server": SERVER}
        known |= {"Checkpoint": "u", "ctime": date(self.created)}
        known["Error_Path"] = f"{SERVER}:{self.place_for('ER')}"
        if self.started is not None and self.subjobs is None:
            known["exec_host"] = "+".join(
                f"{host}/0" + (f"*{cores}" if cores > 1 else "")
                for host, cores in self.cores_on.items()
            )
            known["exec_vnode"] = self.vnodes
        known |= {"Hold_Types": "u" if self.is_held else "n"}
        known |= {"Join_Path": "oe" if request.joined else "n", "Keep_Files": "n"}
        known |= {"Mail_Points": request.mail, "mtime": date(self.changed)}
        known |= {"Output_Path": f"{SERVER}:{self.place_for('OU')}", "Priority": 0}
        known |= {"qtime": date(self.created), "Rerunable": str(request.rerunnable)}
        known["Resource_List"] = self._resources()
        if self.started is not None:
            known["stime"] = date(self.started)
        known |= {"substate": self.substate, "Variable_List": self._variables()}
        return known | self._rest()

    @property
    def vnodes(self) -> str:
        return "+".join(f"({host}:ncpus={cores})" for host, cores in self.cores_on.items())

    def _resources(self) -> dict[str, Any]:
        request = self.request
        resources: dict[str, Any] = {"ncpus": request.total("ncpus")}
        if "mpiprocs" in request.select:
            resources["mpiprocs"] = request.total("mpiprocs")
        resources["nodect"] = sum(count for count, _ in request.chunks)
        resources |= {"place": request.place, "select": request.select}
        if request.walltime is not None:
            resources["walltime"] = clock(request.walltime)
        return resources

    def _variables(self) -> dict[str, Any]:
        return {key: cjson_value(value) for key, value in self.request.variables.items()}

    def _rest(self) -> dict[str, Any]:
        rest: dict[str, Any] = {"comment": self.comment} if self.comment else {}
        rest["etime"] = date(self.created)
        if self.run_count and self.subjobs is None:
            rest["run_count"] = self.run_count
        if self.stageout is not None:
            rest["Stageout_status"] = self.stageout
        if self.exit_status is not None:
            rest["Exit_status"] = self.exit_status
        if self.subjobs is not None:
            states = [sub.state for sub in self.subjobs]
            counts = {"Queued": "Q", "Running": "R", "Exiting": "E", "Expired": "X"}
            rest["array"] = "True"
            rest["array_state_count"] = " ".join(
                f"{word}:{states.count(letter)}" for word, letter in counts.items()
            )
            rest |= {"array_indices_submitted": self.indices, "array_indices_remaining": "-"}
        elif self.index is not None:
            rest |= {"array_id": f"{self.number}[].{SERVER}", "array_index": self.index}
        else:
            rest["Submit_arguments"] = self.request.arguments
        return rest | {"project": "_pbs_project_default", "Submit_Host": SERVER}


def owner() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def date(moment: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(moment))


def cjson_value(text: str) -> Any:
    """OpenPBS prints what looks like a number or a truth value as one: 007 becomes 7."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text):
        number = float(text)
        return int(number) if number.is_integer() else number
    return text
