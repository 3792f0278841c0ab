"""Ten thousand odd strings, byte for byte, through the scripts and commands of every scheduler."""

from __future__ import annotations

import json
import os
import random
import re
import string
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.texts import MAX_ARGUMENT
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.localbatch.commands import _parser
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm import SLURM
from tests.clusters.slurm import PrivateSlurm
from tests.effort import times
from tests.integration.client_runs import wait_for
from tests.integration.test_scripts import ODD, SCHEDULERS, Bench, odd_strings

STRINGS = 10_000
#: Strings of one script: all arguments and variables of a program have to fit into 2 MiB
#: (execve(2)), once as arguments of `mpiexec` and once in the environment.
PER_SCRIPT = 2_500
SAYS = """
import json, os, pathlib, sys
env = {key: value for key, value in os.environ.items() if key.startswith("ODD_")}
said = {"argv": sys.argv[1:], "env": env, "cwd": os.getcwd()}
pathlib.Path(os.environ["REPORT"]).write_text(json.dumps(said))
"""
PIECES = [
    "$(touch owned)", "`touch owned`", "${HOME}", "$'\\n'", "'\"'\"'", "EOF", "<<EOF", "\\\n", "!!",
    "!$", "~root", "{a,b}", "*", "?[a-z]", "--", "-n", "-rf", ";exit 1;", "&&", "||", ">f", "#", "%s",
    "%A_%a", " ", "  ", "\t", "\n", "\n\n", "\r\n", "\x01", "\x1b[31m", "\x7f", "\u2028", "\u202e",
    "é", "e\u0301", "漢字", "😀", "\udcff", "\udc80\udcfe", "export X=1", "#SBATCH --x", "#PBS -x",
]  # fmt: skip


def very_odd_strings(n: int, seed: int) -> list[str]:
    """Printable ones, pieces that mean something to a shell, any bytes; a few are very long."""
    rng = random.Random(seed)
    words = odd_strings(n // 3, seed)
    while len(words) < n:
        if rng.random() < 0.5:
            word = "".join(rng.choices([*PIECES, *string.ascii_letters], k=rng.randint(1, 8)))
        else:
            word = os.fsdecode(rng.randbytes(rng.randint(1, 25)).replace(b"\0", b""))
        words.append(word)
    words[7] = "'$(x) " * (MAX_ARGUMENT // 7)
    rng.shuffle(words)
    return words


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_ten_thousand_strings_through_a_real_bash(kind: type[Scheduler], tmp_path: Path) -> None:
    words = very_odd_strings(STRINGS, times(1, random.randrange(2**32)))
    began = time.monotonic()
    bench = Bench(tmp_path / "a 'b' $(touch owned) \"ü\" -n\n", SAYS)
    cwd = bench.home / os.fsdecode(b"- $x\n'y' \xff!")
    cwd.mkdir()
    report = bench.home / "report"
    for first in range(0, STRINGS, PER_SCRIPT):
        part = words[first : first + PER_SCRIPT]
        variables = {f"ODD_{n}": word for n, word in enumerate(part)}
        scheduler = kind(1, setup=bench.setup, mpiexec_executable=[str(bench.client), *part],
                         extra_env_vars=variables)  # fmt: skip
        (resources,), _ = scheduler.shapes(1)
        assert bench.run(bench.script(scheduler, resources, cwd), REPORT=str(report)) == 0
        said = json.loads(report.read_text())
        assert said["argv"][: len(part)] == part
        assert said["env"] == variables
        assert os.fsencode(said["cwd"]) == os.fsencode(cwd.resolve())
    assert not list(tmp_path.rglob("owned"))
    print(f"{kind.__name__}: {2 * STRINGS} values in {time.monotonic() - began:.1f} s")


PROGRAM = """#!{python}
import json, os, pathlib, sys
pathlib.Path(os.environ["REPORT"]).write_text(json.dumps(sys.argv[1:]))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`sbatch` and `qsub` that only say what they were given; returns where."""
    words = sys.executable
    if " " in words:
        pytest.skip("this Python's path has a blank, so it cannot stand in a first line")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "qsub"):
        (folder / name).write_text(PROGRAM.format(python=words))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("REPORT", str(tmp_path / "report"))
    return tmp_path / "report"


def visible(words: list[str]) -> list[str]:
    """Those that can be the name of a job."""
    return [w for w in words if w.strip() and not any(ord(c) < 32 or c == "\x7f" for c in w)]


@pytest.mark.parametrize("kind", [SLURM, PBS])
def test_odd_names_and_folders_reach_the_submit_command(
    kind: type[Scheduler], programs: Path
) -> None:
    for word in visible(very_odd_strings(400, 2))[:25]:
        if len(word) > 1000:
            continue
        script = Path(f"/run/{word}.sh")
        job = JobRequest(word, "as:run:1", Resources(), f"/logs/{word}")
        argv = kind(1).submit_command(job, script, 3)
        assert commands.run(argv, 30).rc == 0
        assert json.loads(programs.read_text()) == argv[1:]
        assert str(script) in argv
        if kind is SLURM:
            assert f"--job-name={word}" in argv


def test_odd_names_reach_localbatch() -> None:
    parser = _parser()  # one for all: it takes longer to make than to use
    for word in visible(very_odd_strings(10_000, 3)):
        job = JobRequest(word, "as:run:1", Resources(), f"/logs/{word}")
        script = Path(f"/run/{word}.sh")
        argv = LocalScheduler(1).submit_command(job, script, 3)
        read = parser.parse_args(argv[argv.index("submit") :])
        if word == "--":  # argparse of Python 3.11 drops it: the job is called by its script's name
            continue
        assert (read.name, read.script) == (word, str(script))
        assert read.output == f"/logs/{word}".rstrip("/").replace("%", "%%") + "/%j.out"


@pytest.mark.slurm
def test_odd_names_come_back_from_a_real_slurm(slurm: PrivateSlurm, tmp_path: Path) -> None:
    """And a directive line is one word where we quote it: the partition is refused as a whole."""
    names = [w for w in visible([*ODD, *very_odd_strings(600, 4)]) if len(os.fsencode(w)) < 200]
    # our own listing of them is text, where bytes that are none become question marks
    names = [name for name in dict.fromkeys(names) if not re.search("[\udc80-\udcff]", name)][:60]
    ids = {}
    for name in names:
        scheduler = SLURM(1, extra_scheduler=["--hold"])
        (resources,), _ = scheduler.shapes(1)
        job = JobRequest(name, "as:run:1", resources, str(tmp_path))
        script = tmp_path / "job.sh"
        script.write_text("\n".join(["#!/bin/bash", *scheduler.header(job), "true", ""]))
        done = slurm.run(*scheduler.submit_command(job, script, 1), check=False)
        assert done.returncode == 0, (name, done.stderr)
        ids[done.stdout.strip()] = name
    try:
        done = slurm.run(*scheduler.queue_command())
        result = commands.CommandResult((), done.returncode, done.stdout, done.stderr)
        listed = {job.id: job.name for job in scheduler.parse_queue(result)}
        assert {key: listed.get(key) for key in ids} == ids
    finally:
        slurm.run("scancel", *ids)
    wait_for(lambda: not set(ids) & set(slurm.run("squeue", "-h", "-o", "%A").stdout.split()))
    for word in ("nor mal", "a'b", "$(id)", "a b#c", '"x"'):
        (resources,), _ = SLURM(1, partition=word).shapes(1)
        job = JobRequest("job", "as:run:1", resources, str(tmp_path))
        script.write_text("\n".join(["#!/bin/bash", *SLURM(1).header(job), "true", ""]))
        said = slurm.run("sbatch", str(script), check=False).stderr
        assert f"invalid partition specified: {word}\n" in said


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"extra_scheduler": ["--x\n#SBATCH --y"]}, "extra_scheduler.*control character"),
        ({"extra_scheduler": "--x\nrm -rf /"}, "extra_scheduler.*control character"),
        ({"extra_scheduler": ["a\0b"]}, "extra_scheduler.*NUL"),
        ({"setup": "module load x\0"}, "setup.*NUL"),
        ({"extra_script": "\0"}, "extra_script.*NUL"),
        ({"python_executable": "/a\0b"}, "python_executable.*NUL"),
        ({"mpiexec_executable": ["mpiexec", "a\0b"]}, "mpiexec_executable.*NUL"),
        ({"log_folder": "/a\0b"}, "log_folder.*NUL"),
        ({"extra_env_vars": {"A": "\0"}}, r"extra_env_vars\['A'\].*NUL"),
        ({"extra_env_vars": {"A": "\ud800"}}, "half a character"),
        ({"extra_env_vars": {"A": "x" * MAX_ARGUMENT}}, "131073 bytes; Linux starts no program"),
    ],
)
def test_what_cannot_be_quoted_is_refused_by_name(
    kind: type[Scheduler], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        kind(1, **options)


@pytest.mark.parametrize("kind", [SLURM, PBS])
def test_a_partition_is_one_line(kind: type[Scheduler]) -> None:
    with pytest.raises(InputError, match=r"partition.*control character '\\n'"):
        kind(1, partition="normal\n#SBATCH --comment=x")


@pytest.mark.parametrize("word", ["a b", "a'b", '"a"', "$(id)", "-a", ""])
def test_a_queue_of_pbs_has_no_quotes(word: str) -> None:
    """The lines of ``#PBS`` cannot quote all that a shell can, and no queue needs it."""
    with pytest.raises(InputError, match=r"queue=.* is not the name of a queue"):
        PBS(1, queue=word)


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\x1e", "\x1f", "\ud800"])
def test_job_names_are_one_line(name: str) -> None:
    """`squeue`'s rows are told apart by such characters."""
    with pytest.raises(InputError, match="name="):
        RunOptions(name=name)
