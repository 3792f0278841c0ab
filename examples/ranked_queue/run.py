"""A ranked queue by hand: ``python run.py EXPERIMENT_ID config.yaml``.

Random points wait as tasks. After each `retrain_after` results a model is fitted to all results so far, and
puts in front what it expects to be best. Kill it and run it again: it goes on, and repeats nothing.
"""

import argparse
import zlib

import numpy as np
from ackley import ackley

from adaptive_scheduler import emews, expected_improvement
from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError

#: So many refits must have been made before the second pool comes, and the third.
POOL_AFTER = (2, 4)


def sample(experiment_id, size, dimensions):
    """The points of an experiment: the same ones, when it is run again."""
    rng = np.random.default_rng(zlib.crc32(experiment_id.encode()))
    return rng.uniform(-32.768, 32.768, (size, dimensions)).tolist()


def value_of(future):
    """The value of a task; None if it has failed, or was cancelled at the end of an earlier run."""
    if future.cancelled():
        return None
    if (error := future.exception()) is not None:
        print(f"task {future.task} failed: {error}", flush=True)
        return None
    return future.result()


def run(experiment_id, workflow):
    numbers = workflow.file
    points = sample(experiment_id, numbers.search_space_size, numbers.sample_dimensions)
    with workflow.executor(experiment_id, interval=2) as executor:
        futures = [
            executor.options(tag=workflow.tag, key=f"{n}: {point}").submit(
                ackley, point, numbers.runtime, numbers.runtime_var
            )
            for n, point in enumerate(points)
        ]
        print(f"NUM GUESSES: {numbers.num_guesses}")
        print(f"RETRAIN AFTER: {numbers.retrain_after}")
        print(f"FTS: {len(futures)}", flush=True)
        xs, ys, refits = [], [], 0
        while len(ys) < numbers.num_guesses and futures:
            n = min(numbers.retrain_after, numbers.num_guesses - len(ys))
            for future in executor.as_completed(futures, n=n, pop=True):
                if (value := value_of(future)) is not None:
                    xs.append(future.args[0])
                    ys.append(value)
            print(f"tasks completed: {len(ys)}", flush=True)
            if not futures or not ys or len(ys) >= numbers.num_guesses:
                continue
            left = [future.args[0] for future in futures]
            scores = workflow.refit(executor, expected_improvement, xs, ys, left)
            executor.update_priorities(futures, scores)
            refits += 1
            if refits in POOL_AFTER and (name := workflow.add_pool(executor)):
                print(f"pool added: {name}", flush=True)
        executor.shutdown(cancel_futures=True)  # what nobody has asked for any more
    best = min(range(len(ys)), key=ys.__getitem__)
    print(f"best: {ys[best]:.6g} at {xs[best]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiment_id", help="names the run's folder")
    parser.add_argument("config_file", help="YAML, as docs/ranked.md describes it")
    args = parser.parse_args()
    try:
        workflow = emews.read_config(args.config_file)
        for note in workflow.notes:
            print(f"note: {note}")
        run(args.experiment_id, workflow)
    except InputError as error:
        parser.error(str(error))  # exit code 2
    except AdaptiveSchedulerError as error:
        parser.exit(1, f"{error}\n")
