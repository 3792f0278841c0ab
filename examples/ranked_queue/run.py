"""A ranked queue by hand: ``python run.py EXPERIMENT_ID config.yaml``.

Random points wait as tasks. After each `retrain_after` results a model is fitted to all results so far, and
puts in front what it expects to be best. Kill it and run it again: it goes on, and repeats nothing.
"""

import argparse
import shlex
import zlib
from contextlib import contextmanager

import numpy as np
from ackley import ackley

from adaptive_scheduler import RankingModel, emews
from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError

#: After so many times `retrain_after` results the second pool comes, and the third.
POOLS_AFTER = (2, 4)


def sample(experiment_id, size, dimensions):
    """The points of an experiment: the same ones, when it is run again."""
    rng = np.random.default_rng(zlib.crc32(experiment_id.encode()))
    return rng.uniform(-32.768, 32.768, (size, dimensions)).tolist()


@contextmanager
def opened(workflow, experiment_id):
    """The executor. After an error nothing more begins: else it would be told only when all points are done."""
    with workflow.executor(experiment_id) as executor:
        try:
            yield executor
        except Exception as error:
            print(f"{type(error).__name__}: what waits is cancelled; what runs is waited for.")
            print(f"Then go on by: {retry(workflow, experiment_id)}", flush=True)
            executor.shutdown(cancel_futures=True)
            raise


def retry(workflow, experiment_id):
    """How tasks that have failed, or were cancelled, are brought back."""
    folder = shlex.quote(workflow.folder(experiment_id))
    return f"adaptive-scheduler retry {folder}, and this program again"


def value_of(future):
    """The value of a task; None if it has failed, or was cancelled at the end of an earlier run."""
    if future.cancelled():
        return None
    if (error := future.exception()) is not None:
        print(f"task {future.task} failed: {error}", flush=True)
        return None
    return future.result()


def submit(executor, workflow, points):
    """Each point as a task; returns the futures, with the numbers of their points."""
    numbers, number_of = workflow.file, {}
    for n, point in enumerate(points):
        tasks = executor.options(tag=workflow.tag, key=f"{n}: {point}")
        number_of[tasks.submit(ackley, point, numbers.runtime, numbers.runtime_var)] = n
    return number_of


def add_pools(executor, workflow, completed, pools_after):
    """Add the pools that are due by now."""
    while pools_after and completed >= pools_after[0] * workflow.file.retrain_after:
        pools_after.pop(0)
        if name := workflow.add_pool(executor):
            print(f"pool added: {name}", flush=True)


def run(experiment_id, workflow):
    numbers = workflow.file
    points = sample(experiment_id, numbers.search_space_size, numbers.sample_dimensions)
    model = RankingModel(points)  # by a Gaussian process and expected improvement
    with opened(workflow, experiment_id) as executor:
        number_of = submit(executor, workflow, points)
        futures, values, pools_after = list(number_of), {}, list(POOLS_AFTER)
        print(f"NUM GUESSES: {numbers.num_guesses}")
        print(f"RETRAIN AFTER: {numbers.retrain_after}")
        print(f"FTS: {len(futures)}", flush=True)
        while futures and len(values) < numbers.num_guesses:
            wanted = min(numbers.retrain_after, numbers.num_guesses - len(values))
            there = sum(one.done() for one in futures)  # many, if this was killed and runs again
            for future in executor.as_completed(futures, n=max(wanted, there), pop=True):
                if (value := value_of(future)) is not None:
                    values[number_of[future]] = value
            print(f"tasks completed: {len(values)}", flush=True)
            if futures and 0 < len(values) < numbers.num_guesses:
                scores = workflow.refit(executor, model, list(values), list(values.values()))
                executor.update_priorities(futures, [scores[number_of[one]] for one in futures])
            add_pools(executor, workflow, len(values), pools_after)
        executor.shutdown(cancel_futures=True)  # what nobody has asked for any more
    if len(values) < numbers.num_guesses:
        print(f"the others have failed, or were cancelled: {retry(workflow, experiment_id)}")
    for best in sorted(values, key=values.get)[:1]:
        print(f"best: {values[best]:.6g} at {points[best]}")


def main(run, description):
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
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
    except KeyboardInterrupt:
        parser.exit(130)  # the executor has said how to go on
    except AdaptiveSchedulerError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main(run, __doc__)
