"""`adaptive-scheduler web` as a process, and a visitor who can forge each header."""

from __future__ import annotations

import http.client
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import adaptive

from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.runs.start.plan import make_plan
from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.schedulers.local import LocalScheduler

#: Seconds in which a server begins, says something or ends; many times what it takes.
PATIENCE = 180
LINK = re.compile(r"http://127\.0\.0\.1:(\d+)(/[\w-]+/)\?token=([\w-]+)")


def f(x: float) -> float:
    return x


def make_run(home: Path) -> None:
    """Make a run that has no manager."""
    scheduler = LocalScheduler(cores=1, max_cores=1, executor_type="sequential")
    learners = [adaptive.Learner1D(f, (-1, 1))]
    plan = make_plan(scheduler, learners, [home / "data"], RunOptions(goal=5))
    prepare(plan, run_folder(home, "job"))


class WebServer:
    """The command in a process of its own.

    Attributes
    ----------
    port, path, token : int, str, str
        Of the newest link.
    printed : list of str
        All lines so far.
    """

    def __init__(self, *words: str, **environ: str) -> None:
        self.printed: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "adaptive_scheduler.cli", "web", *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | environ,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        self.next_link()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    @property
    def url(self) -> str:
        """The newest link."""
        return f"http://127.0.0.1:{self.port}{self.path}?token={self.token}"

    def next_link(self) -> str:
        """Wait for the next link that is printed; returns its token."""
        while (line := self._lines.get(timeout=PATIENCE)) != "":
            self.printed.append(line)
            if found := LINK.search(line):
                self.port, self.path, self.token = int(found[1]), found[2], found[3]
                return self.token
        raise AssertionError("".join(self.printed))

    def line_with(self, words: str) -> str:
        """Wait for a line with these words that was not read yet."""
        while (line := self._lines.get(timeout=PATIENCE)) != "":
            self.printed.append(line)
            if words in line:
                return line
        raise AssertionError("".join(self.printed))

    def enter(self) -> str:
        """Open the link; returns the cookie."""
        answer = get(self.port, f"{self.path}?token={self.token}")
        assert answer.status == 200, answer.text
        self.next_link()
        return answer.headers["set-cookie"].partition(";")[0]

    def end(self, number: int = signal.SIGINT) -> float:
        """End it with a signal; returns the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        while (line := self._lines.get(timeout=PATIENCE)) != "":
            self.printed.append(line)
        return time.monotonic() - began

    def kill(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()


class Answer:
    """What came back."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.text = answer.read().decode()


def get(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request with exactly these headers; ``Host`` is the right one if it is not given."""
    connection: Any = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return Answer(connection.getresponse())
    finally:
        connection.close()
