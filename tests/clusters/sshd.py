"""A real ``sshd`` on this host, with a user of its own if these tests are run by root.

``python -m tests.clusters.sshd FOLDER USER`` waits for the end of its standard input, and removes
all of it: however its owner ends.

It listens on 127.0.0.1 with its own configuration and host key; ``ssh`` is told by a configuration
of its own how to get there. Nothing in ``/etc/ssh`` or ``~/.ssh`` is touched.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.clusters.slurm import DAEMON_PATH, free_ports

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("sshd", "ssh", "ssh-keygen")
IS_ROOT = os.geteuid() == 0
USER = "as-far"
#: The name by which ssh knows it, here alone.
HOST = "far"
#: Seconds that a daemon may take to start or to end.
PATIENCE = 180.0

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
SetEnv HOME={home}
"""

CLIENT = """\
Host *
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
Host nowhere.invalid
    HostName nowhere.invalid
"""


def missing_programs() -> list[str]:
    """What of OpenSSH is not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=DAEMON_PATH) is None]


def free_port() -> int:
    """A port that nobody uses at the moment; who connects to somewhere gets none of these from the kernel."""
    return free_ports(1)


def run(*argv: str) -> str:
    done = subprocess.run(
        argv, check=True, capture_output=True, text=True, env={**os.environ, "PATH": DAEMON_PATH}
    )
    return done.stdout


class PrivateSshd:
    """An ssh server, the user who may log in, and what `ssh` needs to get there.

    Attributes
    ----------
    home : Path
        Of its user, who can write there.
    python : Path
        That this user can run, with the package in it.
    ssh : str
        For ``$ADAPTIVE_SCHEDULER_SSH``.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="as-sshd-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.home = self.folder / "home"
        self.user = self._make_user()
        self._watch = watch(self.folder, self.user)
        self._write_profile()
        self.port = free_port()
        self.python = self._python()
        self._process: subprocess.Popen[bytes] | None = None
        for key in ("host_key", "key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key))
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "poor_key"))
        keys = [(self.folder / name).read_text() for name in ("key.pub", "poor_key.pub")]
        (self.folder / "authorized_keys").write_text("no-port-forwarding ".join(keys))
        (self.folder / "authorized_keys").chmod(0o644)
        public = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}")
        names = {"port": self.port, "folder": self.folder, "home": self.home, "user": self.user}
        (self.folder / "sshd_config").write_text(CONFIG.format(**names))
        (self.folder / "ssh_config").write_text(CLIENT.format(**names))
        self.ssh = f"ssh -F {self.folder / 'ssh_config'}"

    def _make_user(self) -> str:
        """A user of its own, or this one where none can be made."""
        if not IS_ROOT:
            self.home.mkdir()
            return pwd.getpwuid(os.getuid()).pw_name
        name = f"{USER}-{os.getpid()}"
        run("useradd", "--create-home", "--home-dir", str(self.home), "--shell", "/bin/bash",
            "--password", "*", name)  # fmt: skip
        return name

    def _write_profile(self) -> None:
        """What login shells of many clusters do: they print."""
        for name in (".bash_profile", ".bashrc"):
            (self.home / name).write_text("echo Welcome to far; echo 'no quota' >&2\n")

    def _python(self) -> Path:
        """A Python for its user: this one may lie in a home that nobody else can enter."""
        if not IS_ROOT or self._can_run(sys.executable):
            return Path(sys.executable)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        other = shutil.which(version, path="/usr/local/bin:/usr/bin:/bin")
        if other is None:
            pytest.fail(f"the user of sshd can run neither {sys.executable} nor a {version}")
        venv = self.folder / "venv"
        run(other, "-m", "venv", "--without-pip", str(venv))
        mine = [path for path in sys.path if path.endswith("site-packages")]
        (venv / "lib" / version / "site-packages" / "far.pth").write_text(
            "\n".join([*mine, str(ROOT)])
        )
        python = venv / "bin" / "python"
        if not self._can_run(str(python)):
            pytest.fail(f"the user of sshd cannot read the packages in {mine}, or {ROOT}")
        return python

    def _can_run(self, python: str) -> bool:
        trial = f"{python} -P -c 'import adaptive_scheduler.runs.driver.executor, zmq'"
        done = subprocess.run(
            ["su", self.user, "-c", trial], capture_output=True, check=False, cwd="/"
        )
        return done.returncode == 0

    def url(self, folder: Path | str, host: str = HOST) -> str:
        """Return the url of a folder."""
        return f"ssh://{host}{folder}"

    def start(self) -> None:
        """Start the server."""
        if IS_ROOT:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
        sshd = shutil.which("sshd", path=DAEMON_PATH)
        assert sshd is not None
        self._process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(self.folder / "sshd_config")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(self.folder / "sshd.log").open("ab"),
        )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, (self.folder / "sshd.log").read_text()
            time.sleep(0.02)
        raise AssertionError("sshd does not listen")

    def stop(self) -> None:
        """End the server, and the sessions that it has."""
        if self._process is None:
            return
        server = psutil.Process(self._process.pid)
        sessions = [one for one in server.children(recursive=True) if one.name() == "sshd"]
        for one in [server, *sessions]:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait(PATIENCE)
        self._process = None

    def remove(self) -> None:
        """End everything, and leave nothing."""
        self.stop()
        assert self._watch.stdin is not None
        self._watch.stdin.close()
        self._watch.wait(2 * PATIENCE)


def watch(folder: Path, user: str) -> subprocess.Popen[bytes]:
    """Start the process that removes all of it when this one is gone, or closes its ``stdin``."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.clusters.sshd", str(folder), user],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )


def remains(folder: Path, user: str) -> list[psutil.Process]:
    """The server, and what its user runs if it is one of its own; not what is dead already."""
    config = str(folder / "sshd_config")
    found = psutil.process_iter(["cmdline", "username", "status"])
    return [
        one
        for one in found
        if one.info["status"] != psutil.STATUS_ZOMBIE
        and (config in (one.info["cmdline"] or ()) or (IS_ROOT and one.info["username"] == user))
    ]


def remove(folder: Path, user: str) -> None:
    """End all that is left, and remove user and folder."""
    end = time.monotonic() + PATIENCE
    while (left := remains(folder, user)) and time.monotonic() < end:
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        time.sleep(0.05)
    if IS_ROOT:
        run("userdel", "--force", user)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def session_sshd() -> Iterator[PrivateSshd]:
    """One server for all tests."""
    made = PrivateSshd()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def sshd(session_sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch) -> PrivateSshd:
    """The server; ssh:// leads to it."""
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_SSH", session_sshd.ssh)
    return session_sshd


if __name__ == "__main__":
    sys.stdin.buffer.read()
    remove(Path(sys.argv[1]), sys.argv[2])
