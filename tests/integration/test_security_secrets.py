"""A real run on a real Slurm, searched for its secret keys while it goes on."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from zmq.utils import z85

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.transport import keys
from tests.clusters.slurm import PrivateSlurm
from tests.integration.test_security_files import _modes

ROOT = Path(__file__).resolve().parents[2]
CELLS = [
    """
import os, sys, time
from functools import partial
import adaptive
import adaptive_scheduler
from adaptive_scheduler.server_support import RunManager

looked = os.path.abspath("looked")

def slow_square(offset, x):
    time.sleep(0.05)
    while offset == 3 and not os.path.exists(looked):  # the run lasts until it was looked at
        time.sleep(0.05)
    return (x - offset) ** 2

learners = [adaptive.Learner1D(partial(slow_square, i), (-1, 1)) for i in range(4)]
scheduler = adaptive_scheduler.scheduler.SLURM(cores=3, executor_type="process-pool")
run_manager = RunManager(scheduler, learners, [f"data/{i}" for i in range(4)], goal=40,
                         folder="run", max_jobs=2, interval=1)
run_manager.start()
""",
    "run_manager.wait(timeout=180)",
    "run_manager",
    "run_manager.info()",
    "print(repr(run_manager), str(run_manager), vars(run_manager), scheduler, vars(scheduler))",
    "print(run_manager.status(), run_manager.snapshot())",
    """
from adaptive_scheduler.io.transport import keys
pair = keys.load(run_manager.folder.keys, "client")
print(pair, [pair], f"{pair}")
pair
""",
]


def forms(secret: bytes) -> list[bytes]:
    """A key as it may be written: raw, as zmq has it, in hex, in base64."""
    raw = z85.decode(secret)
    return [
        form
        for data in (raw, secret)
        for form in (data, data.hex().encode(), base64.b64encode(data), base64.urlsafe_b64encode(data))
    ]  # fmt: skip


#: Where to look while the run goes on.
LIVE = {"our cmdline", "our environ", "write batch_script", "show job", "status --json"}


class Search(threading.Thread):
    """Looks, as long as the run goes on, where no key may be; counts where it looked."""

    def __init__(self, home: Path, slurm: PrivateSlurm) -> None:
        super().__init__()
        self.folder = RunFolder(home / "run")
        self.looked: Counter[str] = Counter()
        self.found: set[str] = set()
        self.ended = threading.Event()
        self._home, self._slurm = home, slurm
        self._secrets: list[bytes] = []

    def run(self) -> None:
        while not self.ended.wait(0.1):
            self.look(self._processes())
            self.look(self._cluster())
            self.look(self._commands())
            if set(self.looked) >= LIVE:
                (self._home / "looked").touch()

    def _keys(self) -> list[bytes]:
        if not self._secrets and all(
            (self.folder.keys / f"{n}.key").exists() for n in ("client", "server")
        ):
            pairs = [keys.load(self.folder.keys, name) for name in ("client", "server")]
            self._secrets = [form for pair in pairs for form in forms(pair.secret)]
        return self._secrets

    def look(self, places: Iterator[tuple[str, str, bytes]]) -> None:
        secrets = self._keys()
        if not secrets:
            return
        for kind, name, content in places:
            self.looked[kind] += 1
            self.found |= {f"{kind}: {name}" for secret in secrets if secret in content}

    def _processes(self) -> Iterator[tuple[str, str, bytes]]:
        for process in Path("/proc").iterdir():
            for part in ("cmdline", "environ") if process.name.isdigit() else ():
                try:
                    content = (process / part).read_bytes()
                except OSError:  # it has ended
                    continue
                # so that the count tells that the run's own processes were among them
                ours = str(self._home).encode() in content
                yield (f"our {part}" if ours else part), process.name, content

    def _cluster(self) -> Iterator[tuple[str, str, bytes]]:
        for job in self._slurm.run("squeue", "-h", "-r", "-o", "%A", check=False).stdout.split():
            for what in (("write", "batch_script", job, "-"), ("-dd", "show", "job", job)):
                done = self._slurm.run("scontrol", *what, check=False)
                if done.returncode == 0:
                    yield (
                        " ".join(what[-3:-1] if "show" in what else what[:2]),
                        job,
                        done.stdout.encode(),
                    )

    def _commands(self) -> Iterator[tuple[str, str, bytes]]:
        words = [sys.executable, "-m", "adaptive_scheduler.cli", "status", str(self._home / "run")]
        for more in (["--json"], []):
            done = subprocess.run([*words, *more], capture_output=True, cwd=ROOT, timeout=180, check=False)  # fmt: skip
            if done.returncode in (0, 1) and done.stdout:
                yield f"status {' '.join(more)}".strip(), "", done.stdout + done.stderr

    def files(self) -> Iterator[tuple[str, str, bytes]]:
        for path in (path for path, mode in _modes(self._home) if stat.S_ISREG(mode)):
            if self.folder.keys not in path.parents:
                kind = path.suffix or path.name
                with suppress(FileNotFoundError):  # a temporary one
                    yield f"file {kind}", str(path.relative_to(self._home)), path.read_bytes()


@pytest.mark.slurm
def test_no_secret_is_anywhere_but_in_its_file(
    slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in slurm.env.items():
        monkeypatch.setenv(key, value)
    home = tmp_path / "home"
    home.mkdir()
    search = Search(home, slurm)
    search.start()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    try:
        NotebookClient(
            notebook,
            timeout=200,
            kernel_name="python3",
            resources={"metadata": {"path": str(home)}},
        ).execute()
    finally:
        (home / "looked").touch()  # else its jobs would stay on Slurm, where the run failed
        search.ended.set()
        search.join()
    executed = nbformat.writes(notebook).encode()
    assert b"KeyPair(public=" in executed
    search.look(iter([("notebook", "", executed)]))
    search.look(search.files())
    print(f"{sum(search.looked.values())} looks: {dict(search.looked)}")
    assert search.found == set()
    wanted = {
        *LIVE, "notebook", "file .jsonl", "file .tinydb", "file .log", "file .out", "file .sh", "file .json",
    }  # fmt: skip
    assert wanted <= set(search.looked)


def test_the_search_finds_what_is_there(tmp_path: Path, slurm: PrivateSlurm) -> None:
    """Otherwise the test above could not fail."""
    search = Search(tmp_path, slurm)
    pair = keys.load_or_make(search.folder.keys, "client")
    keys.load_or_make(search.folder.keys, "server")
    shown = {f"{n}.log": b"x" + form + b"y" for n, form in enumerate(forms(pair.secret))}
    for name, content in shown.items():
        (tmp_path / name).write_bytes(content)
    variable = {"KEY": pair.secret.decode()}
    with subprocess.Popen(["sleep", "30"], env=variable) as leak:
        search.look(search._processes())
        leak.kill()
    search.look(search.files())
    assert {f"file .log: {name}" for name in shown} <= search.found
    assert any(f"environ: {leak.pid}" in one for one in search.found)
