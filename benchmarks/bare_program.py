"""The least that a job of a learner must do: import adaptive, and call a worker rank once."""

import time

if __name__ == "__main__":
    import adaptive  # noqa: F401
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as pool:
        print(pool.submit(time.time).result(), flush=True)
