"""The machine, the versions, and the peers' environment."""

from __future__ import annotations

import compileall
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("adaptive", "mpi4py", "mpich", "pyzmq", "tinydb", "msgspec", "numpy", "scipy")
PEER_PACKAGES = (
    "adaptive-scheduler", "executorlib", "parsl", "distributed", "hyperqueue", "mlrunner",
)  # fmt: skip
#: The peers have an environment of their own: `adaptive-scheduler` has the same module names as this
#: package. Not resolved, because the interpreter of a virtual environment is a link.
PEER = Path(
    os.environ.get("PEER_PYTHON", Path(__file__).parents[1] / ".venv-peer/bin/python")
).absolute()
HERE = Path(__file__).parent


class PeerMissingError(RuntimeError):
    """The peers' environment does not exist."""


@contextmanager
def side(whose: str) -> Iterator[None]:
    """Raise RuntimeError with the name of the side that failed, if one does."""
    try:
        yield
    except PeerMissingError:
        raise
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"{whose} failed: {error}") from error


def peer_python(*, in_jobs: bool = False) -> str:
    """The peers' interpreter; `in_jobs`: their job scripts name it, without quotes.

    Raises
    ------
    PeerMissingError
        `make bench` makes it.
    """
    if in_jobs and len(str(PEER).split()) > 1:
        raise PeerMissingError(
            f"the peer cannot work in {str(PEER)!r}: its job scripts do not quote the blank. "
            "`make bench` installs the peers elsewhere; or set PEER_PYTHON."
        )
    if not PEER.exists():
        raise PeerMissingError(
            f"{PEER} is missing: `make bench` installs the peers there. "
            "Without them only our own figures can be measured (--no-peer)."
        )
    return str(PEER)


def run_peer(
    program: str,
    *arguments: object,
    timeout: float = 600,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run ``benchmarks/peer/PROGRAM`` in the peers' environment; returns what it printed."""
    with side(f"the peer ({program})"):
        argv = [peer_python(), str(HERE / "peer" / program), *map(str, arguments)]
        return run(argv, timeout, env=env)


def run(
    argv: list[str],
    timeout: float = 600,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program; RuntimeError with its output if it fails."""
    done = subprocess.run(
        argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def is_compiled(python: str) -> bool:
    """Whether the `adaptive` of that environment is compiled to bytecode."""
    code = (
        "import importlib.util, os; s = importlib.util.find_spec('adaptive');"
        "print(os.path.exists(importlib.util.cache_from_source(s.origin)))"
    )
    return run([python, "-c", code]).strip() == "True"


def compile_ours() -> None:
    """Compile this package and what it imports (`make bench` compiles the peers)."""
    compileall.compile_dir(HERE.parent / "adaptive_scheduler", quiet=2)


def peer_versions() -> dict[str, str]:
    """Versions of the peers."""
    code = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    found: dict[str, str] = json.loads(run([peer_python(), "-c", code, *PEER_PACKAGES]))
    return found


def describe(with_peer: bool) -> dict[str, Any]:
    """Describe the machine and the versions, for the table and the JSON."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "missing"
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load": os.getloadavg()[0],
        "versions": versions,
        "peer_versions": peer_versions() if with_peer else None,
        "bytecode_compiled": is_compiled(sys.executable),
        "peer_bytecode_compiled": is_compiled(peer_python()) if with_peer else None,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
