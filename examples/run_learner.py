"""What each job runs: ``mpiexec -n 32 python -m mpi4py.futures run_learner.py``."""

import adaptive
from learners_file import fnames, learners
from mpi4py.futures import MPIPoolExecutor

from adaptive_scheduler import client_support

url = None  # found through the job; or the text that get_allowed_url() gave
goal = lambda learner: learner.npoints >= 200  # noqa: E731

if __name__ == "__main__":
    learner, fname = client_support.get_learner(url, learners, fnames)
    learner.load(fname)
    pool = MPIPoolExecutor(main=False)  # the worker ranks need not import this file
    runner = adaptive.Runner(learner, executor=pool, shutdown_executor=True, goal=goal)
    runner.start_periodic_saving(dict(fname=fname), interval=600)  # noqa: C408
    runner.ioloop.run_until_complete(runner.task)
    client_support.is_done(url, fname)  # tell_done is the same function
