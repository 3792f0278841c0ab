"""The fake qstat: jobs printed as OpenPBS prints them."""

from __future__ import annotations

import getopt
import json
import re
import time
from collections.abc import Callable
from typing import Any

from model import SERVER, Job, Refused, clock

UNKNOWN, FINISHED = 153, 35
_ID = re.compile(rf"(\d+)(\[(\d+(?:-\d+)?)?\])?(\.{SERVER})?")
Find = Callable[[str], Job | None]


def full_id(program: str, text: str) -> str:
    """``12`` means ``12.vm``; an id of another form is refused."""
    match = _ID.fullmatch(text)
    if match is None:
        raise Refused(1, f"{program}: illegally formed job identifier: {text}\n")
    return f"{match[1]}{match[2] or ''}.{SERVER}"


def qstat(argv: list[str], jobs: list[Job], find: Find) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; `jobs` holds no subjobs."""
    try:
        pairs, names = getopt.getopt(argv, "fF:txEwJpasnu:")
    except getopt.GetoptError as error:
        raise Refused(2, f"qstat: invalid option -- '{error.opt}'\n") from error
    options = dict(pairs)
    if "-u" in options and {"-f", "-F"} & set(options):
        raise Refused(2, "qstat: conflicting options.\n")
    history = "-x" in options
    if names:
        rc, shown, complaints = _named(names, options, find)
    else:
        rc, complaints = 0, ""
        shown = [job for job in jobs if history or job.state != "F"]
    if "-t" in options:
        shown = [one for job in shown for one in (job, *(job.subjobs or ()))]
    return rc, _printed(shown, options), complaints


def pbsnodes(hosts: dict[str, int], free: dict[str, int], away: list[str]) -> tuple[int, str, str]:
    """All hosts with their cores, as ``pbsnodes -a -F json`` tells them."""
    nodes = {
        host: {
            "Mom": host,
            "Port": 15002,
            "ntype": "PBS",
            "state": _node_state(host in away, free[host]),
            "pcpus": cores,
            "resources_available": {
                "arch": "linux",
                "host": host,
                "mem": "16777216kb",
                "ncpus": cores,
                "vnode": host,
            },
            "resources_assigned": {"ncpus": cores - free[host]},
            "resv_enable": "True",
            "sharing": "default_shared",
        }
        for host, cores in hosts.items()
    }
    answer = {"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": SERVER}
    return 0, _cjson({**answer, "nodes": nodes}, 1) + "\n", ""


def _node_state(is_away: bool, free: int) -> str:
    if is_away:
        return "state-unknown,down"
    return "free" if free > 0 else "job-busy"


def _named(names: list[str], options: dict[str, str], find: Find) -> tuple[int, list[Job], str]:
    rc, shown, complaints = 0, [], ""
    for name in (full_id("qstat", name) for name in names):
        job = find(name)
        if job is None:
            rc, text = UNKNOWN, f"qstat: Unknown Job Id {name}\n"
        elif job.state == "F" and "-x" not in options:
            rc = FINISHED
            text = f"qstat: {name} Job has finished, use -x or -H to obtain historical job "
            text += "information\n"
        else:
            shown.append(job)
            continue
        complaints += text
    if "-E" in options:
        return 0, shown, ""
    # of several ids, JSON shows the first that is known (OpenPBS of April 2026)
    return rc, shown[:1] if options.get("-F") == "json" else shown, complaints


def _printed(jobs: list[Job], options: dict[str, str]) -> str:
    if options.get("-F") == "json":
        answer: dict[str, Any] = {"timestamp": int(time.time()), "pbs_version": "23.06.06"}
        answer["pbs_server"] = SERVER
        if jobs:
            answer["Jobs"] = {job.id: job.attributes() for job in jobs}
        return _cjson(answer, 1) + "\n"
    if "-f" in options:
        return "".join(_text(job) for job in jobs)
    return _table(jobs) if jobs else ""


def _cjson(value: object, depth: int) -> str:
    """The layout of cJSON_Print: tabs, and one after each colon."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    tabs = "\t" * depth
    members = [f"{tabs}{json.dumps(key)}:\t{_cjson(one, depth + 1)}" for key, one in value.items()]
    return "{\n" + ",\n".join(members) + "\n" + "\t" * (depth - 1) + "}"


def _text(job: Job) -> str:
    lines = [f"Job Id: {job.id}\n"]
    for key, value in job.attributes().items():
        if key == "Variable_List":
            value = ",".join(f"{name}={one}" for name, one in job.request.variables.items())
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        lines += [f"    {key}{name and '.'}{name} = {one}\n" for name, one in pairs]
    return "".join(lines) + "\n"


def _table(jobs: list[Job]) -> str:
    rows = [
        "Job id            Name             User              Time Use S Queue\n",
        "----------------  ---------------- ----------------  -------- - -----\n",
    ]
    for job in jobs:
        owner = job.attributes()["Job_Owner"].partition("@")[0]
        used = "0" if job.started is None or job.subjobs is not None else clock(0)
        name = job.request.name
        name = name if len(name) <= 16 else name[:15] + "*"
        rows.append(f"{job.id:<17} {name:<16} {owner:<16} {used:>9} {job.state} {'workq':<16}\n")
    return "".join(rows)
