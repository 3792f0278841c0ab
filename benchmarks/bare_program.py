"""The minimum that a job must do: import adaptive, and call a function in a worker rank once."""

import time

if __name__ == "__main__":
    import adaptive  # noqa: F401
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as pool:
        print(pool.submit(time.time).result(), flush=True)
