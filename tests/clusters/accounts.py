"""Slurm's accounting for a private cluster: a MariaDB and a slurmdbd of its own, so that limits of accounts and QOS hold.

Both are reached from this cluster alone: the database by a socket in a folder of mode 0700, without a port.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

#: slurmdbd has no other option for the socket of the database: libmariadb reads this variable.
SOCKET_VARIABLE = "MYSQL_UNIX_PORT"
PROGRAMS = ("mariadbd", "mariadb-install-db", "slurmdbd", "sacctmgr")
#: The account of the user who runs the cluster.
ACCOUNT = "everybody"
#: A small database, which need not survive the host.
_SMALL = (
    "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M",
    "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900",
)  # fmt: skip


class Accounts:
    """The accounting of one cluster. Its processes carry the cluster's ``SLURM_CONF``, and end with it.

    Parameters
    ----------
    folder : Path
        The cluster's.
    environment : mapping
        Of its processes.
    port : int
        Of slurmdbd.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], port: int) -> None:
        self._folder = folder
        self._data = folder / "mysql"
        self._socket = self._data / "s"
        self._environment = {**environment, SOCKET_VARIABLE: str(self._socket)}
        self._port = port

    @property
    def settings(self) -> dict[str, str]:
        """Lines of slurm.conf: limits hold, and who has no account may not submit."""
        return {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "localhost",
            "AccountingStoragePort": str(self._port),
            "AccountingStoragePass": f"{self._folder}/munge.s",  # which munged is asked
            "AccountingStorageEnforce": "associations,limits,qos",
        }

    def start(self, wait: Callable[[Callable[[], bool], str], None]) -> None:
        """Start both, and give the user of this process an account.

        Parameters
        ----------
        wait : callable
            Waits until something is so, which it names if it does not come.
        """
        self._start_database()
        wait(self._socket.exists, "socket of mariadbd")
        self._write_settings()
        self._run("slurmdbd")
        wait(self._answers, "slurmdbd")
        self.manage("add", "cluster", "private")
        self.manage("add", "account", ACCOUNT)
        self.manage("add", "user", user(), f"account={ACCOUNT}")

    def manage(self, *words: str) -> str:
        """Run ``sacctmgr``; slurmctld is told by slurmdbd."""
        return self._run("sacctmgr", "--immediate", *words)

    def _start_database(self) -> None:
        self._data.mkdir(mode=0o700)
        here = ["--no-defaults", f"--datadir={self._data}/data", f"--user={user()}", *_SMALL]
        self._run("mariadb-install-db", *here, "--skip-test-db", "--skip-name-resolve")
        options = [f"--socket={self._socket}", "--skip-networking", "--skip-grant-tables"]
        with (self._folder / "mariadbd.log").open("a") as log:
            subprocess.Popen(
                ["mariadbd", *here, *options, f"--pid-file={self._data}/pid"],
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _write_settings(self) -> None:
        lines = {
            "AuthType": "auth/munge", "AuthInfo": f"socket={self._folder}/munge.s",
            "DbdHost": "localhost", "DbdPort": str(self._port), "SlurmUser": user(),
            "LogFile": f"{self._folder}/slurmdbd.log", "PidFile": f"{self._folder}/slurmdbd.pid",
            "StorageType": "accounting_storage/mysql", "StorageHost": "localhost",
            "StorageUser": user(),
        }  # fmt: skip
        file = self._folder / "slurmdbd.conf"
        file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        file.chmod(0o600)  # slurmdbd refuses one that others can read

    def _answers(self) -> bool:
        done = subprocess.run(
            ["sacctmgr", "--noheader", "show", "cluster"],
            env=self._environment, capture_output=True, timeout=180,
        )  # fmt: skip
        return done.returncode == 0

    def _run(self, *argv: str) -> str:
        # to a file: a daemon would keep a pipe open
        log = self._folder / f"{argv[0]}.out"
        with log.open("w") as out:
            done = subprocess.run(
                argv, env=self._environment, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, timeout=120,
            )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.returncode}: {log.read_text()[-2000:]}")
        return log.read_text()


def missing_programs(path: str) -> list[str]:
    """Programs of the accounting that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def user() -> str:
    """The name of the user of this process."""
    return pwd.getpwuid(os.getuid()).pw_name
