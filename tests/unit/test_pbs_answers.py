"""The PBS scheduler reads what a real OpenPBS printed (tests/data/pbs)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobState
from adaptive_scheduler.errors import NoObservation
from tests.clusters.pbs_captures import DATA, QSTAT, answer, captured, scheduler

# ------------------------------------------------------------------------- queue


def test_listing_of_all_states_leaves_out_other_users() -> None:
    jobs = {job.id: job for job in scheduler().parse_queue(answer("qstat_f_json_all"))}
    assert {name: (job.native_state, job.state) for name, job in jobs.items()} == {
        "2.vm": ("R", JobState.RUNNING),
        "3.vm": ("R", JobState.RUNNING),
        "4.vm": ("Q", JobState.PENDING),
        "5.vm": ("H", JobState.ALIVE),
        "6.vm": ("W", JobState.PENDING),
    }
    assert jobs["3.vm"].nodes == ("vm",)
    assert jobs["4.vm"].reason.startswith("Not Running: Insufficient amount")
    assert jobs["4.vm"].name == "bigqueued"


def test_an_array_is_listed_as_its_subjobs() -> None:
    jobs = scheduler().parse_queue(answer("array_partial_t"))
    states = {job.id: job.state for job in jobs}
    assert states == {
        **{f"1008[{index}].vm": JobState.ENDED for index in (1, 2)},
        **{f"1008[{index}].vm": JobState.RUNNING for index in (3, 4, 5, 6)},
    }
    assert jobs[3].nodes == ("vm",)


def _listing(**attributes: Any) -> CommandResult:
    job = {"Job_Name": "x", "Job_Owner": "hpcuser@login2", "job_state": "R", **attributes}
    answer = {"timestamp": 1, "pbs_server": "vm", "Jobs": {"7[3].vm": job}}
    return CommandResult(QSTAT, 0, json.dumps(answer), "")


def test_the_tag_comes_back_whatever_else_is_in_the_environment() -> None:
    variables = {"A": 7, "B": True, "ADAPTIVE_SCHEDULER_TAG": "as:r1:7"}
    (job,) = scheduler().parse_queue(_listing(Variable_List=variables))
    assert job.comment == "as:r1:7"
    (job,) = scheduler().parse_queue(_listing(Variable_List="A=7"))
    assert job.comment == ""


@pytest.mark.parametrize("letter", ["E", "H", "S", "U", "T", "M", "?", "new word", ""])
def test_fault_09_unknown_states_are_alive(letter: str) -> None:
    (job,) = scheduler().parse_queue(_listing(job_state=letter))
    assert job.state is JobState.ALIVE


def test_hosts_of_several_chunks() -> None:
    (job,) = scheduler().parse_queue(_listing(exec_host="n1/0*4+n2/1*4+n1/2"))
    assert job.nodes == ("n1", "n2")


def test_captured_held_and_running_arrays_have_a_reason_or_none() -> None:
    """What a real OpenPBS of several hosts listed: "Job Array Began at ..." is no reason."""
    pbs = scheduler()
    pbs.user = "user"
    listed = pbs.parse_queue(answer("held_and_partly_running_arrays"))
    reasons = {job.id: (job.native_state, job.reason) for job in listed}
    held, begun = ("H", "held by its owner"), ("Q", "")
    assert reasons == {
        "165.pbs0": ("E", ""),
        **{f"166[{n}].pbs0": held for n in range(2)},
        **{f"167[{n}].pbs0": ("R", "") for n in range(3)},
        **{f"167[{n}].pbs0": begun for n in (3, 4)},
    }
    assert {job.state for job in listed if job.native_state == "H"} == {JobState.PENDING}
    assert all("qrls" in job.remedy for job in listed if job.native_state == "H")


@pytest.mark.parametrize(
    ("letter", "attributes", "reason"),
    [
        ("S", {"comment": "Job run at Sat Nov 28 at 15:52 on (pbs1:ncpus=14)"}, "suspended"),
        ("U", {"comment": "Job run at Sat Nov 28 at 15:52 on (pbs1:ncpus=14)"}, "suspended"),
        ("E", {"comment": "Job run at Sat Nov 28 at 15:52 on (n) and finished"}, ""),
        ("Q", {"comment": "Job Array Began at Sat Nov 28 at 15:52"}, ""),
        ("Q", {"comment": "Job was sent for execution at Sat Nov 28 on (n)"}, ""),
        ("Q", {"comment": "Not Running: Queue not started."}, "Not Running: Queue not started."),
        ("Q", {}, ""),
        ("H", {"Hold_Types": "u"}, "held by its owner"),
        ("H", {"Hold_Types": "so"}, "held by the system and an operator"),
        ("H", {}, "held"),
    ],
)
def test_why_a_job_does_not_run(letter: str, attributes: dict[str, Any], reason: str) -> None:
    (job,) = scheduler().parse_queue(_listing(job_state=letter, **attributes))
    assert (job.native_state, job.reason) == (letter, reason)


def test_a_job_that_can_never_run_has_a_remedy() -> None:
    words = "Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 3 T: 48)"
    (job,) = scheduler().parse_queue(_listing(job_state="Q", comment=words))
    assert job.reason == words
    assert "fewer cores=" in job.remedy


# ------------------------------------------------------------------------- hosts

PBSNODES = ("pbsnodes", "-a", "-F", "json")


def _nodes(**nodes: dict[str, Any]) -> CommandResult:
    return CommandResult(PBSNODES, 0, json.dumps({"pbs_server": "vm", "nodes": nodes}), "")


def test_hosts_that_are_up_with_what_they_have() -> None:
    def node(state: str = "free", **has: Any) -> dict[str, Any]:
        return {"state": state, "resources_available": has}

    result = _nodes(
        n1=node(ncpus=16, mem="16777216kb", host="n1"),
        n2=node("job-busy", ncpus=8, mem="8gb"),
        n3=node("state-unknown,down", ncpus=64),
        n4=node("offline", ncpus=64),
        **{"n5[0]": node(ncpus=4, host="n5", mem="1gb")},
        **{"n5[1]": {**node(ncpus=4, host="n5", mem="1gb"), "queue": "long"}},
        n6=node("free"),
        n7={"state": "free", "resources_available": "?"},
    )
    found = {
        host.name: (host.cores, host.memory, host.queue) for host in scheduler().parse_hosts(result)
    }
    assert found == {
        "n1": (16, 16384, ""),
        "n2": (8, 8192, ""),
        "n5": (8, 2048, "long"),
        "n6": (0, None, ""),
        "n7": (0, None, ""),
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"nodes": []}', '{"nodes": {"n1": '])
def test_other_output_is_no_list_of_hosts(text: str) -> None:
    for rc in (0, 162):
        with pytest.raises(NoObservation):
            scheduler().parse_hosts(CommandResult(PBSNODES, rc, text, ""))


def test_fault_30_bytes_that_are_not_utf8() -> None:
    (job,) = scheduler().parse_queue(answer("qstat_json_with_V"))
    assert job.id == "1114.vm"


def test_values_that_are_not_json_are_read_as_text() -> None:
    text = (DATA / "qstat_f_json_all.json").read_text()
    text = text.replace(
        '"PBS_O_HOST":\t"vm"',
        '"PBS_O_HOST":\t"vm",\n\t\t\t\t"A":\t007,\n'
        '\t\t\t\t"B":\t"C:\\dir \\x "q"",\n\t\t\t\t"F":\t"() {\n  echo hi\n}"',
    )
    with pytest.raises(ValueError):
        json.loads(text, strict=False)
    mended = scheduler().parse_queue(CommandResult(QSTAT, 0, text, ""))
    assert mended == scheduler().parse_queue(answer("qstat_f_json_all"))


def test_no_jobs_at_all() -> None:
    text = captured("qstat_unknown").stdout
    assert scheduler().parse_queue(CommandResult(QSTAT, 0, text, "")) == []
    # late, but it answered
    late = "pbs_iff: all reserved ports in use"
    assert scheduler().parse_queue(CommandResult(QSTAT, 0, text, late)) == []


@pytest.mark.parametrize("rc", [255, 153, 35, 162, 1, 2, -9, 124])
def test_fault_10_a_failed_listing_is_never_an_empty_one(rc: int) -> None:
    """Field fault 10; a PBS whose server is down prints valid JSON without jobs."""
    text = captured("qstat_unknown").stdout
    with pytest.raises(NoObservation):
        scheduler().parse_queue(CommandResult(QSTAT, rc, text, ""))


def test_a_listing_that_is_cut_off_is_no_observation() -> None:
    text = (DATA / "array_partial_t.json").read_text()
    for end in range(0, len(text.rstrip()), 97):
        with pytest.raises(NoObservation):
            scheduler().parse_queue(CommandResult(QSTAT, 0, text[:end], ""))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"pbs_server": "vm", "Jobs": []}', "error"]
)
def test_other_output_is_no_observation(text: str) -> None:
    with pytest.raises(NoObservation):
        scheduler().parse_queue(CommandResult(QSTAT, 0, text, ""))


# ------------------------------------------------------------------------ history


@pytest.mark.parametrize(
    ("name", "cause", "detail"),
    [
        ("qstat_x_json_finished_ok", "completed", "Exit_status 0"),
        ("qstat_x_json_finished_failed", "failed", "Exit_status 3"),
        ("qstat_x_json_walltime_killed", "timeout", "exceeded resource walltime"),
        ("qstat_x_json_qdel_running", "cancelled", "terminated by"),
        ("qstat_x_json_qdel_queued", "cancelled", "never ran; Can Never Run"),
        ("qstat_x_json_dependency_failed", "unknown", "never ran"),
    ],
)
def test_endings(name: str, cause: str, detail: str) -> None:
    (ending,) = scheduler().parse_history(answer(name))
    assert ending.cause == cause
    assert detail in ending.detail


def test_endings_of_subjobs() -> None:
    for name, found in (
        ("array_after_t_json_finished", {"1007[0].vm": "completed"} | {f"1007[{i}].vm": "failed" for i in (1, 2, 3)}),
        ("array_partial_t", {"1008[1].vm": "failed", "1008[2].vm": "failed"}),
    ):  # fmt: skip
        endings = scheduler().parse_history(answer(name))
        assert {ending.id: ending.cause for ending in endings} == found


@pytest.mark.parametrize(
    ("status", "cause"),
    [(271, "cancelled"), (143, "cancelled"), (137, "failed"), (265, "failed"), (-27, "out_of_memory"), ("-29", "timeout"), (-20, "node_fail"), (254, "failed"), ("odd", "unknown")],
)  # fmt: skip
def test_exit_statuses(status: object, cause: str) -> None:
    (ending,) = scheduler().parse_history(_listing(job_state="F", substate=93, Exit_status=status))
    assert ending.cause == cause


def test_subjobs_of_a_deleted_array_are_cancelled_not_failed() -> None:
    (ending,) = scheduler().parse_history(_listing(job_state="F", substate=91, Exit_status=1))
    assert ending.cause == "cancelled"


def test_the_history_command_prints_all_jobs() -> None:
    command = scheduler().history_command(["1.vm", "2[3].vm"])
    assert command == ["qstat", "-x", "-E", "-f", "-F", "json", "1.vm", "2[3].vm"]
    known = scheduler().parse_history(captured("qstat_x_mixed_known_unknown"))
    assert known == []  # 6.vm waits, 99999 is unknown
    assert scheduler().parse_history(CommandResult(command, 36, "", "job_history_enable")) == []
    with pytest.raises(NoObservation):
        scheduler().parse_history(CommandResult(command, 255, captured("qstat_unknown").stdout, ""))


# ---------------------------------------------------------------------- time, own id


def _time_left(used: str, timestamp: int, stime: str = "Fri Nov 20 12:20:00 2026") -> float | None:
    job = {
        "Resource_List": {"walltime": "00:10:00"},
        "resources_used": {"walltime": used},
        "stime": stime,
    }
    answer = {"timestamp": timestamp, "pbs_server": "vm", "Jobs": {"7.vm": job}}
    text = json.dumps(answer)
    return scheduler().parse_time_left(CommandResult(("qstat",), 0, text, ""))


def test_time_left_of_captured_jobs() -> None:
    assert scheduler().parse_time_left(answer("qstat_f_json_running")) == pytest.approx(115, abs=1)
    subjob = captured("array_subjob_json")
    assert scheduler().parse_time_left(subjob) == pytest.approx(52, abs=1)


@pytest.mark.parametrize("zone", [0, 3600, -5 * 3600, 5 * 3600 + 1800, 45900])
def test_time_left_is_newer_than_resources_used(zone: int) -> None:
    """`resources_used` is renewed each 10 to 120 s; `stime` has no zone."""
    start = 1795177200 - zone  # 12:20:00 there
    for elapsed, used in ((0, 0), (1, 0), (50, 0), (110, 10), (599, 480), (10, 11)):
        left = _time_left(f"00:{used // 60:02d}:{used % 60:02d}", start + elapsed)
        assert left == 600 - max(elapsed, used), (elapsed, used)


def test_time_left_when_the_start_cannot_be_read() -> None:
    assert _time_left("00:01:00", 1, stime="gestern") == 540


def test_no_walltime_no_limit_and_no_answer_no_observation() -> None:
    assert scheduler().parse_time_left(_listing(Resource_List={"ncpus": 1})) is None
    with pytest.raises(NoObservation):
        scheduler().parse_time_left(captured("qstat_unknown"))


def test_own_id_is_the_id_of_the_listing() -> None:
    own = scheduler().own_id
    assert own({"PBS_JOBID": "1007[2].vm"}) == ("1007[2].vm", 0)
    assert own({}) is None
    exported = {"ADAPTIVE_SCHEDULER_JOB": "12.vm", "ADAPTIVE_SCHEDULER_RESTART": "3"}
    assert own({"PBS_JOBID": "12.vm", **exported}) == ("12.vm", 3)
    # what another job exported is not ours
    assert own({"PBS_JOBID": "13.vm", **exported}) == ("13.vm", 0)
