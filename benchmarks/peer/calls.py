"""Calls by a peer, two workers on this machine: ``calls.py executorlib|parsl|dask rate|latency N``.

Prints calls per second, from the first `submit` to the last result; or milliseconds of one call, the
median of N one after the other. The pool is warm: each worker has evaluated the function before.
"""

import os
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


def same(x):
    return x


@contextmanager
def executorlib():
    from executorlib import SingleNodeExecutor

    with SingleNodeExecutor(max_workers=2, block_allocation=True) as executor:
        yield lambda x: executor.submit(same, x)


@contextmanager
def parsl():
    import parsl
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    with tempfile.TemporaryDirectory() as folder:
        provider = LocalProvider(init_blocks=1, max_blocks=1)
        pool = HighThroughputExecutor(
            label="two", max_workers_per_node=2, address="127.0.0.1", provider=provider
        )
        config = Config(executors=[pool], run_dir=folder, strategy="none", usage_tracking=0)
        with parsl.load(config):
            yield parsl.python_app(same)


@contextmanager
def dask():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield lambda x: client.submit(same, x, pure=False)


def rate(call, n):
    begin = time.perf_counter()
    futures = [call(x) for x in range(n)]
    values = [future.result() for future in futures]
    seconds = time.perf_counter() - begin
    assert values == list(range(n))
    return n / seconds


def latency(call, n):
    times = []
    for x in range(n):
        begin = time.perf_counter()
        assert call(x).result() == x
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    # Parsl starts programs that were installed beside this interpreter
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    who, what, number = sys.argv[1:]
    # whatever a peer writes beside its runs goes to a folder that is removed
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        with {"executorlib": executorlib, "parsl": parsl, "dask": dask}[who]() as call:
            rate(call, 100)
            print({"rate": rate, "latency": latency}[what](call, int(number)))
        os.chdir(Path(home).parent)
