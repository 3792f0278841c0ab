"""Evaluates a call in one of its ranks: all of them call the function, and rank 0's value is the result.

Started by `rank_start` as ``python -m adaptive_scheduler.client.tasks.ranks.call_rank PLAN RANK NAME``. The
function may use MPI, of which all ranks are the world, or not.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from adaptive_scheduler.client.tasks.node.worker import CallEvaluator, error_bytes
from adaptive_scheduler.client.tasks.ranks.files import RankFiles
from adaptive_scheduler.client.tasks.ranks.plan import RankOutcome
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.executors.worker_process import print_stack_at_crash


def main(argv: list[str]) -> int:
    """Evaluate the call of a plan; returns the exit status."""
    plan, rank = Path(argv[0]), int(argv[1])
    print_stack_at_crash()
    files = RankFiles.around(plan)
    call = files.read_call()
    evaluator = CallEvaluator(plan.parent.parent / "functions", plan.parent)
    end = evaluator.call(files.token, call.function, call.spec, keeps_value=rank == 0)
    outcome = RankOutcome(*end)
    if outcome.kind is EndKind.VALUE:
        if rank == 0:
            files.write_outcome(rank, outcome)
        return 0
    files.write_outcome(rank, _with_name(outcome, argv[2]))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # MPI would wait here for the other ranks, which may wait for this one
    os._exit(1)


def _with_name(outcome: RankOutcome, name: str) -> RankOutcome:
    """Say in which rank it raised."""
    kind, message, text, error = pickle.loads(outcome.value)
    value = error_bytes((kind, message, f"In {name}:\n{text}", error))
    return RankOutcome(outcome.kind, value, "", f"{name}: {outcome.text}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
