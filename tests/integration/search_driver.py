"""A search in a process of its own, which tests kill: ``python -m tests.integration.search_driver HOME``.

Its program takes a time that depends on its number, so that the order of the ends is none of the numbers; and
some wait for the file ``go``, so that some are under way whenever it is killed.
"""

from __future__ import annotations

import os
import sys

from adaptive_scheduler import Command, Executor, OptimizerLearner, Search, float_file
from adaptive_scheduler.scheduler import Here

N = 10
SPACE = {"drop": (0, 0.9), "batch_size": [16, 32, 64, 128, 256, 512]}
#: Notes its begin and its end; the value is the parameter. Number 2 and the last four are held.
PROGRAM = """
echo "begun {_index} {drop} {batch_size}" >> ledger
sleep $(( (7 * {_index}) % 5 * 4 + 2 ))e-1
test {_index} -lt 6 -a {_index} -ne 2 || until test -e go; do sleep 0.05; done
echo {drop} > $OUTPUT/loss-{_index:04d}.txt.new && mv $OUTPUT/loss-{_index:04d}.txt.new $OUTPUT/loss-{_index:04d}.txt
echo "ended {_index} {drop} {batch_size}" >> ledger
"""


def learner() -> OptimizerLearner:
    """The problem of the issue."""
    command = Command(PROGRAM, value=float_file("loss-{_index:04d}.txt"))
    return OptimizerLearner(command, SPACE, "skopt:RF", acq_func="LCB", seed=42, initial=4)


def main(home: str) -> None:
    os.chdir(home)
    with Executor(Here(slots=4), folder="run", driver_patience=60) as executor:
        outcome = Search(learner(), executor, max_tasks=N, output="out").run()
    print(outcome.done, outcome.best, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
