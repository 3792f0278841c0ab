"""Every command with streams that are closed or full, or whose reader has left: no traceback, and the right exit code."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from adaptive_scheduler.cli import COMMANDS
from adaptive_scheduler.core.rows.row import TASK, Phase, TaskItem
from tests.made_runs import make_run
from tests.run_folders import large_run

PYTHON = shlex.quote(sys.executable)
CLI = f"{PYTHON} -m adaptive_scheduler"
#: The output is a pipe whose reader went away, as `head` does.
UNREAD = "UNREAD"
#: What is run of each command: it changes nothing, and ends by itself.
WORDS = {
    "run": "run study.py --scheduler local --dry-run",
    "status": "status past --all",
    "list": "list",
    "explain": "explain past 3",
    "web": "web no-such-run",
    "logs": "logs past",
    "report": "report past -o -",
    "cancel": "cancel past --dry-run",
    "resume": "resume past --dry-run",
    "retry": "retry past --dry-run",
    "doctor": "doctor no-such-run",
    "manager": "manager past --dry-run",
    "check": "check --scheduler no-such-scheduler",
    "help": "help InputError",
    "tasks": "tasks calls",
    "task": "task calls 1",
    "prioritise": "prioritise calls 1 5 --dry-run",
    "search": "search no-such-file.yaml",
    "sweep": "sweep no-such-file.yaml",
    "results": "results past",
    "pool": "pool calls",
}
STUDY = """
import adaptive
learners = [adaptive.Learner1D(float, (0, 1))]
fnames = ["data/x"]
goal = 3
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("a user's $place")
    large_run(found / "past", 40, jobs=5)
    rows = [TaskItem(n, "", Phase.DONE, name=f"call {n}") for n in range(9)]
    make_run(found / "calls", rows, kind=TASK)
    (found / "study.py").write_text(STUDY)
    return found


def ran(place: Path, words: str, how: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run a command as a shell does; what its stderr shows is in ``errors``, unless `how` says else."""
    reader, writer = os.pipe()
    os.close(reader)
    command = f"{CLI} {words} 2>errors {'' if how == UNREAD else how}"
    try:
        done = subprocess.run(
            ["bash", "-c", command], cwd=place, timeout=1500, check=False,
            env=os.environ | {"COLUMNS": "80"}, stderr=subprocess.PIPE,
            stdout=writer if how == UNREAD else subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert not done.stderr, f"of bash: {done.stderr!r}"
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout or b"")


def test_each_command_is_tried() -> None:
    assert list(WORDS) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_streams_of(name: str, place: Path) -> None:
    words = WORDS[name]
    plain = ran(place, words)
    prints = bool(plain.stdout)
    ways = {
        ">&- 2>/dev/full": plain.returncode,
        ">/dev/full": 1 if prints else plain.returncode,
        UNREAD: 141 if prints else plain.returncode,
    }
    for how, code in ways.items():
        (place / "errors").write_text("")
        done = ran(place, words, how)
        said = (place / "errors").read_text()
        assert done.returncode == code, (how, said)
        assert "Traceback" not in said + done.stdout.decode(), (how, said)
        assert "Exception ignored" not in said, (how, said)
        if how == ">/dev/full" and prints:
            assert "the output cannot be written: No space left on device" in said
        if how == UNREAD and prints:
            assert "roken" not in said


@pytest.mark.parametrize("how", [">/dev/full", UNREAD])
def test_help_of_all(how: str, place: Path) -> None:
    for words in ("--help", "status --help", "--version"):
        done = ran(place, words, how)
        assert done.returncode == (141 if how == UNREAD else 1)
        assert "Traceback" not in (place / "errors").read_text()


def test_no_file_takes_the_number_of_a_closed_stream(place: Path) -> None:
    """What a library prints would go into the database of the run."""
    code = (
        "import os; from adaptive_scheduler.commandline.output.streams import safe_streams\n"
        "with safe_streams():\n"
        "    print('lost'); fd = os.open('opened', os.O_CREAT | os.O_RDWR)\n"
        "    os._exit(fd)"
    )
    argv = ["bash", "-c", f'{PYTHON} -c "$0" <&- >&- 2>&-', code]
    assert subprocess.run(argv, cwd=place, check=False, timeout=300).returncode == 3
    assert (place / "opened").read_text() == ""


def test_lines_come_at_once_where_python_is_told_not_to_buffer(place: Path) -> None:
    """As in the output of a job, which a person follows."""
    code = (
        "import sys; from adaptive_scheduler.commandline.output.streams import safe_streams\n"
        "with safe_streams():\n"
        "    print('first')\n"
        "    sys.stdin.read()"
    )
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=place, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], 300)[0], (
                "it waits, and has printed nothing"
            )
            assert process.stdout.readline() == b"first\n"
        finally:
            process.stdin.close()


def waiting(fd: int) -> int:
    """How many bytes are in a pipe."""
    (n,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))
    return int(n)


def test_a_stream_that_another_program_has_made_non_blocking_is_waited_for(place: Path) -> None:
    """Nobody reads until the pipe is full."""
    reads, writes = os.pipe()
    room = fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writes, False)
    argv = [*shlex.split(CLI), "status", "past", "--json", "--all"]
    with subprocess.Popen(
        argv, cwd=place, stdout=writes, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writes)
        end = time.monotonic() + 300
        while waiting(reads) < room and time.monotonic() < end:
            time.sleep(0.02)
        with os.fdopen(reads, "rb") as answers:
            whole = answers.read()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert len(whole) > room
    assert len(json.loads(whole)["items"]) == 40


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_another_encoding(encoding: str, place: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{CLI} status past --all && {CLI} explain past 3 && {CLI} --help"],
        cwd=place, capture_output=True, timeout=1500, check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "60"},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert b"learner" in done.stdout
