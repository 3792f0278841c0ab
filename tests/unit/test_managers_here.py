"""Which processes of a host are managers of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.doctor.run_files import managers_here

#: As a manager that starts a program, which has not begun yet: both stay until their input ends.
FORKING = "import os, sys; os.write(1, b'%d\\n' % os.fork()); sys.stdin.read()"


def test_what_a_manager_starts_is_no_other_manager(tmp_path: Path) -> None:
    """For a moment, longer on a busy machine, it has the manager's command line: `doctor` told to end it."""
    folder = RunFolder(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, "adaptive_scheduler.manager", str(folder.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as manager:  # fmt: skip
        assert manager.stdout is not None
        said = sorted((manager.stdout.readline(), manager.stdout.readline()))
        assert said[0] == "0\n"
        child = psutil.Process(int(said[1]))
        assert child.cmdline() == psutil.Process(manager.pid).cmdline()
        assert managers_here(folder) == [manager.pid]
        assert manager.stdin is not None
        manager.stdin.close()
