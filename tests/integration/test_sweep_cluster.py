"""`adaptive-scheduler sweep` in jobs: of the local batch system, and of a real Slurm."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.clusters.slurm import PrivateSlurm
from tests.integration.sweeps import HELD_TRAIN, PATIENCE, TEST, TRAIN, SweepWorld, wait_until

COMMANDS = f"template: {{train: '{TRAIN}', test: '{TEST}'}}\n"
HELD = f"template: {{train: '{HELD_TRAIN}', test: '{TEST}'}}\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepWorld:
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(tmp_path / "batch"))
    return SweepWorld(tmp_path)


def test_a_driver_that_is_killed_is_followed_by_the_next_and_jobs_go_on(world: SweepWorld) -> None:
    world.write(
        f"{HELD}resource: {{cores_per_task: 1, cores_per_node: 2}}\n"
        "job: {scheduler: local, max_cores: 2, max_jobs: 1, walltime: 1h}\n"
        f"---\n_title: one\nx: {list(range(6))}\ns: [1]"
    )
    with world.begun() as process:
        wait_until(lambda: "begin train 2" in world.ledger and world.codes().count(0) > 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
    refused = world.run("-t", "one", code=2)
    assert "a sweep without a title runs there (1 job), and its tasks may be those" in refused
    (world.home / "go").touch()
    printed = world.run()
    assert "12 commands to run" not in printed
    assert set(world.codes()) == {0}
    lines = Counter(world.ledger)
    assert set(lines.values()) == {1}, "no command has begun twice"
    assert len(lines) == 24

    # the same sweep on this machine submits no jobs; the manager of the last one is still there, and
    # sent its head away: then all commands failed, as no pool could hold them
    assert "12 commands succeeded" in world.run("-f", "--resource", "0", "1", "-y", here(world))
    jobs = list((world.output / ".adaptive-scheduler/all/db.tinydb.run/scripts").iterdir())
    assert len(jobs) == 1


def here(world: SweepWorld) -> str:
    """The file without what it says of jobs."""
    lines = (world.home / "params.yaml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("job:", "resource:"))]
    (world.home / "here.yaml").write_text("\n".join(kept).replace("s: [1]", "s: [0]"))
    return "here.yaml"


@pytest.mark.slurm
def test_on_slurm_a_killed_head_and_manager_cost_no_command(
    world: SweepWorld, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    world.write(f"{HELD}resource: [0, 1]\n---\nx: {list(range(10))}\ns: [0.5]")
    words = ("--scheduler", "slurm", "--walltime", "10m", "--max-jobs", "2", "-r", "", "")
    with world.begun(*words) as process:
        wait_until(lambda: sum(line.startswith("end train") for line in world.ledger) > 3)
        for victim in ("adaptive_scheduler.manager", "adaptive_scheduler.client"):
            killed = world.processes(victim)
            assert killed
            killed[0].kill()
        (world.home / "go").touch()
        assert process.wait(PATIENCE) == 0, world.printed
    assert set(world.codes()) == {0}
    lines = Counter(world.ledger)
    assert sum(lines[f"begin train {x}"] + lines[f"begin test {x}"] for x in range(10)) <= 24


#: What each of its processes writes: task, rank, and how many there are.
RANK = "echo {x} ${SLURM_PROCID:-$PMI_RANK} {_ranks} {_nodes} >> ledger"


@pytest.mark.slurm
def test_on_slurm_commands_over_two_nodes(
    world: SweepWorld, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ranks a command is started once, and starts what else it wants on its nodes."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    job = "job: {scheduler: slurm, walltime: 10m}\n"
    world.write(f"template: {{a: '{RANK}'}}\nresource: {{nodes: 2, nodes_per_task: 2, ranks_per_node: 2, "
                f"cores_per_task: 2}}\n{job}---\nx: [1, 2]")  # fmt: skip
    world.run()
    ranks = [f"{x} {rank} 4 2" for x in (1, 2) for rank in range(4)]
    assert sorted(world.ledger) == ranks
    (world.home / "ledger").unlink()
    world.write("template: {a: 'echo {x} >> ledger; srun -w {_hosts} -n 2 bash -c \"echo {x} of {_hosts} >> "
                f"ledger\"'}}\nresource: {{nodes: 2, nodes_per_task: 2}}\n{job}---\nx: 3")  # fmt: skip
    world.run()
    first, *others = world.ledger
    assert (first, len(set(others)), len(others)) == ("3", 1, 2)
    assert "," in others[0]


@pytest.mark.slurm
@pytest.mark.full
@pytest.mark.timeout(400)
def test_on_slurm_a_walltime_that_cuts_commands_loses_none(
    world: SweepWorld, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    world.write(f"{COMMANDS}---\nx: {list(range(8))}\ns: [25]")
    with world.begun(
        "--scheduler", "slurm", "--walltime", "1m", "--cores", "2", "--max-jobs", "2"
    ) as process:
        wait_until(lambda: world.ledger)
        assert process.wait(350) == 0, world.printed
    assert set(world.codes()) == {0}
    lines = Counter(world.ledger)
    assert all(lines[f"end train {x}"] == 1 for x in range(8))
