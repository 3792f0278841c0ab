"""Write the tables of causes of docs/explain.md, from the code: ``python -m docs.causes``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from adaptive_scheduler.core.reasons.table import CAUSES


class Test(NamedTuple):
    """What brings a cause about.

    Attributes
    ----------
    with_what : str
    file, name : str
    """

    with_what: str
    file: str
    name: str

    __test__ = False  # pytest: it only looks like one


_SLURM, _PROCESSES, _VIRTUAL = "a real Slurm", "real processes", "virtual time"
_UNIT = "tests/unit/test_explain.py"


def _virtual(name: str, file: str = _UNIT) -> Test:
    return Test(_VIRTUAL, file, name)


_QUEUE = Test(
    _SLURM, "tests/faces/test_explain_on_slurm.py", "test_why_jobs_wait_in_the_queue_of_slurm"
)
_AWAY = Test(
    _SLURM,
    "tests/faces/test_explain_on_slurm.py",
    "test_no_job_because_slurm_takes_no_more_or_is_away",
)
_NODES = Test(
    _SLURM, "tests/faces/test_explain_on_slurm.py", "test_a_node_that_kills_jobs_is_avoided"
)
_LIMITS = Test(
    _SLURM, "tests/faces/test_explain_limits.py", "test_jobs_at_limits_of_a_qos_and_of_an_account"
)
_REFUSED = Test(
    _SLURM, "tests/faces/test_explain_limits.py", "test_a_qos_takes_no_more_jobs_or_may_not_be_used"
)
_DRIVER = Test(
    _SLURM,
    "tests/faces/test_explain_limits.py",
    "test_a_driver_tells_once_of_a_limit_and_of_a_hold",
)
_TYPED = Test(
    _PROCESSES, "tests/integration/test_cli_explain.py",
    "test_learners_and_jobs_with_a_manager_and_after_it_was_killed",
)  # fmt: skip
_OVER = Test(_PROCESSES, "tests/integration/test_cli_explain.py", "test_tasks_that_are_over")
_TASKS = Test(
    _PROCESSES, "tests/integration/test_explain_tasks.py",
    "test_futures_and_an_executor_explain_tasks_and_write_a_report",
)  # fmt: skip
_REAL = "tests/faces/test_explain_for_real.py"
_EARLY = Test(_PROCESSES, _REAL, "test_jobs_that_die_before_they_ask_are_named_as_by_status")
_SHORT = Test(_PROCESSES, _REAL, "test_jobs_whose_walltime_is_too_short_for_a_point")
_SILENT = Test(
    _PROCESSES,
    _REAL,
    "test_a_point_that_takes_longer_than_those_before_and_then_a_job_that_is_silent",
)

#: Which tests bring each cause about, the most real one first.
TESTS: dict[str, tuple[Test, ...]] = {
    "done": (_OVER, _virtual("test_it_runs_well_and_is_done")),
    "parent failed": (_OVER, _virtual("test_a_parent_of_its_parent_failed")),
    "fits no pool": (_TASKS, _virtual("test_a_task_that_no_pool_can_hold")),
    "failed": (_OVER,),
    "run cancelled": (_virtual("test_the_run_was_cancelled_or_one_learner_alone"),),
    "cancelled": (_TASKS, _virtual("test_the_run_was_cancelled_or_one_learner_alone")),
    "job ended": (_virtual("test_a_job_ended"),),
    "manager dead": (_TYPED,),
    "manager unreachable": (
        _virtual(
            "test_an_item_is_explained_also_while_its_manager_ends_or_hangs",
            "tests/unit/test_manager_client.py",
        ),
    ),
    "disk full": (
        Test(
            _PROCESSES, "tests/integration/test_bad_days.py", "test_a_disk_that_is_full_for_a_while"
        ),
        _virtual("test_the_disk_is_full"),
    ),
    "run held": (_REFUSED, _virtual("test_the_run_is_held")),
    "silent": (_SILENT, _virtual("test_its_job_is_silent")),
    "retry delay": (_TASKS, _virtual("test_a_learner_waits_for_the_delay_after_a_failure")),
    "waits for a parent": (_TASKS, _virtual("test_it_waits_for_a_parent")),
    "job never starts": (_QUEUE, _LIMITS),
    "job held": (_QUEUE, _DRIVER),
    "jobs in vain": (_EARLY, _SHORT),
    "manager not reached": (Test(_PROCESSES, _REAL, "test_a_job_that_finds_no_manager"),),
    "batch system away": (_AWAY, _virtual("test_the_batch_system_is_busy_or_away")),
    "submit limit": (_AWAY, _REFUSED),
    "submit postponed": (_virtual("test_the_batch_system_is_busy_or_away"),),
    "queue limit": (_LIMITS, _DRIVER),
    "nodes unavailable": (_QUEUE,),
    "job dependency": (_QUEUE,),
    "job begins later": (_QUEUE,),
    "max_jobs": (_TYPED, _virtual("test_as_many_jobs_as_may_be_are_there")),
    "ends too soon": (
        _virtual("test_the_walltime_of_a_task_is_longer_than_what_its_job_has_left"),
    ),
    "job resources": (_QUEUE,),
    "job priority": (_QUEUE,),
    "others go first": (_TYPED, _virtual("test_tasks_of_a_higher_priority_go_first")),
    "room is kept": (_virtual("test_a_job_has_room_for_a_task_that_it_has_not_asked_for_yet"),),
    "jobs in use": (_TASKS, _virtual("test_a_task_of_a_higher_priority_has_the_room")),
    "no jobs": (_virtual("test_a_task_that_no_pool_can_hold"),),
    "jobs unfit": (_virtual("test_its_job_is_too_small_or_ends", "tests/unit/test_task_waits.py"),),
    "queue": (_virtual("test_a_job_is_submitted_within_moments_and_then_waits_in_the_queue"),),
    "not sent": (_virtual("test_a_task_without_an_id_says_why", "tests/unit/test_driver.py"),),
    "job to come": (
        _virtual("test_a_job_is_submitted_within_moments_and_then_waits_in_the_queue"),
    ),
    "nodes avoided": (_NODES, _virtual("test_nodes_that_killed_jobs_are_avoided")),
    "slow": (_SILENT, _virtual("test_a_task_runs_for_longer_than_its_function_usually_takes")),
    "waits in its job": (_virtual("test_a_task_waits_in_its_job"),),
    "begins": (_TYPED,),
    "job being cancelled": (_virtual("test_a_job_is_cancelled_while_it_waits"),),
    "job state": (_virtual("test_a_job_is_suspended"),),
    "job missing": (_virtual("test_the_queue_does_not_show_a_job_whose_client_is_heard"),),
    "not connected": (_virtual("test_a_job_has_started_and_says_nothing"),),
    "runs": (_TYPED, _TASKS),
    "job runs": (_TYPED,),
    "was tried": (_virtual("test_a_learner_waits_for_the_delay_after_a_failure"),),
}

BEGIN, END = "<!-- causes -->", "<!-- end of causes -->"
BEGIN_TESTS, END_TESTS = "<!-- tests -->", "<!-- end of tests -->"
DOCUMENT = Path(__file__).with_name("explain.md")


def table() -> str:
    """The table as Markdown, the most important cause first."""
    rows = [f"| `{cause.name}` | {cause.when} | {cause.remedy} |" for cause in CAUSES]
    return "\n".join(["| cause | when | what to do |", "|---|---|---|", *rows])


def tested() -> str:
    """How each cause is tested, as Markdown."""
    rows = [
        f"| `{cause}` | {tests[0].with_what} | `{tests[0].file}` `{tests[0].name}` |"
        for cause, tests in TESTS.items()
    ]
    return "\n".join(["| cause | brought about with | test |", "|---|---|---|", *rows])


def inserted(text: str) -> str:
    """The document with the table of today between its marks."""
    for begin, end, made in ((BEGIN, END, table()), (BEGIN_TESTS, END_TESTS, tested())):
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = f"{head}{begin}\n\n{made}\n\n{end}{tail}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(inserted(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
