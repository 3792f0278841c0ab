"""Bugs that the simulator must find: ``python -m tests.plants``.

Each is planted into the code that production runs, as a process of its own imports it, and
histories are simulated until one breaks a promise. The first twenty are those that were asked for;
the others show whether the simulator finds what nobody thought of when it was written.

A plant is a name and one or more `Change`s (see tests/planting.py); CONTRIBUTING.md says how to
add one.
"""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.planting import ROOT, Change, PlantError, install, planted
from tests.task_plants import TASK_PLANTS

#: Histories after which a bug counts as not found; CPU seconds are what they cost.
MOST = 3000


class Plant:
    """A bug: the changes that make it, and a name that says what is wrong then."""

    def __init__(self, name: str, *changes: Change, of_tasks: bool = False) -> None:
        self.name = name
        self.changes = changes
        self.of_tasks = of_tasks  # looked for in histories of tasks


#: Jobs that hold an item and sent a heartbeat in time never reach `reconcile`: what it does with
#: them shows only without this.
JUDGE_ALL_JOBS = Change("JobTable.to_judge", "operation holders lease", "False")


ASKED = (
    Plant("token not compared", Change("step", "test is_fenced token", "False")),
    Plant(
        "token not renewed on re-claim",
        Change("rows.items:_claim", "keyword token", "item.token or event.token"),
    ),
    Plant(
        "reply before commit",
        Change(
            "Dispatcher.step", "statement commit",
            "for connection, number, reply in replies:\n"
            "    if reply is not None:\n"
            "        outside.send(connection, encode_reply(number, reply))\n"
            "replies.clear()\n"
            "IT",
        ),
    ),
    Plant("fsync dropped", Change("Appender.sync", "statement fsync")),
    Plant("torn tail kept", Change("Database._load", "statement remove_torn_line")),
    Plant(
        "checkpoint loses the segment written meanwhile",
        Change("write_checkpoint", "call _remove > name old", "journal.segments(folder)"),
    ),
    Plant(
        "heartbeat ignored",
        Change(
            "DatabaseManager.renew_lease", "statement on_heartbeat",
            "if known is not None and isinstance(request, Beat):\n    return known\nIT",
        ),
    ),
    Plant(
        "lease judged by wall clock",
        Change("Dispatcher.now", "name monotonic", "self._clock.time"),
    ),
    Plant(
        "empty listing believed",
        Change("_is_gone", "return lease_out", "return True"), JUDGE_ALL_JOBS,
    ),
    Plant(
        "requeued job believed new",
        Change(
            "ItemTable.claim", "test held", "IT and self.rows[held].owner.restart == owner.restart"
        ),
    ),
    Plant("finish not idempotent", Change("TRANSITIONS", "entry DONE Finished")),
    Plant("claim not idempotent", Change("_claim_again", "test owner -job -life", "False")),
    Plant(
        "late duplicate claim gives a second item",
        Change("DatabaseManager.handle", "test last None", "IT and number == last[0]"),
    ),
    Plant("array index lost", Change("slurm.scheduler:_listed", "keyword id > test is_task", "False")),
    Plant(
        "max_jobs off by one",
        Change("_balance", "name max_jobs", "IT + 1"),
    ),
    Plant(
        "timed-out submit repeated",
        Change(
            "system.submit:submit", "return SubmitUnknown is_limit",
            "return NotSubmitted(Refusal.BUSY, '')",
        ),
    ),
    Plant("priority ties reversed", Change("rank_of", "name id", "-IT")),
    Plant(
        "dependency on FAILED ignored",
        Change("effect_on_dependant", "test _NEVER_DONE", "False"),
    ),
    Plant("crash not counted", Change("decide_after_loss", "operation crashes crash", "item.crashes")),
    Plant(
        "cancel of a RUNNING job",
        Change("_takers", "test is_silent > operation holders", "False"), JUDGE_ALL_JOBS,
    ),
)  # fmt: skip

MORE = (
    Plant(
        "a stale token lets go",
        Change("DatabaseManager._check_token", "operation token RUNNING > operation token", "False"),
    ),
    Plant(
        "an old life is heard",
        Change("TrackedJob.refuse_other", "test life -goodbye", "IT and owner.restart >= known.restart"),
        Change("TrackedJob.refuse_other", "test life goodbye > operation life", "IT or owner.life < known.life"),
    ),
    Plant(
        "two clients of one job both welcome",
        Change("TrackedJob.refuse_other", "test life goodbye > operation life", "owner.life >= known.life"),
    ),
    Plant(
        "lease renewed by the answer, not the question",
        Change(
            "Session._beat_answered", "statement _lease_from _token refusal -inf",
            "if self._token:\n    self._lease_from = self._last_answer",
        ),
    ),
    Plant(
        "lease of a claim counts from its last try",
        Change("Session.answered", "call _take_item > name first_sent", "sending.at"),
    ),
    Plant(
        "no heartbeats while working",
        Change("Session.answered", "operation beat", "math.inf"),
    ),
    Plant(
        "a mute job is dead after one listing",
        Change("_is_gone", "return absences grace > operation 2", "job.absences >= 1"),
    ),
    Plant(
        "a mute job is dead at once",
        Change("_is_gone", "return absences grace > operation known_since grace", "True"),
    ),
    Plant(
        "a lost submit forgotten at once",
        Change("_never_arrived", "return absences", "return submit.absences >= 1"),
    ),
    Plant(
        "unknown submits do not count",
        Change("_balance", "call total", "0"),
    ),
    Plant(
        "jobs at work take no room",
        Change("_balance", "name at_work", "0"),
    ),
    Plant(
        "a refused finish is given the next item",
        Change("DatabaseManager._finish", "test claims", "request.claims"),
    ),
    Plant(
        "who holds an item is at work, heard or not",
        Change("JobTable.to_judge", "operation lease last_heard -holds -holders", "True"),
    ),
    Plant(
        "a submit is sent before it is noted",
        Change(
            "Dispatcher.step", "statement commit",
            "while self.jobs.submits and self._commands:\n"
            "    outside.send_command(self._commands.pop(0))\nIT",
        ),
    ),
    Plant(
        "answers although nothing is durable",
        Change("Dispatcher.step", "test reply > name is_durable", "True"),
    ),
    Plant(
        "commit forgets what a full disk refused",
        Change(
            "JournalWriter.commit", "statement append",
            "data = b'\\n'.join(self.buffer) + b'\\n'\nself.buffer.clear()\n"
            "self._appender.append(data)",
        ),
    ),
    Plant("what was read is not synced", Change("Database._load", "statement sync_file -suppress")),
    Plant(
        "the new segment's name is not synced",
        Change("JournalWriter._begin", "statement sync_folder"),
    ),
    Plant(
        "checkpoint removes segments before the file is written",
        Change("write_checkpoint", "statement write", "_remove(folder, old)\nIT"),
    ),
    Plant(
        "checkpoint goes on for a dead manager", Change("write_checkpoint", "test getppid", "False")
    ),
    Plant(
        "who has left is given work", Change("DatabaseManager.renew_lease", "test has_left", "False")
    ),
    Plant(
        "the file is renamed before it is synced", Change("write_durably", "statement fsync -write_all")
    ),
    Plant(
        "a second life does not take over",
        Change(
            "_claim_again", "operation life -job", "event.owner.life != item.owner.life"
        ),
    ),
    Plant(
        "a requeue counts as a crash",
        Change("_claim_again", "operation restart", "True"),
    ),
    Plant(
        "fails never use up their budget",
        Change("decide_after_failure", "operation fails max_fails -is_last", "fails > budget.max_fails + 1"),
    ),
    Plant(
        "one failure too few",
        Change(
            "decide_after_failure", "operation fails max_fails -is_last", "fails >= max(1, budget.max_fails)"
        ),
    ),
    Plant(
        "a child is freed by its first parent",
        Change("Dependencies.__init__", "name sum", "any"),
    ),
    Plant(
        "a delayed item is never woken",
        Change("DelayedItems.due", "test until get -0.0", "False"),
    ),
    Plant(
        "an item that raised is free at once",
        Change("ItemTable._enter", "test _delayed", "True"),
    ),
    Plant(
        "a job that is being cancelled gets work",
        Change("DatabaseManager._claim", "test being_cancelled", "False"),
    ),
    Plant(
        "leases of a former manager are over",
        Change(
            "TrackedJob.start", "call cls",
            "cls(record, now, now - 3600, was_heard=record.owner is not None)",
        ),
    ),
    Plant(
        "jobs that a row names are not watched",
        Change("storage.row_codec:_state_of", "statement watch", "pass"),
    ),
    Plant(
        "a cut listing is believed",
        Change(
            "slurm.scheduler:_listed", "statement COLUMNS NoObservation",
            "fields += [''] * (len(COLUMNS) - len(fields))\nif not fields[0].isdigit():\n"
            "    raise NoObservation(row)",
        ),
    ),
    Plant(
        "a complaint is an empty queue",
        Change("SLURM.parse_queue", "test stdout stderr", "False"),
    ),
    Plant(
        "a failed squeue is an empty queue",
        Change("SLURM.parse_queue", "test rc", "result.rc > 0 and result.stdout"),
    ),
    Plant(
        "a socket's timeout is a refusal",
        Change("SLURM.parse_submit", "test RESULT_UNKNOWN", "False"),
    ),
    Plant(
        "silent jobs are cancelled after the lease",
        Change("_is_silent_for_too_long", "name patience", "0"),
    ),
    Plant(
        "a suspended job is over",
        Change("slurm.states:ENDINGS", "value", "{**IT, 'SUSPENDED': 'failed'}"),
    ),
    Plant(
        "jobs of other runs are ours",
        Change("submit_number", "test run > operation run -3", "parts[0] != 'as'"),
    ),
    Plant(
        "a job that comes back is not noticed",
        Change("JobTable._find", "statement _track", "return None"),
    ),
)  # fmt: skip


#: Bugs that histories of tasks must find.
TASKS = tuple(Plant(name, *changes, of_tasks=True) for name, changes in TASK_PLANTS)


@dataclass(frozen=True)
class Found:
    """How a plant fared: `seed` -1 if it was not found."""

    plant: Plant
    seed: int
    histories: int
    seconds: float
    cpu: float
    violation: str


#: What a plant that does not fit the code any more dies of; no promise is broken by these.
BROKEN_PLANT = ("NameError", "UnboundLocalError", "AttributeError", "ImportError", "SyntaxError")


def named(name: str) -> Plant:
    """The plant of this name."""
    found = [one for one in (*ASKED, *MORE, *TASKS) if one.name == name]
    if not found:
        raise PlantError(f"no plant is named {name!r}")
    return found[0]


def simulate_with(trees: dict[str, ast.Module], first: int, end: int, of_tasks: int) -> None:
    """Simulate histories with changed modules, in this process, and print what became of it."""
    install(trees)
    from tests.simulate import simulate, simulate_tasks

    tally = (simulate_tasks if of_tasks else simulate)(range(first, end), first_only=True)
    unused = trees.keys() - sys.modules.keys()
    if unused:
        raise PlantError(f"the simulator does not import {', '.join(sorted(unused))}")
    for seed, violation in tally.violations:
        if violation.startswith(BROKEN_PLANT):
            raise PlantError(f"its code breaks of itself: {violation}")
        print("FOUND", seed, violation.splitlines()[0])
    print("CPU", tally.seconds)


#: Of the process that simulates: the changed modules come from standard input.
_CODE = """
import pickle, sys
from tests.plants import simulate_with
simulate_with(pickle.load(sys.stdin.buffer), *map(int, sys.argv[1:]))
"""


def look_for(plant: Plant, most: int = MOST, first: int = 0) -> Found:
    """Plant a bug in a process of its own and simulate histories until one breaks a promise."""
    begin = time.monotonic()
    try:
        trees = planted(plant.changes)
    except PlantError as error:
        raise PlantError(f"plant {plant.name!r}: {error}") from None
    process = subprocess.run(
        [sys.executable, "-c", _CODE, str(first), str(first + most), str(int(plant.of_tasks))],
        cwd=ROOT, input=pickle.dumps(trees), capture_output=True, check=False,
    )  # fmt: skip
    done, errors = process.stdout.decode(), process.stderr.decode()
    if process.returncode or "CPU" not in done:
        raise PlantError(f"plant {plant.name!r}: {errors[-2000:]}")
    lines = done.splitlines()
    cpu = float(next(line for line in lines if line.startswith("CPU")).split()[1])
    found = next((line.split(" ", 2) for line in lines if line.startswith("FOUND")), None)
    seed = int(found[1]) if found else -1
    histories = seed - first + 1 if found else most
    return Found(
        plant, seed, histories, time.monotonic() - begin, cpu, found[2] if found else "not found"
    )


def look_for_all(plants: Sequence[Plant], processes: int, console: Console) -> list[Found]:
    """Look for each of them; prints each as it is found."""
    found: list[Found] = []
    with ThreadPoolExecutor(processes) as threads:
        for one in threads.map(look_for, plants):
            found.append(one)
            console.print(
                f"{one.plant.name}: {one.violation} (seed {one.seed}, {one.cpu:.1f} s of CPU)",
                markup=False, highlight=False,
            )  # fmt: skip
    return found


def show(found: Sequence[Found], console: Console) -> None:
    table = Table("planted", "found after histories", "seconds of CPU", "what broke")
    for one in found:
        n = f"{one.histories:,}" if one.seed >= 0 else f"[red]not in {one.histories:,}"
        table.add_row(one.plant.name, n, f"{one.cpu:.1f}", one.violation[:70])
    console.print(table)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="some by their names")] = None,
    more: Annotated[bool, typer.Option(help="those beyond the twenty too")] = False,
    processes: Annotated[int, typer.Option(help="at a time")] = 2,
) -> None:
    """Plant bugs, and see whether the simulator finds them."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        plants = [named(n) for n in names] if names else [*ASKED, *TASKS, *(MORE if more else ())]
        begin = time.monotonic()
        found = look_for_all(plants, processes, console)
    except PlantError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from None
    show(found, console)
    missed = [one.plant.name for one in found if one.seed < 0]
    console.print(
        f"{len(found) - len(missed)} of {len(found)} found in {time.monotonic() - begin:.0f} s "
        f"({sum(one.cpu for one in found):.0f} s of CPU); missed: {', '.join(missed) or 'none'}"
    )
    raise typer.Exit(bool(missed))


if __name__ == "__main__":
    typer.run(main)
