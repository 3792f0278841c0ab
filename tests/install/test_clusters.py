"""Executors of packages that take seconds to start: here, not in `make test`."""

from __future__ import annotations

import psutil
import pytest

from adaptive_scheduler import utils
from tests.contract.two_workers import on_two_workers


@pytest.mark.parametrize("name", ["dask", "ipyparallel"])
def test_two_workers_of_a_cluster_evaluate_and_end(name, tmp_path):
    assert on_two_workers(name, tmp_path, "closed").split() == ["well"]


@pytest.mark.parametrize("name", ["dask", "ipyparallel"])
def test_fault_31_a_cluster_ends_when_the_client_is_killed(name, tmp_path):
    left = [int(pid) for pid in on_two_workers(name, tmp_path, "killed").split()]
    processes = [psutil.Process(pid) for pid in left if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(processes, timeout=400)
    assert alive == []


def test_a_client_of_a_cluster_that_was_started_elsewhere(tmp_path):
    import ipyparallel

    profile, offset = tmp_path / "a profile", 3
    cluster = ipyparallel.Cluster(n=2, profile_dir=str(profile), controller_ip="127.0.0.1")
    cluster.start_cluster_sync()
    where = {"profile_dir": str(profile), "cluster_id": cluster.cluster_id}
    try:
        client = utils.connect_to_ipyparallel(2, None, 120, str(tmp_path), where)
        assert client[:].map_sync(lambda x: x + offset, [1, 2]) == [4, 5]
        paths = client[:].apply_sync(lambda: __import__("sys").path)
        assert all(str(tmp_path) in one for one in paths)
        client.close()
        with pytest.raises(TimeoutError, match="3 engines not ready"):
            utils.connect_to_ipyparallel(3, None, 1, client_kwargs=where)
    finally:
        cluster.stop_cluster_sync()
