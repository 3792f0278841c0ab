"""Executors of packages that take seconds to start: here, not in `make test`."""

from __future__ import annotations

import psutil
import pytest

from tests.contract.two_workers import on_two_workers


@pytest.mark.parametrize("name", ["dask", "ipyparallel"])
def test_two_workers_of_a_cluster_evaluate_and_end(name, tmp_path):
    assert on_two_workers(name, tmp_path, "closed").split() == ["well"]


@pytest.mark.parametrize("name", ["dask", "ipyparallel"])
def test_fault_31_a_cluster_ends_when_the_client_is_killed(name, tmp_path):
    left = [int(pid) for pid in on_two_workers(name, tmp_path, "killed").split()]
    processes = [psutil.Process(pid) for pid in left if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
