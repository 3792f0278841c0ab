"""The same without a loop of one's own: ``python learner.py EXPERIMENT_ID config.yaml``.

A `RankingLearner` has the points, and a `Runner` submits them, has the model fitted, and puts in front what promises most.
"""

import time
from functools import partial

from ackley import ackley
from run import POOLS_AFTER, add_pools, main, opened, sample

from adaptive_scheduler import RankingLearner, Runner


def run(experiment_id, workflow):
    numbers = workflow.file
    points = sample(experiment_id, numbers.search_space_size, numbers.sample_dimensions)
    function = partial(ackley, runtime=numbers.runtime, runtime_var=numbers.runtime_var)
    learner = RankingLearner(function, points, refit_every=numbers.retrain_after)
    with opened(workflow, experiment_id) as executor:
        tasks = executor.options(tag=workflow.tag)
        runner = Runner(
            learner, tasks, goal=numbers.num_guesses, refit_on=workflow.refit_tag
        ).start()
        pools_after = list(POOLS_AFTER)
        while not runner.done:
            time.sleep(0.2)
            add_pools(executor, workflow, runner.status().get("npoints", 0), pools_after)
        print(f"tasks completed: {runner.wait().npoints}")
    point, value = learner.best
    print(f"best: {value:.6g} at {list(point.values())}")


if __name__ == "__main__":
    main(run, __doc__)
