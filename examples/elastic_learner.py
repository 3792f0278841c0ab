"""One learner over jobs that come and go: ``python examples/elastic_learner.py``, or with ``slurm`` behind it.

Stop it with Ctrl-C, or kill it, and run it again: it goes on with the points that have ended meanwhile.
"""

import sys
import time

import adaptive

from adaptive_scheduler import Executor, Runner, scheduler


def ring(xy):
    time.sleep(0.2)  # as if it were work
    return xy[0] + 2.718 ** (-(((xy[0] ** 2 + xy[1] ** 2 - 0.75**2) / 0.2**2) ** 2))


if __name__ == "__main__":
    if sys.argv[1:] == ["slurm"]:
        jobs = scheduler.SLURM(cores=2, walltime="10m")
    else:
        jobs = scheduler.LocalScheduler(cores=2, max_cores=6)
    learner = adaptive.Learner2D(ring, bounds=[(-1, 1), (-1, 1)])
    with Executor(jobs, folder="ring", interval=2) as executor:
        runner = Runner(learner, executor, goal=100).start()
        while not runner.done:
            time.sleep(1)
            now = runner.status()
            print(f"{now['slots']} slots, {now.get('npoints', 0)} points", flush=True)
            if now.get("npoints", 0) > 20:  # at any time, as often as you like
                executor.add_pool(jobs, jobs=2, name="two-more")
        print(f"{runner.wait().npoints} points, loss {learner.loss():.3f}")
