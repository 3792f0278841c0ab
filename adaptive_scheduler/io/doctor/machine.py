"""Observes this machine: its login profile, limits, MPI launcher."""

from __future__ import annotations

import getpass
import os
import re
import resource
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from adaptive_scheduler.core.doctor.observations import HostSeen, LauncherSeen, ProfileSeen
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.system import commands

#: Seconds that a login shell may take: slow profiles on busy file systems take some.
PROFILE_SECONDS = 15.0
#: Seconds for one question to an MPI launcher, and to mpi4py.
_QUESTION = 25.0
#: Prints the library of mpi4py without becoming part of an MPI world.
_LIBRARY = (
    "import mpi4py; mpi4py.rc.initialize = False\n"
    "from mpi4py import MPI; print(MPI.Get_library_version())"
)
#: logind.conf(5): the main file, and what is added to it.
_LOGIND = ("etc/systemd/logind.conf", "etc/systemd/logind.conf.d/*.conf", "run/systemd/logind.conf.d/*.conf")  # fmt: skip


def try_profile(seconds: float = PROFILE_SECONDS) -> ProfileSeen:
    """Run one line in a login shell, as each job script is one."""
    mark = f"adaptive_scheduler-{secrets.token_hex(8)}"
    begun = time.monotonic()
    result = commands.run(["bash", "-l", "-c", f"echo {mark}"], seconds)
    if result.rc == commands.TIMED_OUT:
        return ProfileSeen(None, False, result.stdout, seconds)
    before, found, _ = result.stdout.partition(mark)
    printed = before + result.stderr
    return ProfileSeen(result.rc, bool(found), printed, time.monotonic() - begun)


def see_host(root: Path = Path("/")) -> HostSeen:
    """Look at limits of this process, which a manager would inherit.

    Parameters
    ----------
    root : Path
        Where ``etc`` and ``var`` are.
    """
    cpu = resource.getrlimit(resource.RLIMIT_CPU)[1]
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return HostSeen(
        None if cpu == resource.RLIM_INFINITY else float(cpu),
        None if files == resource.RLIM_INFINITY else files,
        "" if _lingers(root) else _kills_in(root),
    )


def _lingers(root: Path) -> bool:
    """Whether ``loginctl enable-linger`` was given for this user."""
    try:
        return Path(root, "var/lib/systemd/linger", getpass.getuser()).exists()
    except (OSError, KeyError):
        return False


def _kills_in(root: Path) -> str:
    """The file that says ``KillUserProcesses=yes``; the last one counts."""
    found = ""
    for pattern in _LOGIND:
        for path in sorted(root.glob(pattern)):
            try:
                text = path.read_text(errors="replace")
            except OSError:
                continue
            for value in re.findall(r"^\s*KillUserProcesses\s*=\s*(\w+)", text, re.MULTILINE):
                found = str(path) if value.lower() in ("yes", "true", "on", "1") else ""
    return found


def see_launcher(argv: Sequence[str], python: str) -> LauncherSeen:
    """Ask an MPI launcher what it is, and mpi4py in a Python which library it has."""
    path = shutil.which(argv[0])
    library = _first_line(_output([python, "-c", _LIBRARY]))
    if path is None:
        return LauncherSeen(argv[0], None, library)
    if Path(path).name == "srun":
        return LauncherSeen(argv[0], "", library, _plugin(argv), _plugins(path))
    return LauncherSeen(argv[0], _output([path, "--version"]), library)


def _plugin(argv: Sequence[str]) -> str:
    """The ``--mpi`` of an srun, or its default from the environment."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word.startswith("--mpi="):
            return word.removeprefix("--mpi=")
        if word == "--mpi":
            return following
    return os.environ.get("SLURM_MPI_TYPE", "")


def _plugins(srun: str) -> list[str]:
    """What ``srun --mpi=list`` prints: on stdout or stderr, by version, one on a line."""
    lines = _output([srun, "--mpi=list"]).splitlines()
    names = [line.strip().removeprefix("srun: ") for line in lines]
    versions = [name.partition("available: ")[2] for name in names if "available: " in name]
    found = [name for name in names if re.fullmatch(r"\w+", name)]
    return [*found, *(one for text in versions for one in text.split(","))]


def _output(argv: Sequence[str]) -> str:
    """What a program prints; "" if it fails to start or to end."""
    try:
        result = commands.run(argv, _QUESTION)
    except AdaptiveSchedulerError:
        return ""
    return result.stdout + result.stderr if result.rc == 0 else result.stdout


def _first_line(text: str) -> str:
    lines = (" ".join(line.strip("\0 ").split()) for line in text.splitlines())
    return next((line for line in lines if line), "")[:100]
