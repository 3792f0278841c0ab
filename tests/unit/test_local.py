from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    JobId,
    JobRequest,
    JobState,
    Refusal,
)
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import (
    InputError,
    NoObservation,
    SchedulerError,
    SubmitRefusedError,
)
from adaptive_scheduler.localbatch import rules
from adaptive_scheduler.localbatch.folder import default_folder
from adaptive_scheduler.localbatch.rules import BatchJob, Step
from adaptive_scheduler.schedulers.local import LocalScheduler


def result(stdout: str = "", rc: int = 0, stderr: str = "") -> CommandResult:
    return CommandResult(("localbatch",), rc, stdout, stderr)


def lines(*rows: dict, told: int | None = None) -> str:
    last = {"rows": len(rows) if told is None else told}
    return "".join(json.dumps(row) + "\n" for row in (*rows, last))


def job(task: int = -1, **values: object) -> BatchJob:
    defaults = BatchJob(1, task, "pending", 1, None, 30.0, 0, None, None, None, None)
    return defaults._replace(**values)


# ---------------------------------------------------------------- LocalScheduler


def test_submit_is_one_command_without_a_shell() -> None:
    scheduler = LocalScheduler(cores=2, max_cores=4, kill_wait=5, state="/s t", walltime=15)
    request = JobRequest("a b", "as:x:1", Resources(cores=2, walltime=15), "/log 100%/")
    argv = scheduler.submit_command(request, Path("/run/-job.sh"), 3)
    assert argv[:4] == [sys.executable, "-P", "-m", "adaptive_scheduler.localbatch"]
    assert argv[4:6] == ["submit", "--state=/s t"]
    assert set(argv[6:-2]) == {
        "--count=3",
        "--cores=2",
        "--slots=4",
        "--kill-wait=5",
        "--walltime=15",
        "--name=a b",
        "--comment=as:x:1",
        "--output=/log 100%%/%j.out",
    }
    assert argv[-2:] == ["--", "/run/-job.sh"]


def test_an_exclusive_job_takes_all_slots() -> None:
    request = JobRequest("a", "t", Resources(cores=2, exclusive=True), "/log")
    argv = LocalScheduler(cores=2, max_cores=4).submit_command(request, Path("s"), 1)
    assert "--cores=4" in argv


def test_without_state_the_environment_decides() -> None:
    assert not any("--state" in word for word in LocalScheduler(cores=1).queue_command())


def test_ids_of_a_submit() -> None:
    scheduler = LocalScheduler(cores=1)
    assert scheduler.parse_submit(result("12_0\n12_1\n"), 2) == ["12_0", "12_1"]
    with pytest.raises(NoObservation, match="2 ids"):
        scheduler.parse_submit(result("12_0\n"), 2)
    with pytest.raises(NoObservation, match="may or may not"):
        scheduler.parse_submit(result("", rc=-9), 1)
    with pytest.raises(SubmitRefusedError, match="can never start"):
        scheduler.parse_submit(result(rc=3, stderr="localbatch: can never start"), 1)


@pytest.mark.parametrize(
    ("rc", "meaning"),
    [(2, "impossible"), (3, "impossible"), (1, "impossible"), (75, "busy"), (-9, "busy")],
)
def test_what_a_refusal_means(rc: int, meaning: str) -> None:
    assert LocalScheduler(cores=1).refusal(result(rc=rc)) is Refusal(meaning)


def test_the_queue() -> None:
    row = {"id": "1_0", "state": "running", "name": "a\nb", "comment": "t", "nodes": ["h"]}
    row["reason"] = ""
    rows = [row | {"state": state} for state in ("running", "pending", "completing")]
    listed = LocalScheduler(cores=1).parse_queue(result(lines(*rows)))
    assert [one.state for one in listed] == [JobState.RUNNING, JobState.PENDING, JobState.ALIVE]
    assert (listed[0].id, listed[0].name, listed[0].nodes) == ("1_0", "a\nb", ("h",))


@pytest.mark.parametrize(
    "answer",
    [
        result(""),
        result(lines(told=1)),
        result("Traceback"),
        result("7\n"),
        result(lines(), rc=75),
        result(lines(), rc=-15),
    ],
)
def test_an_incomplete_listing_is_no_observation(answer: CommandResult) -> None:
    for parse in (LocalScheduler(cores=1).parse_queue, LocalScheduler(cores=1).parse_history):
        with pytest.raises(NoObservation):
            parse(answer)


def test_an_empty_queue_counts_if_its_last_line_is_there() -> None:
    assert LocalScheduler(cores=1).parse_queue(result(lines())) == []


def test_history() -> None:
    row = {"id": "3", "cause": "timeout", "code": 143, "detail": "the walltime was over"}
    endings = LocalScheduler(cores=1).parse_history(result(lines(row)))
    assert endings == [Ending(JobId("3"), "timeout", "the walltime was over")]


def test_fault_25_many_jobs_are_cancelled_by_few_commands() -> None:
    scheduler = LocalScheduler(cores=1)
    jobs = [JobId(f"7_{n}") for n in range(1500)]
    commands = scheduler.cancel_commands(jobs)
    assert len(commands) == 2
    assert [word for argv in commands for word in argv if "7_" in word] == jobs
    scheduler.parse_cancel(result())
    with pytest.raises(SchedulerError, match="may still be there"):
        scheduler.parse_cancel(result(rc=75))


def test_time_left() -> None:
    scheduler = LocalScheduler(cores=1)
    assert scheduler.parse_time_left(result("12.5\n")) == 12.5
    assert scheduler.parse_time_left(result("unlimited\n")) is None
    for answer in (result(""), result("12.5", rc=3), result("soon")):
        with pytest.raises(NoObservation):
            scheduler.parse_time_left(answer)


def test_own_id() -> None:
    scheduler = LocalScheduler(cores=1)
    assert scheduler.own_id({}) is None
    assert scheduler.own_id({"LOCALBATCH_JOB_ID": "3_1", "LOCALBATCH_RESTART": "2"}) == ("3_1", 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cores": 5, "max_cores": 4}, r"cores=5: LocalScheduler has max_cores=4"),
        ({"cores": 1, "max_cores": 0}, "max_cores=0"),
        ({"cores": 1, "kill_wait": -1}, "kill_wait=-1"),
        ({"cores": 1, "queue": "debug"}, "LocalScheduler: unknown argument 'queue'"),
        ({"cores": 1, "gpus": 1}, "LocalScheduler: unknown argument 'gpus'"),
    ],
)
def test_impossible_options_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        LocalScheduler(**options)


# ------------------------------------------------------------------------ rules


def test_jobs_start_in_the_order_of_the_queue() -> None:
    pending = [job(0, cores=2), job(1, cores=3), job(2, cores=1)]
    assert rules.startable(pending, [], 4) == pending[:1]
    assert rules.startable(pending[1:], [job(0, cores=1)], 4) == pending[1:2]
    assert rules.startable(pending[2:], [job(0, cores=4)], 4) == []


def test_a_job_larger_than_the_remaining_slots_runs_alone() -> None:
    large = job(0, cores=8)
    assert rules.startable([large, job(1)], [], 2) == [large]
    assert rules.startable([large], [job(1)], 2) == []


def test_a_job_gets_sigterm_and_is_killed_after_kill_wait() -> None:
    running = job(state="running", started=100.0, walltime=10.0, kill_wait=5.0)
    assert rules.next_step(running, 109.9) == (Step.WAIT, None)
    assert rules.next_step(running, 110.0) == (Step.TERMINATE, "timeout")
    told = running._replace(wanted="timeout", signalled=110.0)
    assert rules.next_step(told, 114.9) == (Step.WAIT, "timeout")
    assert rules.next_step(told, 115.0) == (Step.KILL, "timeout")
    assert rules.next_event([running, told], 109.0) == 1.0
    assert rules.next_step(running._replace(wanted="cancel"), 101.0) == (Step.TERMINATE, "cancel")


def test_processes_that_outlive_the_script_have_the_rest_of_the_kill_wait() -> None:
    told = job(state="running", wanted="cancel", signalled=110.0, kill_wait=5.0)
    assert rules.may_linger(told, 114.9)
    assert not rules.may_linger(told, 115.0)
    assert not rules.may_linger(told._replace(signalled=None), 110.0)


@pytest.mark.parametrize(
    ("wanted", "record", "boot", "cause", "detail"),
    [
        (None, "started 7\nexit 0\n", "now", "completed", "exit code 0"),
        (None, "started 7\nexit 3\n", "now", "failed", "exit code 3"),
        (None, "started 7\nexit 137\n", "now", "failed", "SIGKILL"),
        (None, "started 7\n", "now", "failed", "not known"),
        (None, "started 7\n", "before", "node_fail", "restarted"),
        (None, "", "now", None, "never started"),
        ("timeout", "started 7\nexit 0\n", "now", "timeout", "walltime of 10 s"),
        ("cancel", "started 7\n", "now", "cancelled", "cancelled"),
        ("cancel", "", "now", "cancelled", "cancelled"),
        ("requeue", "started 7\nexit 143\n", "now", None, "requeued"),
    ],
)
def test_how_a_job_ended(
    wanted: str | None, record: str, boot: str, cause: str | None, detail: str
) -> None:
    ended = job(state="running", wanted=wanted, walltime=10.0, boot=boot)
    found, _, words = rules.ending(ended, record, "now")
    assert found == cause
    assert detail in words


def test_ids() -> None:
    assert rules.parse_id("12_3") == (12, 3)
    assert rules.parse_id("12") == (12, None)
    for text in ("", "12_", "a", "12_3_4", "-1", "1\n"):
        assert rules.parse_id(text) is None
    assert (job().id, job(4).id) == ("1", "1_4")


@pytest.mark.parametrize(
    ("script", "argv"),
    [
        (b"#!/bin/bash -l\n", ["/bin/bash", "-l"]),
        (b"#! /usr/bin/env  -S python -u\nx", ["/usr/bin/env", "-S python -u"]),
        (b"true", ["/bin/sh"]),
        (b"#!\n", ["/bin/sh"]),
    ],
)
def test_the_interpreter_of_a_script(script: bytes, argv: list[str]) -> None:
    assert rules.interpreter(script) == argv


def test_output_path() -> None:
    spec = rules.Spec("n", "", 1, None, 30.0, "/home/me", "logs %%j/%A-%a-%j.out", {}, 0o022)
    assert rules.output_path(spec, job(3)) == "/home/me/logs %j/1-3-1_3.out"
    assert rules.output_path(spec._replace(output="/x/%j"), job()) == "/x/1"


def test_the_state_folder() -> None:
    assert default_folder({"ADAPTIVE_SCHEDULER_LOCALBATCH": "/x"}, "pc") == "/x"
    below = default_folder({"XDG_STATE_HOME": "/state"}, "pc")
    assert below == "/state/adaptive_scheduler/localbatch/pc"
    assert default_folder({}, "pc").endswith("/.local/state/adaptive_scheduler/localbatch/pc")
