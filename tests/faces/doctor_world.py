"""A machine with something wrong with it, and what `adaptive-scheduler doctor` says there."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

CLI = (sys.executable, "-m", "adaptive_scheduler.cli")
#: A job of one process on this machine.
LOCAL = ("--scheduler", "local", "--cores", "1", "--max-cores", "1", "--executor-type", "sequential")  # fmt: skip
#: What is needed to mount a file system of these kinds from a file, or served by a program.
DEVICES = {
    "btrfs": ("/dev/loop-control",),
    "fuse": ("/dev/fuse",),
    "fuseblk": ("/dev/fuse", "/dev/loop-control"),
}


def need_root() -> None:
    """Skip a test by name that needs root, for mounts and networks of its own; in CI, too, as others do."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for mounts and networks of its own")
    trial = ["unshare", "--mount", "--net", "true"]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("unshare(1) may make no namespaces in this container")


def need(program: str, package: str) -> str:
    """The path of a program; without it a test is skipped by name, and in CI it fails."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        missing(f"{program} is not installed (apt-get install {package})")
    return path


def need_disk(kind: str) -> None:
    """Skip a test by name where Linux has no such file system; in CI, too: it cannot be installed."""
    if modprobe := shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        subprocess.run([modprobe, kind], capture_output=True, check=False)
    if kind not in Path("/proc/filesystems").read_text().split():
        pytest.skip(f"this Linux has no {kind}")
    if absent := [device for device in DEVICES[kind] if not Path(device).exists()]:
        pytest.skip(f"{kind}: there is no {', '.join(absent)}")


def missing(reason: str) -> NoReturn:
    """Skip a test by name; in CI, which installs all that is needed, it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@dataclass
class Said:
    """What the command has found."""

    code: int
    checks: list[dict[str, Any]]

    def all(self, name: str) -> list[dict[str, Any]]:
        """All findings of one fault."""
        return [one for one in self.checks if one["fault"] == name]

    def fault(self, name: str) -> dict[str, Any]:
        """The finding of one fault, which has a remedy; fails if it was not found."""
        found = self.all(name)
        bad = [one for one in self.checks if one["fault"] or one["level"] == "unknown"]
        assert len(found) == 1, f"{name} is not found once, but: {json.dumps(bad, indent=1)}"
        assert found[0]["remedy"]
        assert self.code == (0 if all(one["ok"] for one in self.checks) else 1)
        return found[0]

    @property
    def faults(self) -> set[str]:
        """Names of all that is wrong."""
        return {one["fault"] or one["check"] for one in self.checks if one["level"] != "ok"}


@dataclass
class Machine:
    """Where the command runs.

    Attributes
    ----------
    folder : Path
        The current one; also the home and the state of the local batch system are in it.
    environ : dict
        What is added to the environment.
    within : sequence of str
        A command that starts others where something is wrong.
    """

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    within: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def doctor(self, *words: str, shell: str = "", timeout: float = 900) -> Said:
        """Run the command; `shell` is run before it, in the same process."""
        argv = [*self.within, *CLI, "doctor", *words, "--json"]
        if shell:
            argv = [
                *self.within,
                "bash",
                "-c",
                f'{shell}\nexec "$@"',
                "bash",
                *argv[len(self.within) :],
            ]
        done = subprocess.run(
            argv, cwd=self.folder, env=self.environment(), capture_output=True, text=True,
            timeout=timeout, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stdout + done.stderr
        answer = json.loads(done.stdout)
        assert answer["schema_version"] == 1
        return Said(done.returncode, answer["checks"])

    def environment(self) -> Mapping[str, str]:
        batch = {
            "ADAPTIVE_SCHEDULER_LOCALBATCH": str(self.folder / "batch"),
            "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "2",
        }
        return {**os.environ, "HOME": str(self.home), **batch, **self.environ}

    def program(self, name: str, text: str) -> Path:
        """Make a program that is found before others of its name."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
        if not self.environ.get("PATH", "").startswith(str(folder)):
            self.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """This machine, with a home and a batch system of its own."""
    return Machine(tmp_path)


# --------------------------------------------------------------------------- networks


class Networks:
    """Two hosts: the manager's, with two networks, and a node, which has one of them.

    They are network namespaces. The manager's host is 10.77.0.1 on ``shared`` and 10.88.0.1 on
    ``other``; the node is 10.77.0.2.
    """

    def __init__(self) -> None:
        self._sleepers = [  # they end with this process, however that ends: then their input does
            subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
            for _ in ("manager", "node")
        ]
        for one in self._sleepers:
            _wait_for_namespace(one.pid)
        here, there = (f"/proc/{one.pid}/ns/net" for one in self._sleepers)
        self.manager, self.node = (["nsenter", f"--net={path}"] for path in (here, there))

    def make(self) -> None:
        """Give them their interfaces and addresses."""
        node = self._sleepers[1].pid
        for line in (
            f"link add shared type veth peer name shared netns {node}",
            "addr add 10.77.0.1/24 dev shared",
            "link add other type veth peer name other2",
            "addr add 10.88.0.1/24 dev other",
            *(f"link set {name} up" for name in ("lo", "shared", "other", "other2")),
        ):
            self.ip(self.manager, line)
        for line in ("addr add 10.77.0.2/24 dev shared", "link set lo up", "link set shared up"):
            self.ip(self.node, line)

    def ip(self, where: Sequence[str], line: str) -> None:
        subprocess.run([*where, "ip", *line.split()], check=True)

    def firewall(self, ports: str, verdict: str) -> None:
        """Let the manager's host treat what comes to these ports as nft(8) says: ``drop``, ``reject``."""
        rules = f"""
            add table inet wall
            add chain inet wall input {{ type filter hook input priority 0; }}
            add rule inet wall input iifname "shared" tcp dport {ports} {verdict}
        """
        nft = need("nft", "nftables")
        trial = [*self.manager, nft, "list", "tables"]
        if subprocess.run(trial, capture_output=True, check=False).returncode:
            pytest.skip("this Linux has no nf_tables")
        subprocess.run([*self.manager, nft, "-f", "-"], input=rules, text=True, check=True)

    def close(self) -> None:
        for one in self._sleepers:
            one.kill()
            one.communicate()


def _wait_for_namespace(pid: int) -> None:
    mine = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/ns/net").readlink() != mine:
                return
        time.sleep(0.01)
    raise RuntimeError("unshare(1) has made no network")


@contextlib.contextmanager
def networks() -> Iterator[Networks]:
    """Two hosts, until the end."""
    need_root()
    made = Networks()
    try:
        made.make()
        yield made
    finally:
        made.close()


def python_on(
    machine: Machine, before: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Path:
    """A Python that runs elsewhere, as that of a node does: behind a command, with an environment."""
    settings = [f"{name}={text}" for name, text in (environ or {}).items()]
    words = shlex.join([*before, "env", *settings, sys.executable])
    return machine.program("node-python", f'#!/bin/sh\nexec {words} "$@"\n')
