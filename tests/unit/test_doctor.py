"""What `doctor` makes of what was observed: pure verdicts, and the table that they take their words from."""

from __future__ import annotations

import errno
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from adaptive_scheduler.core.doctor import folders, jobs, machine, refusals, runs
from adaptive_scheduler.core.doctor.findings import (
    Finding,
    Level,
    as_json_value,
    count_by_level,
    exit_is_good,
    fine,
    merge,
    wrong,
)
from adaptive_scheduler.core.doctor.observations import (
    Attempt,
    Exchange,
    FileSeen,
    FolderSeen,
    HostSeen,
    LauncherSeen,
    LockSeen,
    NodeReport,
    UrlTried,
)
from adaptive_scheduler.core.doctor.table import CHECKS, FAULTS
from adaptive_scheduler.runs.doctor import guard
from docs import doctor as page

ROOT = Path(__file__).resolve().parents[2]


# ------------------------------------------------------------------ the table


def test_the_page_has_the_table_of_today() -> None:
    text = page.DOCUMENT.read_text()
    assert page.tables() in text, "run: python -m docs.doctor"
    assert page.looked_at() in text, "run: python -m docs.doctor"


def test_each_fault_is_brought_about_by_a_test_that_names_it() -> None:
    paths = [*ROOT.glob("tests/faces/test_doctor_*.py"), ROOT / "tests/integration/test_login_profile.py"]  # fmt: skip
    texts = "".join(path.read_text() for path in paths)
    assert [name for name in FAULTS if f'"{name}"' not in texts] == []
    assert len(FAULTS) > 20


def test_each_fault_has_a_check_a_level_and_a_remedy() -> None:
    for name, fault in FAULTS.items():
        assert fault.check in CHECKS, name
        assert fault.level in ("fault", "warning"), name
        assert fault.remedy, name
        facts = dict.fromkeys(re.findall(r"{(\w+)", fault.sentence + fault.remedy), 8)
        assert wrong(name, **facts).remedy


# ------------------------------------------------------------------ findings


def test_of_several_results_for_one_thing_the_failed_ones_count() -> None:
    good, bad = fine("workers", "2 workers"), wrong("mpi-world", words="worlds of 1")
    other = fine("python", "3.11")
    assert merge([good, bad, good, other, bad]) == [bad, other]
    assert merge([good, good]) == [good]


def test_warnings_do_not_count_and_what_nobody_knows_does() -> None:
    warning = wrong("clock-skew", node="n1", seconds=9.0, direction="ahead of")
    assert exit_is_good([warning, fine("host", "")])
    assert not exit_is_good([Finding("host", Level.UNKNOWN)])
    found = [
        warning,
        fine("host", ""),
        fine("job", ""),
        wrong("quota", folder="/d", host="h", why=""),
    ]
    assert list(count_by_level(found).items()) == [
        (Level.FAULT, 1), (Level.WARNING, 1), (Level.OK, 2),
    ]  # fmt: skip


def test_json_says_what_it_is() -> None:
    value = as_json_value([wrong("no-batch-system")])
    assert (value["schema_version"], value["ok"]) == (1, False)
    (one,) = value["checks"]  # type: ignore[misc]
    documented = set(re.findall(r"`checks\[\]\.(\w+)`", page.DOCUMENT.read_text()))
    assert set(one) == documented


def test_a_check_that_hangs_or_breaks_says_so_and_the_others_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = threading.Event()
    seconds = {"folder": 0.5, "host": 60.0, "profile": 60.0}
    limits = {name: replace(CHECKS[name], seconds=limit) for name, limit in seconds.items()}
    monkeypatch.setattr(guard, "CHECKS", limits)

    def hangs() -> Finding:
        end.wait()
        return fine("folder", "")

    def breaks() -> Finding:
        raise OSError(errno.EIO, "Input/output error")

    attempts = {"folder": hangs, "host": breaks, "profile": lambda: fine("profile", "")}
    found = guard.make_checks(attempts)
    end.set()
    assert [one.check for one in found] == ["folder", "host", "profile"]
    assert [one.level for one in found] == [Level.UNKNOWN, Level.UNKNOWN, Level.OK]
    assert "does not end" in found[0].found
    assert "Input/output error" in found[1].found


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified", "wrong-account"),
        ("allocation failure: Invalid qos specification", "wrong-qos"),
        ("allocation failure: Invalid partition name specified", "wrong-partition"),
        ("qsub: Unknown queue", "wrong-partition"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "walltime-too-long"),
        ("Job violates queue and/or server resource limits: walltime", "walltime-too-long"),
        ("sbatch: error: Munge encode failed: Failed to access", "munge-down"),
        ("qsub: Job violates queue and/or server resource limits", "over-limits"),
        ("qsub: would exceed queue workq's per-user limit", "too-many-jobs"),
        ("qsub: Maximum number of jobs already in queue workq", "too-many-jobs"),
        ("qsub: Access to queue is denied", "wrong-partition"),
        ("qsub: Bad UID for job execution", "user-refused"),
        ("the moon is full", "request-refused"),
    ],
)  # fmt: skip
def test_what_a_batch_system_says(words: str, fault: str) -> None:
    assert refusals.judge_refusal(words, "request").fault == fault


def test_a_reason_of_the_queue_that_is_known_has_its_own_remedy() -> None:
    known = refusals.judge_wait("PENDING PartitionTimeLimit", "PartitionTimeLimit", "shorter")
    assert known is not None
    assert known.fault == "walltime-too-long"
    other = refusals.judge_wait("PENDING BadConstraints", "BadConstraints", "no node has it")
    assert other is not None
    assert (other.fault, "no node has it" in other.remedy) == ("job-never-starts", True)


def test_a_queue_that_is_stopped_is_told_at_once_and_what_may_start_is_waited_for() -> None:
    for reason in ("Not Running: Queue not started.", "PartitionInactive"):
        stopped = refusals.judge_wait(f"Q {reason}", reason, "")
        assert stopped is not None
        assert (stopped.fault, reason in stopped.found) == ("queue-stopped", True)
    assert refusals.judge_wait("PENDING Priority", "Priority", "") is None


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (FolderSeen("/d", "h", "write", errno.ENOSPC, "full", 0, 100), "no-room"),
        (FolderSeen("/d", "h", "write", errno.ENOSPC, "full", 10**9, 0), "no-inodes"),
        (FolderSeen("/d", "h", "lock", errno.EDQUOT, "quota", 10**9, 9), "quota"),
        (FolderSeen("/d", "h", "write", errno.EACCES, "no", 10**9, 9), "folder-unwritable"),
        (FolderSeen("/d", "h", "lock", errno.EOPNOTSUPP, "no", 10**9, 9), "locks-fail"),
        (FolderSeen("/d", "h", free=10**6), "little-room"),
        (FolderSeen("/d", "h", free=None), ""),
    ],
)
def test_what_the_error_of_a_folder_means(seen: FolderSeen, fault: str) -> None:
    (found,) = folders.judge_folders("folder", [seen])
    assert found.fault == fault


def test_limits_of_a_host() -> None:
    assert machine.judge_host(HostSeen(None, None, ""))[0].ok
    two = machine.judge_host(HostSeen(600.0, 256, "/etc/systemd/logind.conf"))
    assert [one.fault for one in two] == ["daemons-killed", "cpu-time-limited", "few-files"]


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (LauncherSeen("mpiexec", "HYDRA build details:", "MPICH Version: 5.0"), ""),
        (LauncherSeen("mpiexec", "Intel(R) MPI Library for Linux", "MPICH Version: 5.0"), ""),
        (LauncherSeen("mpirun", "mpirun (Open MPI) 4.1.4", "MPICH Version: 5.0"), "mpi-families-differ"),
        (LauncherSeen("mpiexec", "HYDRA", "Open MPI v5.0.3"), "mpi-families-differ"),
        (LauncherSeen("mpiexec", "something unknown", "Open MPI v5.0.3"), ""),
        (LauncherSeen("mpiexec", None, "MPICH"), "launcher-missing"),
        (LauncherSeen("srun", "", "MPICH", "pmix", ["none", "pmi2"]), "mpi-plugin-missing"),
        (LauncherSeen("srun", "", "MPICH", "pmix", ["none", "pmix_v4"]), ""),
        (LauncherSeen("srun", "", "MPICH", "pmix", []), ""),
    ],
)  # fmt: skip
def test_families_of_mpi(seen: LauncherSeen, fault: str) -> None:
    (found,) = machine.judge_launcher(seen)
    assert found.fault == fault


@pytest.mark.parametrize(
    ("there", "ahead"),
    [
        (Exchange(100.0, 100.2), 0.0),  # within what question and answer took
        (Exchange(160.0, 160.2), 59.9),
        (Exchange(40.0, 40.2), -59.8),
    ],
)
def test_how_far_a_clock_is_ahead(there: Exchange, ahead: float) -> None:
    assert jobs.skew(there, Exchange(100.0, 100.1)) == pytest.approx(ahead)


@pytest.mark.parametrize(
    ("outcomes", "fault"),
    [
        (("answered", "answered"), ""),
        (("silent", "answered"), "wrong-interface"),
        (("silent", "unreachable"), "firewall"),
        (("mute",), "firewall"),
        (("refused", "unreachable"), "port-refused"),
        (("unreachable", "unreachable"), "manager-unreachable"),
    ],
)
def test_ways_back_to_the_manager(outcomes: tuple[str, ...], fault: str) -> None:
    tried = [UrlTried(f"tcp://10.0.0.{n}:50000", one) for n, one in enumerate(outcomes)]
    (found,) = jobs.judge_urls("n1", tried)
    assert found.fault == fault


def test_reports_of_an_mpi_world_that_fell_apart_become_one_finding() -> None:
    broken = Attempt(kind="EnvironmentMismatchError", words="an MPI world of 1")
    reports = [
        NodeReport(
            "n1", str(n), "learner", Attempt("3.11"), broken, [UrlTried("u", "answered")], []
        )
        for n in range(4)
    ]
    found = jobs.judge_reports(reports, {})
    assert [one.fault for one in found] == ["", "mpi-world", "", ""]


@pytest.mark.parametrize(
    ("output", "cause", "fault"),
    [
        (None, "failed", "folder-unseen"),
        (None, "completed", "profile-ends-job"),
        ("", "completed", "profile-ends-job"),
        ("bash: line 9: /opt/py/bin/python: No such file or directory", "failed", "python-missing"),
        ("ModuleNotFoundError: No module named 'adaptive'", "failed", "package-missing"),
        ("check_MPIR_CVAR_PMI_VERSION(167):  Runtime environment uses unsupported PMI version PMIx. Aborting.", "failed", "mpi-world"),
        ("[adaptive_scheduler] Another Python: Python 3.9 (/usr/bin/python3) in place of 3.11\nImportError: x", "failed", "other-python"),
        ("x.sh: line 9: mpiexec: command not found", "failed", "launcher-missing-there"),
        ("Killed", "out_of_memory", "job-died"),
    ],
)  # fmt: skip
def test_how_a_job_died(output: str | None, cause: str, fault: str) -> None:
    assert jobs.judge_death("7", output, cause, "/opt/py/bin/python", "/logs").fault == fault


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (LockSeen(("h", 5), True, "h", [5], False), ""),
        (LockSeen(("other", 5), True, "h", [], False), ""),
        (LockSeen(("h", 5), True, "h", [5, 6], False), "another-manager"),
        (LockSeen(("other", 5), True, "h", [5], False), "another-manager"),
        (LockSeen(("other", 5), False, "h", [], False), "stale-lock"),
        (LockSeen(None, False, "h", [], False), "no-manager"),
        (LockSeen(None, False, "h", [], True), ""),
    ],
)
def test_who_holds_the_lock(seen: LockSeen, fault: str) -> None:
    assert runs.judge_lock(seen, "run").fault == fault


def test_keys_that_others_may_read_or_own() -> None:
    seen = [FileSeen("/r/a b", 7, 0o640), FileSeen("/r/k", 8, 0o600), FileSeen("/r/m", -1, None)]
    found = runs.judge_files(seen, 7)
    assert [one.fault for one in found] == ["keys-open", "keys-foreign", "keys-missing"]
    assert "chmod 600 '/r/a b'" in found[0].remedy
