"""The PBS scheduler's requests, and what a real OpenPBS said of such (tests/data/pbs)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, Host, JobRequest, Refusal
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import (
    InputError,
    NoObservation,
    SchedulerError,
    SubmitRefusedError,
)
from tests.clusters.pbs_captures import DATA, captured, scheduler


def request(
    name: str = "job", log_folder: str = "/logs", hosts: Sequence[Host] = (), **options: Any
) -> JobRequest:
    shapes, _ = scheduler(**options).shapes(1)
    return JobRequest(name, "as:r1:7", shapes[0], log_folder, hosts=tuple(hosts))


def header(hosts: Sequence[Host] = (), **options: Any) -> list[str]:
    return scheduler(**options).header(request(hosts=hosts, **options))


def qsub_result(rc: int, stdout: str = "", stderr: str = "") -> CommandResult:
    return CommandResult(("qsub", "x"), rc, stdout, stderr)


# ------------------------------------------------------------------------ header


@pytest.mark.parametrize(
    ("options", "select", "place"),
    [
        ({"cores": 200}, "200:ncpus=1:mpiprocs=1:ompthreads=1", "free"),
        ({"cores": 4, "memory": "1GB"}, "4:ncpus=1:mpiprocs=1:ompthreads=1:mem=256mb", "free"),
        ({"nodes": 2, "cores_per_node": 8}, "2:ncpus=8:mpiprocs=8:ompthreads=1", "scatter"),
        (
            {"nodes": 3, "cores": 10, "memory": 100},
            "1:ncpus=4:mpiprocs=4:ompthreads=1:mem=100mb+2:ncpus=3:mpiprocs=3:ompthreads=1:mem=100mb",
            "scatter",
        ),
        (
            {"cores": 10, "cores_per_node": 4, "exclusive": True},
            "2:ncpus=4:mpiprocs=4:ompthreads=1+1:ncpus=2:mpiprocs=2:ompthreads=1",
            "scatter:exclhost",
        ),
        ({"cores": 3, "cores_per_node": 4}, "1:ncpus=3:mpiprocs=3:ompthreads=1", "scatter"),
        (
            {"cores": 4, "executor_type": "loky", "num_threads": 2, "memory": 64},
            "1:ncpus=4:mpiprocs=1:ompthreads=2:mem=64mb",
            "scatter",
        ),
        ({"cores": 2, "gpus": 1}, "1:ncpus=2:mpiprocs=2:ompthreads=1:ngpus=1", "scatter"),
    ],
)
def test_chunks(options: dict[str, Any], select: str, place: str) -> None:
    lines = header(**options)
    assert f"#PBS -l select={select}" in lines
    assert f"#PBS -l place={place}" in lines


@pytest.mark.parametrize(
    ("options", "hosts", "select", "place"),
    [
        ({"cores": 4}, [Host("a", 2), Host("b", 4)], "1:ncpus=4:mpiprocs=4:ompthreads=1", "pack"),
        ({"cores": 5}, [Host("a", 2), Host("b", 4)], "5:ncpus=1:mpiprocs=1:ompthreads=1", "free"),
        ({"cores": 4}, [], "4:ncpus=1:mpiprocs=1:ompthreads=1", "free"),
        (
            {"cores": 4, "memory": "1GB", "exclusive": True},
            [Host("a", 4, 1024)],
            "1:ncpus=4:mpiprocs=4:ompthreads=1:mem=1024mb",
            "pack:exclhost",
        ),
        (
            {"cores": 4, "memory": "1GB"},
            [Host("a", 4, 1023)],
            "4:ncpus=1:mpiprocs=1:ompthreads=1:mem=256mb",
            "free",
        ),
        (
            {"cores": 4},
            [Host("a", 8, queue="other"), Host("b", 2)],
            "4:ncpus=1:mpiprocs=1:ompthreads=1",
            "free",
        ),
        (
            {"cores": 4, "queue": "big@server"},
            [Host("a", 8, queue="big"), Host("b", 2)],
            "1:ncpus=4:mpiprocs=4:ompthreads=1",
            "pack",
        ),
        (
            {"cores": 4, "nodes": 2},
            [Host("a", 8)],
            "2:ncpus=2:mpiprocs=2:ompthreads=1",
            "scatter",
        ),
    ],
)
def test_cores_alone_are_one_chunk_if_they_fit_on_a_host(
    options: dict[str, Any], hosts: list[Host], select: str, place: str
) -> None:
    lines = header(hosts, **options)
    assert f"#PBS -l select={select}" in lines
    assert f"#PBS -l place={place}" in lines


def test_a_pools_job_of_several_nodes_has_as_much_on_each() -> None:
    shape = Resources(cores=6, nodes=3, memory=64, gpus=1, executor_type="process-pool")
    lines = scheduler(cores=1).header(JobRequest("job", "as:r1:7", shape, "/logs"))
    assert "#PBS -l select=3:ncpus=2:mpiprocs=1:ompthreads=1:mem=64mb:ngpus=1" in lines
    assert "#PBS -l place=scatter" in lines


def test_hosts_are_listed_only_if_a_request_depends_on_them() -> None:
    def asked(**options: Any) -> list[str] | None:
        return scheduler(**options).hosts_command(request(**options).resources)

    assert asked(cores=4) == ["pbsnodes", "-a", "-F", "json"]
    for options in ({"nodes": 1}, {"cores_per_node": 2}, {"gpus": 1}, {"executor_type": "loky"}):
        assert asked(cores=4, **options) is None


@given(st.integers(1, 500), st.integers(1, 64) | st.none(), st.integers(1, 64) | st.none())
def test_chunks_add_up_to_the_cores(cores: int, nodes: int | None, per: int | None) -> None:
    options = {"nodes": nodes, "cores_per_node": per}
    if nodes and per:
        cores = nodes * per
    if nodes and nodes > cores:
        with pytest.raises(InputError, match="each node needs a core"):
            header(cores=cores, **options)
        return
    (select,) = (x for x in header(cores=cores, **options) if "select" in x)
    chunks = [chunk.split(":") for chunk in select.partition("=")[2].split("+")]
    assert sum(int(n) * int(ncpus.partition("=")[2]) for n, ncpus, *_ in chunks) == cores
    if nodes:
        assert sum(int(n) for n, *_ in chunks) == nodes


def test_walltime_queue_and_options_of_the_site() -> None:
    lines = header(cores=1, walltime="2-01:00:05", queue="long", extra_scheduler=["-A account"])
    assert "#PBS -l walltime=49:00:05" in lines
    assert "#PBS -q long" in lines
    assert lines[-1] == "#PBS -A account"


def _captured_names() -> list[tuple[str, bool]]:
    """Names that a real qsub took (True) or refused."""
    text = (DATA / "qsub_job_names.txt").read_text()
    return [
        (name, rc == "0")
        for name, rc in re.findall(r"^qsub -N (\S+) +-> rc=(\d+)", text, re.MULTILINE)
        if "\\" not in name and "'" not in name and name != "--"
    ]


@pytest.mark.parametrize(("name", "good"), _captured_names())
def test_job_names_that_pbs_accepts_are_kept_and_others_changed(name: str, good: bool) -> None:
    (line,) = (x for x in scheduler().header(request(name)) if x.startswith("#PBS -N "))
    sent = line.removeprefix("#PBS -N ")
    assert re.fullmatch(r"[A-Za-z0-9_.+-]{1,230}", sent)
    assert not sent.startswith("-")
    if good:
        assert sent == name.lstrip("-")


@given(st.text())
def test_any_job_name_becomes_one_argument(name: str) -> None:
    (line,) = (x for x in scheduler().header(request(name)) if "-N" in x)
    assert re.fullmatch(r"#PBS -N [A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,229}", line)


# ------------------------------------------------------------------------ submit


def test_the_submit_command_does_not_change_paths() -> None:
    job = request(log_folder="/a b/$HOME;'x'/")
    assert scheduler().submit_command(job, Path("/a b/s.sh"), 1) == [
        *("qsub", "-v", "ADAPTIVE_SCHEDULER_TAG=as:r1:7"),
        *("-o", "/dev/null", "-e", "/dev/null", "/a b/s.sh"),
    ]
    assert scheduler().submit_command(job, Path("/s"), 5)[1:3] == ["-J", "0-4"]


def test_ids_of_one_job_and_of_an_array() -> None:
    parse = scheduler().parse_submit
    assert parse(qsub_result(0, "12.vm\n"), 1) == ["12.vm"]
    assert parse(qsub_result(0, "7[].pbs.site.org\n"), 2) == [
        "7[0].pbs.site.org",
        "7[1].pbs.site.org",
    ]
    late = qsub_result(
        0, "3.vm\n", "pbs_iff: cannot connect to host\npbs_iff: all reserved ports in use\n"
    )
    assert parse(late, 1) == ["3.vm"]


@pytest.mark.parametrize(
    ("result", "n"),
    [
        (qsub_result(0), 1),
        (qsub_result(0, "12.vm\n"), 2),
        (qsub_result(0, "12[].vm\n"), 1),
        (qsub_result(0, "Thank you for submitting\n"), 1),
        (qsub_result(-9), 1),
        (qsub_result(124), 1),
        (qsub_result(183, "", "qsub: Batch protocol error"), 1),
    ],
)
def test_a_submit_whose_result_is_unknown_is_not_a_refusal(result: CommandResult, n: int) -> None:
    with pytest.raises(NoObservation):
        scheduler().parse_submit(result, n)


def _captured_refusals() -> list[CommandResult]:
    """Every refused qsub of qsub_bad.txt, and the single captures."""
    text = (DATA / "qsub_bad.txt").read_text()
    blocks = re.findall(
        r"### (qsub [^\n]*)\nrc=(\d+)\nstdout: ([^\n]*)\nstderr: (.+?)(?=\n### |\n---)",
        text,
        re.DOTALL,
    )
    results = [CommandResult((argv,), int(rc), out, err) for argv, rc, out, err in blocks]
    return [result for result in results if result.rc != 0]


@pytest.mark.parametrize("result", _captured_refusals(), ids=lambda result: result.argv[0][:60])
def test_impossible_requests_are_reported_with_the_message_of_pbs(result: CommandResult) -> None:
    away = "cannot connect" in result.stderr or "Unknown Host" in result.stderr
    expected = Refusal.TOO_LONG if "-J 0-20000" in result.argv[0] else Refusal.IMPOSSIBLE
    assert scheduler().refusal(result) is (Refusal.BUSY if away else expected)
    with pytest.raises(SubmitRefusedError) as error:
        scheduler().parse_submit(result, 2)
    assert result.stderr.splitlines()[0] in str(error.value)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (qsub_result(38, "", "qsub: would exceed complex's per-user limit"), Refusal.LIMIT),
        (captured("qsub_queue_disabled"), Refusal.BUSY),
        (captured("qsub_over_walltime_max"), Refusal.IMPOSSIBLE),
        (captured("qsub_root_before_acl"), Refusal.IMPOSSIBLE),
        (
            qsub_result(162, "", "Connection refused\nqsub: cannot connect to server vm"),
            Refusal.BUSY,
        ),
        (qsub_result(171, "", "pbs_iff: all reserved ports in use"), Refusal.BUSY),
        (qsub_result(-15), Refusal.BUSY),
        (qsub_result(99, "", "qsub: rejected by a hook of the site"), Refusal.IMPOSSIBLE),
    ],
)
def test_refusals(result: CommandResult, expected: Refusal) -> None:
    assert scheduler().refusal(result) is expected


def test_an_array_longer_than_the_site_allows_names_the_remedy() -> None:
    result = qsub_result(3, "", "qsub: Array job exceeds server or queue size limit\n")
    with pytest.raises(SubmitRefusedError, match="max_array"):
        scheduler().parse_submit(result, 20000)


def test_usage_text_is_not_part_of_the_message() -> None:
    result = qsub_result(2, "", "qsub: illegal -N value\nusage: qsub [-a date_time] ...\n")
    with pytest.raises(SubmitRefusedError) as error:
        scheduler().parse_submit(result, 1)
    assert str(error.value) == "qsub: illegal -N value (exit status 2)"


# ------------------------------------------------------------------------- cancel


def test_one_id_for_each_qdel_and_neighbours_as_a_range() -> None:
    jobs = ["7[2].vm", "12.vm", "7[1].vm", "7[5].vm", "12.vm", "8[0].vm", "7[3].vm"]
    commands = scheduler().cancel_commands(jobs)
    assert commands == [["qdel", x] for x in ("12.vm", "7[1-3].vm", "7[5].vm", "8[0].vm")]
    assert scheduler().cancel_commands([]) == []


@given(st.sets(st.integers(0, 30)))
def test_ranges_contain_exactly_the_given_subjobs(indices: set[int]) -> None:
    found: list[int] = []
    for _, word in scheduler().cancel_commands([f"7[{index}].vm" for index in indices]):
        first, _, last = re.fullmatch(r"7\[(\d+)(-(\d+))?\]\.vm", word).group(1, 2, 3)
        found += range(int(first), int(last or first) + 1)
    assert sorted(found) == sorted(indices)


@pytest.mark.parametrize("rc", [0, 35, 153, 168, 55])
def test_cancelling_a_job_that_is_gone_is_no_error(rc: int) -> None:
    scheduler().parse_cancel(CommandResult(("qdel", "1.vm"), rc, "", "qdel: ..."))


@pytest.mark.parametrize("name", ["qdel_unknown", "qdel_other_user", "qdel_garbage"])
def test_captured_cancels(name: str) -> None:
    result = captured(name)
    if result.rc == 153:
        scheduler().parse_cancel(result)
        return
    with pytest.raises(SchedulerError, match=re.escape(result.stderr.strip())):
        scheduler().parse_cancel(result)


def test_a_cancel_without_a_server_is_an_error() -> None:
    with pytest.raises(SchedulerError, match="may still be there"):
        scheduler().parse_cancel(
            CommandResult(("qdel",), 162, "", "Couldn't connect to cluster: vm")
        )
