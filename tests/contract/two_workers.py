"""A client of an executor that takes seconds to start: all that the others are tested for, in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from adaptive_scheduler.executors.registry import launcher_for

#: Evaluates on two workers that have an initializer and are signalled, and ends them or is killed.
CLIENT = """
import os, signal, sys, time
import adaptive, psutil
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.executors.registry import launcher_for

name, folder = sys.argv[1:3]
os.makedirs(os.path.join(folder, "met"), exist_ok=True)

def note():
    open(os.path.join(folder, f"begun-{os.getpid()}"), "x").close()

def where(x):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(os.getpid(), number)
    met = os.path.join(folder, "met")
    open(os.path.join(met, str(os.getpid())), "w").close()
    end = time.monotonic() + 120
    while len(os.listdir(met)) < 2 and time.monotonic() < end:  # one must not do all alone
        time.sleep(0.01)
    return os.getpid()

executor = launcher_for(name)
cores = 3 if name == "mpi4py" else 2
pool = executor.open(cores)
begun = [
    one for one in psutil.Process().children(recursive=True)
    if "resource_tracker" not in str(one.as_dict(["cmdline"]))
]
learner = adaptive.SequenceLearner(where, range(30))
work = LearnerWork(
    learner, os.path.join(folder, "a.pickle"), None, pool, executor.workers(cores), initializers=(note,)
)
outcome = run_learner(work)
assert (outcome.reason, outcome.error, outcome.npoints) == ("goal", None, 30), outcome
pids = set(learner.result())
assert os.getpid() not in pids
assert len(pids) == executor.workers(cores) == 2, pids
assert {f"begun-{pid}" for pid in pids} <= set(os.listdir(folder))
if sys.argv[3] == "killed":
    print(*[one.pid for one in begun], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
pool.submit(time.sleep, 0 if name == "mpi4py" else 1000)
begin = time.monotonic()
assert executor.close(pool, 1.0)
assert time.monotonic() - begin < 250
_, alive = psutil.wait_procs(begun, 120)
assert alive == [], alive
print("well")
"""


def on_two_workers(name: str, folder: Path, end: str) -> str:
    """Run `CLIENT` on two workers; return what it printed."""
    script = folder / "client.py"
    script.write_text(CLIENT)
    mpiexec = [str(Path(sys.executable).with_name("mpiexec")), "-n", "3"]
    command = launcher_for(name).command(mpiexec, sys.executable, [str(script)])
    done = subprocess.run(
        [*command, name, str(folder), end], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout, done.stderr
    return done.stdout
