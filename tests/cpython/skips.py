"""Which of CPython's process-pool tests do not run against `Executor`, and why."""

from __future__ import annotations

#: Words of a test's name -> why it is not run. It must stay below 20 % of those collected.
SKIPS = {
    "FailingInitializer": "a failing initializer fails its tasks, not the whole executor",
    "test_processes_terminate": "looks into ProcessPoolExecutor's private list of processes",
    "test_max_workers_too_large": "about Windows; CPython skips it here, too",
    "test_killed_child": "promises the opposite: a dead worker must not break the executor",
    "test_saturation": "looks into ProcessPoolExecutor's private list of processes",
    "test_idle_process_reuse": "looks into ProcessPoolExecutor's private list of processes",
    "test_max_tasks": "max_tasks_per_child is no argument of ours",
    "test_hang_gh83386": "CPython skips it for process pools",
}
