"""`adaptive-scheduler sweep` on this machine, with real processes."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from adaptive_scheduler.cli import app
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.runs.driver import pools
from adaptive_scheduler.runs.driver.start_run import has_manager
from adaptive_scheduler.scheduler import Here
from tests.integration.sweeps import HELD_TRAIN, PATIENCE, TEST, SweepWorld, interrupt, wait_until


@pytest.fixture
def world(tmp_path: Path) -> SweepWorld:
    return SweepWorld(tmp_path)


def test_fault_42_the_file_of_the_issue_from_the_first_run_to_a_changed_default(
    world: SweepWorld,
) -> None:
    (world.home / "train.py").write_text("import sys; print('train', *sys.argv[1:])")
    (world.home / "test.py").write_text("import sys; print('test', *sys.argv[1:])")
    text = """
template:
  train: python3 train.py {file} [lr] --out {_output} && echo ran {file} >> ledger
  test: python3 test.py {file} {wd}
resource: [0, 1]
default: {wd: 0.1}
---
file: [text.txt.0, text.txt.1]
lr: [0.1, 0.01]
"""
    world.write(text)
    printed = world.run("--dry-run")
    assert "python3 train.py text.txt.1 --lr 0.01 --out output/File_text.txt.1-Lr_0.01" in printed
    assert not world.output.exists()

    world.run()
    name = "File_text.txt.0-Lr_0.01"
    assert world.log(name, "train") == f"train text.txt.0 --lr 0.01 --out output/{name}\n"
    assert world.log(name, "test") == "test text.txt.0 0.1\n"
    param = json.loads((world.output / name / "param.json").read_text())
    assert {**param, "_commands": None, "_datetime": None} == {
        "wd": 0.1, "file": "text.txt.0", "lr": 0.01, "_name": name, "_output": f"output/{name}",
        "_commands": None, "_datetime": None,
    }  # fmt: skip
    assert param["_commands"]["test"] == "python3 test.py text.txt.0 0.1"
    assert re.fullmatch(r"\d{8}\.\d{6}", param["_datetime"])
    assert world.stat(name) == {"train": 0, "test": 0}
    assert (world.output / "params.yaml").read_text() == text

    assert "0 commands to run, 8 have succeeded" in world.run()
    (world.output / name / "stat.json").unlink()  # as if the folder had been deleted
    assert "2 commands to run, 6 have succeeded" in world.run()
    world.write(text.replace("wd: 0.1", "wd: 0.2"))  # only `test` has it
    printed = world.run()
    assert "4 commands to run, 4 have succeeded" in printed
    assert f"{name}: test is run again: wd: 0.1 -> 0.2" in printed
    assert len(world.ledger) == 5
    assert "8 commands succeeded" in world.run("-f", "-r", "0")


def test_fault_41_each_slot_has_its_gpus_and_its_log_for_the_whole_command(
    world: SweepWorld,
) -> None:
    # three begin, then three more: a slot that is slow gives its turn to no other
    turn = "$(( ($(grep -n x{x}x ledger | cut -d: -f1) + 2) / 3 * 3 ))"
    world.write(
        "template: {a: 'echo $CUDA_VISIBLE_DEVICES && echo x{x}x >> ledger && "
        f"until test $(wc -l < ledger) -ge {turn}; do sleep 0.05; done && "
        "echo $CUDA_VISIBLE_DEVICES {_gpus}'}\n"
        "resource: [0, '1,2', 0]\n---\nx: [1, 2, 3, 4, 5, 6]"
    )
    world.run()
    found = Counter(world.log(f"X_{x}", "a") for x in range(1, 7))
    assert found == {"0\n0 0\n": 4, "1,2\n1,2 1,2\n": 2}


def test_fault_38_40_what_fails_is_told_with_its_log_and_run_again(world: SweepWorld) -> None:
    world.write("""
template:
  train: "echo {x} >> ledger; case {x} in exit) echo the reason; exit 3;; signal) kill -9 $$;; \
time) sleep 60;; *) ;; esac; test -e mended || test {x} = good"
  test: echo test {x} >> ledger
timeout: {train: 5s}
---
x: [exit, signal, time, good]
""")
    printed = world.run(code=1)
    assert "3 failed, 3 not run after a failure" in printed
    assert "FAILED train of X_exit: ended with status 3" in printed
    assert "    the reason" in printed
    assert [world.stat(f"X_{x}") for x in ("exit", "signal", "time")] == [
        {"train": 1, "test": -1}
    ] * 3
    assert world.stat("X_good") == {"train": 0, "test": 0}
    assert sorted(world.ledger) == ["exit", "good", "signal", "test good", "time"]

    world.write(
        "template: {train: 'true {x}', test: 'echo test {x} >> ledger'}\n---\nx: [exit, good]"
    )
    assert "2 commands succeeded" in world.run("-c", "train")
    printed = world.run()
    assert "X_good: test is run again" not in printed
    assert world.stat("X_exit") == {"train": 0, "test": 0}


def test_fault_39_a_killed_command_is_run_again_and_what_it_left_is_gone(world: SweepWorld) -> None:
    world.write(
        "template: {a: 'echo begin >> ledger; test -e again || { setsid sleep 1234 & sleep 1235; }'}\n"
        "---\nx: 1"
    )
    with world.begun() as process:
        wait_until(lambda: len(world.processes("sleep 123")) == 3)  # and their shell
        left = world.processes("sleep 123")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert world.stat("X_1") == {"a": -1}
    (world.home / "again").touch()
    assert "1 command to run" in world.run()
    assert world.ledger == ["begin", "begin"]
    assert world.stat("X_1") == {"a": 0}
    assert not any(one.is_running() for one in left)


def test_a_killed_sweep_goes_on_with_other_slots_and_another_timeout(world: SweepWorld) -> None:
    text = (
        "template: {{a: 'echo $CUDA_VISIBLE_DEVICES >> ledger; test -e again || {{ touch sleeps; sleep 123; }}'}}\n"
        "{}\n---\nx: [1, 2]"
    )
    world.write(text.format("resource: [0]"))
    with world.begun() as process:
        wait_until((world.home / "sleeps").exists)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (world.home / "again").touch()
    world.write(text.format("resource: {cores_per_task: 1}\ntimeout: 1h"))
    assert "X_1: a is run again: its resources or its timeout have changed" in world.run()
    assert world.ledger == ["0", "", ""]
    assert set(world.codes()) == {0}


def test_ctrl_c_ends_programs_keeps_what_is_done_and_goes_on(world: SweepWorld) -> None:
    train = "echo begin train {x} >> ledger; test {x} -lt 4 || test -e again || sleep 600"
    world.write(f"template: {{train: '{train}', test: '{TEST}'}}\nresource: [0, 1]\n---\nx: [1, 2, 3]\n"
                "---\nx: [4, 5]")  # fmt: skip
    with world.begun() as process:
        # a slot may begin to train 4 and 5 before it tests 3: the test of 3 is then not done yet
        wait_until(lambda: {"begin train 4", "begin train 5"} <= set(world.ledger))
        wait_until(lambda: all(world.stat(f"X_{x}")["train"] == 0 for x in (1, 2, 3)))
        assert interrupt(process) == 130
    (world.home / "again").touch()
    assert "To go on, run the same command again" in world.printed
    assert world.processes("sleep") == []
    before = Counter(world.ledger)
    world.run()
    new = Counter(world.ledger) - before
    trained = {line for line in new if line.startswith("begin train")}
    assert trained == {"begin train 4", "begin train 5"}
    assert set(world.codes()) == {0}


@pytest.mark.parametrize("victim", ["adaptive_scheduler.manager", "head.head", "node.agent"])
def test_fault_44_a_killed_process_of_ours_costs_no_command(world: SweepWorld, victim: str) -> None:
    world.write(f"template: {{train: '{HELD_TRAIN}', test: '{TEST}'}}\nresource: [0, 1]\n---\n"
                f"x: {list(range(8))}\ns: [0.3]")  # fmt: skip
    with world.begun() as process:
        wait_until(lambda: sum(line.startswith("end train") for line in world.ledger) == 4)
        killed = world.processes(victim)
        assert killed
        for one in killed:
            with suppress(psutil.NoSuchProcess):  # a fork that was about to become another program
                one.kill()
        (world.home / "go").touch()
        assert process.wait(PATIENCE) == 0, world.printed
    assert set(world.codes()) == {0}
    lines = Counter(world.ledger)
    assert sum(lines[f"begin train {x}"] for x in range(8)) <= 10


def test_a_folder_that_vanishes_costs_no_other_task(world: SweepWorld) -> None:
    world.write(
        "template: {a: 'test {x} != 1 || rm -r {_output}', b: 'echo {x}'}\n---\nx: [1, 2, 3]"
    )
    printed = world.run(code=1)
    assert "X_1/stat.json: No such file or directory" in printed
    assert [world.stat(f"X_{x}") for x in (2, 3)] == [{"a": 0, "b": 0}] * 2


def test_two_titles_run_at_once_and_one_title_once(world: SweepWorld) -> None:
    waits = "echo begin {x} >> ledger && until test -e go; do sleep 0.05; done"
    world.write(f"template: {{train: '{waits}'}}\nresource: [0]\n---\n_title: one\nx: [1, 2]\n"
                "---\n_title: two\nx: [3, 4]")  # fmt: skip
    with world.begun("-t", "one") as first, world.begun("-t", "two") as second:
        wait_until(lambda: {"begin 1", "begin 3"} <= set(world.ledger))
        refused = world.run("-t", "one", code=2)
        assert f"runs already (process {first.pid} on" in refused
        refused = world.run(code=2)
        assert f"a sweep of the title one runs there (process {first.pid} on" in refused
        assert "another folder: -o" in refused
        (world.home / "go").touch()
        assert (first.wait(PATIENCE), second.wait(PATIENCE)) == (0, 0), world.printed
    assert "0 commands to run, 4 have succeeded before" in world.run()
    assert sorted(path.name for path in world.output.glob("params.yaml*")) == [
        "params.yaml", "params.yaml.one", "params.yaml.two"
    ]  # fmt: skip


def test_a_title_is_refused_while_one_runs_that_has_a_task_of_it(world: SweepWorld) -> None:
    """Both ran it, at the same time and in the same folder."""
    world.write("template: {a: 'echo {x} >> ledger && until test -e go; do sleep 0.05; done'}\n---\n"
                "_title: one\nx: [1, 2]\n---\n_title: two\nx: [2, 3]\n---\n_title: three\nx: 4")  # fmt: skip
    with world.begun("-t", "one") as first:
        wait_until(lambda: world.ledger)
        refused = world.run("-t", "two", code=2)
        assert f"a sweep of the title one runs there (process {first.pid} on" in refused
        assert "has 1 task of this one, such as X_2. Wait for its end" in refused
        (world.home / "go").touch()
        assert "1 command succeeded" in world.run("-t", "three")
        assert first.wait(PATIENCE) == 0, world.printed
    assert "1 command to run, 1 have succeeded before" in world.run("-t", "two")
    assert sorted(world.ledger) == ["1", "2", "3", "4"]


def test_a_title_is_refused_while_all_titles_run(world: SweepWorld) -> None:
    """Its tasks ran twice at a time, in the same folders."""
    world.write("template: {a: 'echo {x} >> ledger && until test -e go; do sleep 0.05; done'}\n---\n"
                "_title: one\nx: 1")  # fmt: skip
    with world.begun() as first:
        wait_until(lambda: world.ledger)
        refused = world.run("-t", "one", code=2)
        assert f"a sweep without a title runs there (process {first.pid} on" in refused
        (world.home / "go").touch()
        assert first.wait(PATIENCE) == 0, world.printed
    assert world.ledger == ["1"]
    assert "0 commands to run, 1 have succeeded before" in world.run("-t", "one")


def test_debug_shows_the_first_task_and_chosen_commands_warn(world: SweepWorld) -> None:
    world.write(
        "template: {train: 'echo trained {x}; echo error >&2', test: 'echo tested {x}'}\n---\nx: [1, 2]"
    )
    printed = world.run("-d")
    assert "trained 1\nerror\ntested 1\n" in printed
    assert "trained 2" not in printed
    printed = world.run("-c", "test", "train", "-d")
    assert "trained 1\nerror\ntested 1\n" in printed
    printed = world.run("-c", "test")
    assert "X_2: train, which comes before, has not succeeded" in printed
    assert "X_1: train, which comes before" not in printed
    assert world.stat("X_2") == {"test": 0}


def test_fault_43_45_a_sample_is_written_down_and_files_without_folders_bear_the_name(
    world: SweepWorld,
) -> None:
    world.write("template: {a: 'echo {x} {_output}'}\n---\nx: [1, 2, 3, 4, 5, 6]")
    printed = world.run("--sample", "2", "--seed", "5", "--no-subdir")
    assert "drawn by --seed 5" in printed
    record = json.loads((world.output / ".adaptive-scheduler/all/sweep.json").read_text())
    assert (record["sample"], record["seed"]) == (2, 5)
    names = sorted(path.name for path in world.output.iterdir())
    assert len(names) == 1 + 1 + 3 * 2
    (first, _) = [name.removesuffix(".json") for name in names if name.startswith("stat.")]
    task = first.removeprefix("stat.")
    assert f"param.{task}.json" in names
    (log,) = world.output.glob(f"log.a.*.{task}")
    assert log.read_text() == f"{task.removeprefix('X_')} output\n"
    assert "0 commands to run, 2 have" in world.run(
        "--sample", "2", "--seed", "5", "--no-param-dir"
    )


def test_another_machine_joins_with_slots_of_its_own(world: SweepWorld) -> None:
    world.write("template: {a: 'true {x}'}\n---\nx: 1")
    assert "no sweep runs there" in world.run("--join", "output", code=2)
    waits = "until test $(wc -l < ledger) -ge 3; do sleep 0.1; done"  # for all three slots
    world.write(
        f"template: {{a: 'echo $CUDA_VISIBLE_DEVICES >> ledger; {waits}'}}\nresource: [0]\n---\n"
        f"x: {list(range(12))}"
    )
    with world.begun() as first:
        wait_until(lambda: world.ledger)
        dry = world.run("--join", "output", "-r", "7", "--dry-run")
        assert "Nothing is changed. Without --dry-run: Commands of" in dry
        assert "run here too, in 1 slot." in dry
        assert "run here too, in 2 slots" in world.run("--join", "output", "-r", "8", "9")
        assert first.wait(PATIENCE) == 0
    assert set(world.ledger) == {"0", "8", "9"}
    assert len(world.ledger) == 12


def test_who_joins_has_the_slots_that_the_sweep_was_started_with(world: SweepWorld) -> None:
    """Without ``-r`` it had no GPU, said that commands run there, and got none."""
    waits = "until test $(wc -l < ledger) -ge 4; do sleep 0.1; done"  # for the slots of both
    world.write(f"template: {{a: 'echo {{x}} >> ledger; {waits}'}}\n---\nx: {list(range(8))}")
    with world.begun("-r", "0", "1") as first:
        wait_until(lambda: world.ledger)
        assert "run here too, in 2 slots" in world.run("--join", "output")
        assert first.wait(PATIENCE) == 0
    assert len(world.ledger) == 8


def test_a_machine_that_comes_too_late_leaves_again(
    world: SweepWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("template: {a: 'true {x}'}\n---\nx: 1")
    world.run()
    run = RunFolder(world.output / ".adaptive-scheduler" / "all")
    wait_until(lambda: not has_manager(run))
    monkeypatch.setattr(pools, "LOOK", 0.2)
    assert pools.serve_run(run, Here(1)) == 0


@pytest.mark.parametrize(
    ("text", "args", "words"),
    [
        ("- 1", (), "must be a mapping"),
        ("{", (), "params.yaml, line 1, column 2 is no YAML"),
        ("temlate: {a: b}\n---\nx: 1", (), "Did you mean template?"),
        ("resource: [0]\n---\nx: 1", (), "there is no command"),
        ("template: {a: 'b {x}'}\n---\nx: []", (), "x is an empty list"),
        ("template: {a: 'b {y}'}\n---\nx: 1", (), "{y} has no value"),
        ("template: {a: b}\nresource: {gpu: 1}\n---\nx: 1", (), "resource: there is no gpu."),
        ("template: {a: b}\n---\nx: 1", ("-c", "c"), "--command: there is no command c."),
        ("template: {a: b}\n---\nx: 1", ("-t", "c"), "no document has a _title"),
        ("template: {a: b}\n---\nx: 1", ("-y", "none.yaml"), "none.yaml cannot be read"),
        ("template: {a: b}\n---\nx: 1", ("--walltime", "1h"), "without a scheduler there are no jobs"),
        ("template: {a: b}\njob: {wall: 1}\n---\nx: 1", (), "job: there is no wall"),
        (
            "template: {a: b}\nresource: {cores_per_task: 4}\njob: {scheduler: local, cores: 2}\n---\nx: 1",
            (), "none could ever begin",
        ),
        (
            "template: {a: b}\nresource: {memory_per_task: 9TB}\n---\nx: 1",
            (), "this machine has",
        ),
        ("template: {a: b}\n---\nx: 1", ("-o", "params.yaml/out"), "is no folder. Give another one"),
        ("template: {a: b}\n---\nx: 1", ("-r", "0", "1,"), "has an empty number"),
        ("template: {a: b}\njob: {log_foldr: x}\n---\nx: 1", (), "Did you mean `log_folder`?"),
        ("template: {a: b}\nresource: {gpu: 1}\n---\nx: 1", (), "`cores_per_node`, `gpus_per_node`"),
        ("template: {a: 'b {x}'}\n---\nx: " + "a" * 200_000, (), "Linux starts no program"),
    ],
)  # fmt: skip
def test_bad_input_starts_nothing(
    world: SweepWorld, monkeypatch: pytest.MonkeyPatch, text: str, args: tuple[str, ...], words: str
) -> None:
    world.write(text)
    monkeypatch.chdir(world.home)
    done = CliRunner().invoke(app, ["sweep", *args])
    assert (done.exit_code, words in done.output) == (2, True), done.output
    assert not world.output.exists()
