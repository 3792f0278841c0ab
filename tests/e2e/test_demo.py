"""What ``make demo`` runs, as a newcomer runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def start(folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(DEMO)], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that have to do with this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in words or str((path / "cwd").readlink()).startswith(str(folder)):
                found.append(f"{path.name} {words}")
        except OSError:
            continue
    return found


def wait_until_none(folder: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while left := processes_in(folder):
        assert time.monotonic() < end, left
        time.sleep(0.2)


@pytest.mark.mpi
@pytest.mark.slow
def test_the_demo_reaches_its_goal(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    process = start(folder)
    text, _ = process.communicate(timeout=200)  # expected: 30 s
    assert process.returncode == 0, text
    assert "10/10 done" in text
    assert "was killed at its walltime" in text
    assert (folder / "demo" / "learners.png").read_bytes().startswith(b"\x89PNG")
    assert str(folder / "demo" / "learners.png") in text
    wait_until_none(folder, 100)


@pytest.mark.mpi
@pytest.mark.slow
def test_ctrl_c_leaves_nothing_running_and_the_next_demo_begins_anew(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    for _ in range(2):
        begin = time.time()
        process = start(folder)
        logs = folder / "demo" / "logs"
        end = time.monotonic() + 60
        while not any(log.stat().st_mtime > begin for log in logs.glob("*.log")):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=180)
        assert process.returncode == 130, text
        wait_until_none(folder, 100)
