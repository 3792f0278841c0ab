"""A notebook as people have written it for adaptive-scheduler 2.17: its calls, in its order; each a cell.

`make bench ROWS=notebook` runs it with 2.17.2, too, without the lines that are marked `NOT_THERE`.
"""

#: At the end of a line that does not work with 2.17.2 on this Slurm; what follows says why.
NOT_THERE = "# not with 2.17:"

CELLS = (
    """
from functools import partial
from pathlib import Path
import adaptive
import adaptive_scheduler

def peak(x, width=0.01, offset=0.0):
    return x + width**2 / (width**2 + (x - offset) ** 2)

combos = adaptive.utils.named_product(offset=[-0.4, -0.1, 0.2], width=[0.02, 0.05])
learners, fnames = [], []
folder = Path("data")
for combo in combos:
    learners.append(adaptive.Learner1D(partial(peak, **combo), bounds=(-1, 1)))
    fnames.append(adaptive_scheduler.utils.combo_to_fname(combo, folder))
""",
    """
adaptive_scheduler.scheduler.slurm_partitions()
""",
    """
def goal(learner):
    return learner.npoints > 40

run_manager = adaptive_scheduler.slurm_run(
    learners, fnames, partition="normal", nodes=1, cores_per_node=2, goal=goal, name="first",
    folder="runs", log_interval=1, save_interval=2, job_manager_interval=1, kill_on_error=None,
    extra_env_vars=["MY_FOLDER=$HOME/there"], save_dataframe=True, quiet=True)
run_manager.start()
""",
    "run_manager.info()",
    "run_manager.task.print_stack()",
    "run_manager.scheduler.queue_df()",
    "await run_manager.task",
    "run_manager.get_database()",
    "df = run_manager.parse_log_files(); assert df.npoints.min() > 40, df; df.head()",
    """
run_manager.load_learners()
assert all(learner.npoints > 40 for learner in learners)
learner = adaptive.BalancingLearner(learners, cdims=combos)
""",
    "df = run_manager.load_dataframes(); assert df.fname.nunique() == 6, df; df.head()",
    """
print(run_manager.status(), round(run_manager.elapsed_time()), run_manager.job_names)
print(run_manager.database_manager.n_done(), run_manager.database_manager.failed)
""",
    """
# each in its own resources, by the class
scheduler = adaptive_scheduler.scheduler.SLURM(
    cores=(1, lambda: 2), executor_type="process-pool",
    extra_scheduler=(["--time=10"], ["--time=20"]), extra_env_vars=["A=$((1 + 1))"])

def both(i):
    import os
    return os.environ["A"], os.environ["SLURM_JOB_CPUS_PER_NODE"]

sequences = [adaptive.SequenceLearner(both, range(3)) for _ in range(2)]
second = adaptive_scheduler.RunManager(
    scheduler, sequences, ["data/s0.pickle", "data/s1.pickle"], job_name="second", goal=None,
    log_interval=1, save_interval=2, job_manager_interval=1, cleanup_first=True, overwrite_db=True)
print(scheduler.job_script({}, index=1))
tasks = adaptive_scheduler.start_one_by_one(run_manager, second, interval=1)
await tasks[0]
""",
    """
await second.task
second.load_learners()
assert [learner.data[2] for learner in sequences] == [("2", "1"), ("2", "2")], sequences[0].data
second.info(format="text")
""",
    """
executor = adaptive_scheduler.SlurmExecutor(name="tasks", partition="normal", cores_per_node=2, job_manager_interval=1)
futures = executor.map(pow, [2, 3, 4], [5, 6, 7])
bad = executor.submit(int, "no number")  # not with 2.17: its job is tried for ever
executor.finalize()
import asyncio
assert await asyncio.gather(*futures) == [32, 729, 16384]
assert isinstance(bad.exception(), ValueError)  # not with 2.17: an exception never comes
""",
    """
several = adaptive_scheduler.MultiRunManager([run_manager, second])
several.info()
""",
    """
executor.shutdown()
run_manager.cancel()
run_manager.cleanup()
run_manager.scheduler.cancel(run_manager.job_names)
adaptive_scheduler.scheduler.SLURM.cancel_jobs("first")
""",
)


def cells_for_both() -> list[str]:
    """The cells without what does not work with 2.17.2."""
    return [
        "\n".join(line for line in cell.splitlines() if NOT_THERE not in line) for cell in CELLS
    ]
