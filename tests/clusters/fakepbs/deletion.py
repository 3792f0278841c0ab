"""The fake qdel: one id is deleted well, several as badly as by OpenPBS of April 2026."""

from __future__ import annotations

import getopt
import re
from collections.abc import Callable

from model import Job, Refused
from status import FINISHED, UNKNOWN, Find, full_id

EXITING, BAD_INDEX, FINISHED_SUBJOB = 168, 156, 55
USAGE = "usage:\n\tqdel [-W force|suppress_email=X] [-x] job_identifier...\n\tqdel --version\n"
_RANGE = re.compile(r"(\d+)\[(\d+)-(\d+)\](\..+)")


def qdel(argv: list[str], find: Find, delete: Callable[[Job], None]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    try:
        _, names = getopt.getopt(argv, "W:x")
    except getopt.GetoptError as error:
        raise Refused(2, USAGE) from error
    if not names:
        raise Refused(2, USAGE)
    ids = [full_id("qdel", name) for name in names]
    known = [_RANGE.fullmatch(name) is not None or find(name) is not None for name in ids]
    if known[0] and not all(known):
        return 0, "", ""  # the whole request is dropped, or the server crashes
    rc, complaints = 0, ""
    for name in ids:
        try:
            _delete(name, find, delete)
        except Refused as error:
            rc, complaints = error.rc, complaints + error.text
    return rc, "", complaints


def _delete(name: str, find: Find, delete: Callable[[Job], None]) -> None:
    match = _RANGE.fullmatch(name)
    job = find(f"{match[1]}[]{match[4]}" if match else name)
    _check(name, job, find)
    assert job is not None
    if match is None:
        delete(job)
        return
    for sub in job.subjobs or ():
        if int(match[2]) <= (sub.index or 0) <= int(match[3]) and sub.state not in "EXF":
            delete(sub)


def _check(name: str, job: Job | None, find: Find) -> None:
    if job is None and find(re.sub(r"\[\d+\]", "[]", name)) is not None:
        raise Refused(BAD_INDEX, f"qdel: Invalid request {name}\n")
    if job is None:
        raise Refused(UNKNOWN, f"qdel: Unknown Job Id {name}\n")
    if job.state == "F":
        raise Refused(FINISHED, f"qdel: Job has finished {name}\n")
    if job.state == "X":
        raise Refused(FINISHED_SUBJOB, f"qdel: Request invalid for finished array subjob {name}\n")
    if job.state == "E":
        raise Refused(EXITING, f"qdel: Request invalid for state of job {name}\n")
