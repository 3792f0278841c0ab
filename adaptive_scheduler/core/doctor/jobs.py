"""Verdicts on the job: how it died, or what it reported from its node."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from adaptive_scheduler.core.doctor.findings import Finding, fine, merge, unknown, worst, wrong
from adaptive_scheduler.core.doctor.folders import judge_folders
from adaptive_scheduler.core.doctor.observations import Exchange, NodeReport, UrlTried
from adaptive_scheduler.core.jobs.outputs import PROFILE, explain_death
from adaptive_scheduler.core.rows.row import TASK

#: Seconds that clocks of a cluster may differ without harm.
SKEW = 5.0
#: Begins the line that a job prints if its Python is another one, which may not even read this package.
OTHER_PYTHON = "[adaptive_scheduler] Another Python: "
#: Of MPI libraries that do not understand their launcher: MPICH 5 below Open MPI's (seen), Open MPI below srun
#: (docs.open-mpi.org, "Launching with Slurm").
_NO_MPI = re.compile(r"unsupported PMI version|OMPI was not built with|MPI_Init\w*\(.*failed")
_NO_PYTHON = re.compile(
    r"(No such file or directory|not found|Permission denied|execve|can't open file|"
    r"unable to (exec|run)|bad interpreter)"
)


# ------------------------------------------------------------------------ its death


def judge_death(job: str, output: str | None, cause: str, python: str, log_folder: str) -> Finding:
    """Judge a job that has ended without results.

    Parameters
    ----------
    job : str
    output : str or None
        The end of what it printed; None if it has no output file.
    cause : str
        How it ended, as the batch system says; "" if it does not.
    python, log_folder : str
        What it was to run, and where it was to print.
    """
    words = explain_death(job, output, cause)
    if output is None:
        if cause == "completed":
            return wrong("profile-ends-job", job=job, words=words)
        return wrong("folder-unseen", job=job, folder=log_folder)
    if PROFILE in words:
        return wrong("profile-ends-job", job=job, words=words)
    for fault, is_it in _clues(python):
        if line := _line(output, is_it):
            return wrong(fault, "job", job=job, words=line.removeprefix(OTHER_PYTHON))
    return wrong("job-died", job=job, words=words or f"The last lines of its output: {output}")


def _clues(python: str) -> tuple[tuple[str, Callable[[str], bool]], ...]:
    """What a line of the output means, the most telling first."""
    return (
        ("other-python", lambda text: text.startswith(OTHER_PYTHON)),
        ("package-missing", lambda text: "ModuleNotFoundError" in text or "ImportError" in text),
        ("mpi-world", lambda text: bool(_NO_MPI.search(text))),
        ("python-missing", lambda text: python in text and bool(_NO_PYTHON.search(text))),
        ("launcher-missing-there", lambda text: "mpi" in text and bool(_NO_PYTHON.search(text))),
    )


def _line(output: str, is_it: Callable[[str], bool]) -> str:
    """Return the last line of which something is true; "" if there is none."""
    return next((line.strip() for line in reversed(output.splitlines()) if is_it(line)), "")


# ------------------------------------------------------------------------ its reports


def judge_reports(reports: list[NodeReport], heard: Mapping[str, Exchange]) -> list[Finding]:
    """Judge what the processes of a job reported: several if an MPI world fell apart.

    Parameters
    ----------
    reports : list of NodeReport
    heard : mapping
        For each process that came through, when its question came and was answered here.
    """
    return merge(finding for one in reports for finding in _judge_report(one, heard))


def _judge_report(report: NodeReport, heard: Mapping[str, Exchange]) -> list[Finding]:
    return [
        _python(report),
        _work(report),
        *judge_urls(report.host, report.urls),
        *_clock(report, heard.get(report.job)),
        *judge_folders("node-folder", report.folders),
    ]


def _python(report: NodeReport) -> Finding:
    if report.python.kind:
        return wrong("other-python", words=report.python.words)
    return fine("python", report.python.found)


def _work(report: NodeReport) -> Finding:
    check, work = ("node" if report.kind == TASK else "workers"), report.work
    if not work.kind:
        return fine(check, work.found)
    words = work.words or work.kind
    if check == "node":
        return unknown(check, words)
    return wrong("mpi-world" if "MPI" in words else "workers-silent", words=words)


def judge_urls(node: str, tried: list[UrlTried]) -> list[Finding]:
    """Judge the ways from a node to the manager; one that answers is enough."""
    good = [one.url for one in tried if one.outcome == "answered"]
    bad = [one for one in tried if one.outcome != "answered"]
    attempts = ", ".join(f"{one.url} ({one.words or one.outcome})" for one in bad)
    facts = {"node": node, "attempts": attempts}
    if good and bad:
        address = good[0].removeprefix("tcp://").rpartition(":")[0]
        return [wrong("wrong-interface", good=", ".join(good), address=address, **facts)]
    outcomes = {one.outcome for one in bad}
    for outcome, fault in (
        ("silent", "firewall"),
        ("mute", "firewall"),
        ("refused", "port-refused"),
    ):
        if outcome in outcomes:
            return [wrong(fault, **facts)]
    return worst(
        [wrong("manager-unreachable", **facts)] if bad else [],
        "way-back", f"answered: {', '.join(good)}",
    )  # fmt: skip


def _clock(report: NodeReport, here: Exchange | None) -> list[Finding]:
    if report.clock is None or here is None:
        return []
    ahead = skew(report.clock, here)
    if abs(ahead) <= SKEW:
        return [fine("clock", f"that of {report.host} differs by less than {SKEW:.0f} s")]
    direction = "ahead of" if ahead > 0 else "behind"
    return [wrong("clock-skew", node=report.host, seconds=abs(ahead), direction=direction)]


def skew(there: Exchange, here: Exchange) -> float:
    """Return the least number of seconds by which a clock there must be ahead of ours.

    It asked before we heard, and had its answer after that: so the difference lies between
    ``there.asked - here.answered`` and ``there.answered - here.asked``.
    """
    least, most = there.asked - here.answered, there.answered - here.asked
    return 0.0 if least <= 0.0 <= most else min(least, most, key=abs)
