"""examples/ranked_queue in a folder of its own, whose tasks note in a ledger what they have computed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
#: Beside the example's own function: what it is called with is noted when it returns.
NOTES = """

def noting(function, path):
    def noted(point, runtime=0.0, runtime_var=0.0):
        value = function(point, runtime, runtime_var)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.write(fd, f"{point}\\n".encode())
        os.close(fd)
        return value
    return noted

ackley = noting(ackley, PATH)
"""


class RankedQueue:
    """A copy of the example.

    Parameters
    ----------
    home : Path
        A folder that is not there.
    ledger : Path
        That the tasks see.
    pools : dict
        In the order in which they come.
    changes : object
        Other lines of the configuration.
    """

    def __init__(self, home: Path, ledger: Path, pools: dict[str, Any], **changes: Any) -> None:
        shutil.copytree(ROOT / "examples" / "ranked_queue", home)
        self.home, self.ledger = home, ledger
        notes = NOTES.replace("PATH", repr(os.fspath(ledger)))
        with (home / "ackley.py").open("a") as file:
            file.write(f"\nimport os\n{notes}")
        self.config = yaml.safe_load((home / "config.yaml").read_text())
        self.config |= {"pools": pools, "tasks": [{"type": 0, "pools": list(pools)}]}
        self.config |= {"runtime": 0.05, "runtime_var": 0.02, "search_space_size": 120,
                        "num_guesses": 100, "retrain_after": 20, **changes}  # fmt: skip
        self.write()

    def write(self) -> None:
        """Write the configuration, as `config` is now."""
        (self.home / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))

    def start(
        self, program: str = "run.py", experiment: str = "e1", **environment: str
    ) -> subprocess.Popen[str]:
        """Begin the driver, as a user does."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTIVE_SCHEDULER_RUN")}
        return subprocess.Popen(
            [sys.executable, program, experiment, "config.yaml"], cwd=self.home, env={**kept, **environment},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
        )  # fmt: skip

    def run(self, code: int = 0, **how: str) -> str:
        """Let the driver run to its end; returns what it has printed."""
        return self.end(self.start(**how), code)

    @staticmethod
    def end(driver: subprocess.Popen[str], code: int = 0) -> str:
        """Wait for a driver; returns what it has printed."""
        printed, _ = driver.communicate(timeout=250)
        assert driver.returncode == code, printed
        assert "Traceback" not in printed
        return printed

    @staticmethod
    def kill(driver: subprocess.Popen[str]) -> None:
        """Let a driver die at once, with what it has started on its own."""
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate(timeout=60)

    @property
    def computed(self) -> Counter[str]:
        """How often each point was computed."""
        return Counter(self.ledger.read_text().splitlines() if self.ledger.exists() else [])

    def assert_complete(self, printed: str, in_flight: int = 0) -> None:
        """Nothing is lost, and nothing is repeated but what was in flight when something was killed."""
        guesses = self.config["num_guesses"]
        told = [int(n) for n in re.findall(r"^tasks completed: (\d+)$", printed, re.MULTILINE)]
        assert told[-1] >= guesses, printed
        computed = self.computed
        assert len(computed) >= guesses
        assert computed.total() - len(computed) <= in_flight, computed.most_common(5)
        best = re.findall(r"^best: (\S+) at (.*)$", printed, re.MULTILINE)
        assert len(best) == 1
        assert best[0][1] in computed
