"""A private Slurm for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters.slurm import PrivateSlurm, missing_programs

#: Seconds of a test that says nothing else: the machine may be busy.
TIMEOUT = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of this folder its time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.fixture(scope="session")
def large_slurm() -> Iterator[PrivateSlurm]:
    """Two nodes that claim 120 cores: the tests of pipefunc ask for a hundred at a time."""
    if missing_programs():
        pytest.skip(f"not installed: {', '.join(missing_programs())}")
    cluster = PrivateSlurm(nodes=2, cores_per_node=120)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def in_slurm(large_slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a blank in its name, in a process that uses the cluster."""
    for name, value in large_slurm.env.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "a notebook"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
