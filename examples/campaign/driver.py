"""A campaign: an optimiser adds tasks of any size while the work runs.

    python driver.py                                     on this machine
    python driver.py --scheduler slurm --nodes 2 --cores 16 --ranks 4 --walltime 1h --tasks 500

Kill it at any moment and run it again: it knows all evaluations of the run, and repeats none. `told.jsonl` has
what each life of it has told its optimiser, a line for each evaluation. docs/campaign.md tells it step by step.
"""

import argparse
import json
import os
import sys
from concurrent.futures import CancelledError
from pathlib import Path

from adaptive_scheduler import (
    Command,
    Executor,
    OptimizerLearner,
    Range,
    TaskResources,
    errors,
    json_value,
    scheduler,
)

HERE = Path(__file__).resolve().parent
SPACE = {"model": ["line", "cubic"], "lr": Range(0.01, 3.0, log=True), "steps": (1, 50)}
#: What the optimiser is told of an evaluation that has failed.
FAILED = 10.0


class Campaign:
    def __init__(self, executor, options):
        self.executor, self.options = executor, options
        program = [sys.executable, str(HERE / "eval.py"), "{_param_file}"]
        self.scale = Command([*program, "--scale"], links=[HERE / "base.dat"])
        self.evaluate = Command(
            program, links=[HERE / "base.dat"], value=json_value("result.dat", "loss")
        )
        self.optimizer = OptimizerLearner(self.evaluate, SPACE, options.method, seed=options.seed)
        self.issued = 0

    def run(self):
        waiting = {self.submit(point): point for point in self.known_points()}
        while waiting or self.issued < self.options.tasks:
            while len(waiting) < self.options.at_once and self.issued < self.options.tasks:
                (point,), _ = self.optimizer.ask(1)
                waiting[self.submit(point)] = point
            for future in self.executor.as_completed(waiting, n=1):
                self.tell(waiting.pop(future), future)

    def submit(self, point):
        """Submit one evaluation; what the run has by its key is not run again."""
        self.issued += 1
        number, values = point
        parameters = self.optimizer.space.named(values)
        named = f"{number:04d} " + " ".join(f"{name}={value}" for name, value in parameters.items())
        tagged = self.executor.options(
            tag=f"model={parameters['model']}", name=f"eval-{number:04d}"
        )
        small = tagged.options(key=f"eval {named}", resources=self.size(ranks=1, nodes=1))
        parameters["seconds"] = self.options.seconds
        if parameters["model"] == "line":  # one core, no parents
            return small.submit(self.evaluate, data="base.dat", ranks=1, **parameters)
        # a small task, and a large one that waits for it, and reads what it has written
        parent = small.options(key=f"scale {named}", name=f"scale-{number:04d}").submit(
            self.scale, **parameters
        )
        nodes, ranks = self.options.nodes, self.options.ranks
        large = small.options(after=[parent], resources=self.size(ranks, nodes))
        return large.submit(
            self.evaluate, data=str(parent.folder / "scaled.dat"), ranks=nodes * ranks, **parameters
        )

    def size(self, ranks, nodes):
        return TaskResources(
            nodes=nodes, ranks_per_node=ranks, gpus_per_rank=self.options.gpus,
            walltime=self.options.task_walltime,
        )  # fmt: skip

    def known_points(self):
        """The points that the run has, of an earlier life of this program."""
        found = {}
        for future in self.executor.futures:
            number = int(future.settings.name.rpartition("-")[2])
            found[number] = self.optimizer.space.native(future.kwargs)
        for point in sorted(found.items()):
            self.optimizer.tell_pending(point)
        return sorted(found.items())

    def tell(self, point, future):
        number, values = point
        told = {"life": os.getpid(), "number": number, **self.optimizer.space.named(values)}
        try:
            loss = future.result()
        except (errors.TaskError, CancelledError) as error:  # of this evaluation alone
            self.optimizer.give_up(point, penalty=FAILED)
            told |= {"failed": str(error) or "it was cancelled"}
        else:
            self.optimizer.tell(point, loss)
            told |= json.loads(future.read("result.dat"))
        with (self.executor.folder.home / "told.jsonl").open("a") as file:
            file.write(json.dumps(told) + "\n")
        print(json.dumps(told), flush=True)


def jobs_of(options):
    """The allocations, each as large as the largest task at least; new ones replace those that end."""
    cores, gpus = options.cores * options.nodes, options.gpus * options.ranks
    if options.scheduler == "slurm":
        account = [f"--account={options.account}"] if options.account else None
        return scheduler.SLURM(
            nodes=options.nodes, cores=cores, gpus=gpus or None, walltime=options.walltime,
            partition=options.partition, extra_scheduler=account,
        )  # fmt: skip
    if options.scheduler == "local":
        most = cores * options.max_jobs
        return scheduler.LocalScheduler(cores=cores, max_cores=most, walltime=options.walltime)
    return scheduler.Here(slots=cores)


def typed():
    parser = argparse.ArgumentParser(prog="driver.py", description="An optimiser's campaign.")
    parser.add_argument("--scheduler", choices=["here", "local", "slurm"], default="here")
    parser.add_argument("--tasks", type=int, default=24, help="evaluations in all")
    parser.add_argument("--at-once", type=int, default=4, help="evaluations that wait or run")
    parser.add_argument(
        "--folder", default="campaign", help="the run, as `adaptive-scheduler status` takes it"
    )
    parser.add_argument(
        "--nodes", type=int, default=1, help="of a large evaluation, and of each job"
    )
    parser.add_argument("--ranks", type=int, default=2, help="of a large evaluation, on each node")
    parser.add_argument("--gpus", type=int, default=0, help="of each rank")
    parser.add_argument("--cores", type=int, default=2, help="of each node")
    parser.add_argument("--walltime", default="10m", help="of each job")
    parser.add_argument("--partition", help="of Slurm")
    parser.add_argument("--account", help="of Slurm, that pays for the jobs")
    parser.add_argument("--task-walltime", help="what an evaluation needs at most, such as 5m")
    parser.add_argument("--max-jobs", type=int, default=2)
    parser.add_argument("--method", default="random", help="or skopt:RF, optuna:tpe, ...")
    parser.add_argument("--seconds", type=float, default=0.2, help="that an evaluation takes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in ("tasks", "at_once", "nodes", "ranks", "cores", "max_jobs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if options.gpus < 0 or options.seconds < 0:
        parser.error("--gpus and --seconds must be 0 or more")
    if options.ranks > options.cores:
        parser.error(f"--ranks {options.ranks} need as many --cores, which are {options.cores}")
    if options.scheduler != "slurm" and (options.nodes > 1 or options.gpus):
        parser.error(f"--nodes and --gpus need --scheduler slurm, not {options.scheduler}")
    return options


def run(options):
    OptimizerLearner(
        print, SPACE, options.method
    )  # what is wrong with it is said before anything starts
    Command("true", resources=TaskResources(walltime=options.task_walltime))
    jobs = jobs_of(options)
    most = {} if options.scheduler == "here" else {"max_jobs": options.max_jobs, "interval": 2}
    with Executor(jobs, folder=options.folder, **most) as executor:
        campaign = Campaign(executor, options)
        campaign.run()
    return campaign


def main():
    try:
        campaign = run(typed())
    except (errors.InputError, errors.RequestRefusedError) as error:
        print(f"driver.py: {error}", file=sys.stderr)
        sys.exit(2)
    best = campaign.optimizer.best
    print(f"{len(campaign.optimizer.data)} evaluations have a value, the best is {best}")


if __name__ == "__main__":
    main()
