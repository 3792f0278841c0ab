"""What a dead job's output tells."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.outputs import end_of_output, of_this_try
from adaptive_scheduler.core.rows.events import Claimed, Lost
from adaptive_scheduler.core.rows.items import step
from adaptive_scheduler.core.rows.retry_decision import Budget
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Owner

CRASH = """\
loading tables
Fatal Python error: Segmentation fault

Current thread 0x00007f3e3b3b9740 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/home/anna/learners_file.py", line 12 in f
  File "/opt/adaptive_scheduler/executors/worker.py", line 247 in _evaluated
  File "/opt/mpi4py/futures/_core.py", line 850 in call

Extension modules: numpy.core._multiarray_umath, mpi4py.MPI (total: 14)

===================================================================================
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   EXIT CODE: 139
===================================================================================
"""
AGAIN = "[adaptive_scheduler] The client ended with status 139; it is started again in this job.\n"


def test_a_crash_is_reported_with_the_stack_of_the_users_code():
    told = end_of_output(CRASH)
    assert told == (
        "the end of its output: Fatal Python error: Segmentation fault"
        ' | File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at'
        ' | File "/home/anna/learners_file.py", line 12 in f'
    )
    assert end_of_output(CRASH + AGAIN) == told


def test_a_crash_is_not_reported_for_a_later_try():
    assert end_of_output(CRASH + AGAIN + "Killed\n").endswith("Killed")
    assert of_this_try(CRASH + AGAIN + "Killed\n") == "Killed\n"
    assert of_this_try(CRASH + AGAIN) == ""
    assert of_this_try(CRASH) == CRASH
    assert end_of_output("") == ""


def test_a_rank_that_crashed_leaves_its_stack_in_the_row_of_its_learner():
    budget = Budget(3, 5)
    before = Item(
        id=1, fname="f", phase=Phase.RUNNING, job="7", owner=Owner("7", 0, 0, "a"), token=1
    )
    after = step(before, Claimed(Owner("7", 0, 1, "b"), 2, output=CRASH), 5.0, budget)
    assert (after.crashes, after.traceback) == (1, CRASH)
    lost = step(before, Lost("job 7 ended: failed", True, output=CRASH), 5.0, budget)
    assert (lost.phase, lost.traceback) == (Phase.QUEUED, CRASH)
    requeued = step(before, Claimed(Owner("7", 1, 0, "b"), 2, output=CRASH), 5.0, budget)
    assert (requeued.crashes, requeued.traceback) == (0, "")
