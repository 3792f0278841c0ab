"""Verdicts on this machine: its login profile, its limits, its addresses, its MPI launcher."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adaptive_scheduler.core.doctor.findings import Finding, fine, worst, wrong
from adaptive_scheduler.core.doctor.observations import HostSeen, LauncherSeen, ProfileSeen

#: A manager of a run of days uses an hour of CPU time or two; limits on login nodes are of minutes.
_MUCH_CPU = 4 * 3600.0
#: Open files that a manager has besides its connections, and how many are enough for most runs.
_OWN_FILES, _ENOUGH_FILES = 100, 1024
#: What launchers and MPI libraries print of themselves. Intel's MPI, MVAPICH and Cray's speak MPICH's PMI.
_FAMILIES = {
    "Open MPI": r"Open ?MPI|OpenRTE|open-mpi\.org",
    "MPICH": r"MPICH|HYDRA|Intel\(R\) MPI|MVAPICH",
}


def judge_profile(seen: ProfileSeen) -> Finding:
    """Judge what a login shell did."""
    if seen.status is None:
        return wrong("profile-hangs", seconds=seen.seconds)
    if not seen.reached:
        return wrong("profile-ends", status=seen.status)
    if seen.printed.strip():
        return wrong("profile-prints", text=" ".join(seen.printed.split())[:200])
    return fine("profile", f"a login shell begins within {seen.seconds:.1f} s, and prints nothing")


def judge_host(seen: HostSeen) -> list[Finding]:
    """Judge limits for a manager that is started here."""
    bad = []
    if seen.kills_in:
        bad.append(wrong("daemons-killed", file=seen.kills_in))
    if seen.cpu_seconds is not None and seen.cpu_seconds < _MUCH_CPU:
        bad.append(wrong("cpu-time-limited", seconds=seen.cpu_seconds))
    if seen.files is not None and seen.files < _ENOUGH_FILES:
        jobs = max(seen.files - _OWN_FILES, 0)
        bad.append(wrong("few-files", files=seen.files, jobs=jobs))
    return worst(bad, "host", "a manager that is started here may go on")


def judge_addresses(addresses: Sequence[str], *, is_local: bool) -> Finding:
    """Judge the addresses of this host; jobs of this machine alone need no network."""
    if not is_local and all(one.startswith("127.") for one in addresses):
        return wrong("only-loopback")
    return fine("address", ", ".join(addresses))


def family(text: str) -> str:
    """Return the MPI family that a text names; "" if none is known."""
    return next((name for name, words in _FAMILIES.items() if re.search(words, text)), "")


def judge_launcher(seen: LauncherSeen) -> list[Finding]:
    """Judge an MPI launcher."""
    if seen.version is None:
        return [wrong("launcher-missing", launcher=seen.name)]
    known = [re.sub(r"_v\d+$", "", one) for one in seen.plugins]
    if seen.plugin and seen.plugins and seen.plugin not in (*seen.plugins, *known):
        return [wrong("mpi-plugin-missing", plugin=seen.plugin, known=", ".join(seen.plugins))]
    mine, theirs = family(seen.version), family(seen.library)
    if mine and theirs and mine != theirs:
        return [wrong("mpi-families-differ", launcher=seen.name, family=mine, library=seen.library)]
    return [
        fine("launcher", f"{seen.name}; mpi4py uses {seen.library or 'nobody knows which MPI'}")
    ]
