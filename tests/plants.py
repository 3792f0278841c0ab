"""Bugs that the simulator must find: ``python -m tests.plants``.

Each is planted in a copy of the package, in the code that production runs, and histories are
lived through until one breaks. The first twenty are those that were asked for; the others show
whether the simulator finds what nobody thought of when it was written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "adaptive_scheduler"
#: Histories after which a bug counts as not found; CPU seconds are what they cost.
MOST = 3000


@dataclass(frozen=True)
class Plant:
    """A bug: in `file`, `old` (which must be there exactly once) becomes `new`.

    `after` is planted first: it takes away another part of the code that would hide the bug.
    """

    name: str
    file: str
    old: str
    new: str
    after: Plant | None = None

    def into(self, root: Path) -> None:
        """Plant it in a copy; ValueError if the code has changed since it was written."""
        if self.after is not None:
            self.after.into(root)
        path = root / PACKAGE / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(
                f"plant {self.name!r}: its text is {text.count(self.old)} times in {self.file}, not "
                "once. The code has changed: write the plant anew in tests/plants.py."
            )
        path.write_text(text.replace(self.old, self.new))


#: Jobs that hold an item and are heard never reach `reconcile`: what it does with them shows only
#: without this.
ALL_JOBS_JUDGED = Plant(
    "all jobs judged", "core/jobs/job_table.py",
    "name in holders and job.was_heard and now - job.last_heard <= lease", "False",
)  # fmt: skip


ASKED = (
    Plant(
        "token not compared", "core/rows/items.py",
        "if is_fenced and event.token != item.token:", "if False:",
    ),
    Plant(
        "token not renewed on re-claim", "core/rows/items.py",
        "job=event.owner.job, owner=event.owner, token=event.token,",
        "job=event.owner.job, owner=event.owner, token=item.token or event.token,",
    ),
    Plant(
        "reply before commit", "manager/dispatch.py",
        "        is_durable = self.persistence.commit()\n",
        "        for connection, number, reply in replies:\n"
        "            if reply is not None:\n"
        "                outside.send(connection, encode_reply(number, reply))\n"
        "        replies.clear()\n"
        "        is_durable = self.persistence.commit()\n",
    ),
    Plant(
        "fsync dropped", "io/storage/append_file.py",
        "            files.operations.fsync(self._fd)\n", "            pass\n",
    ),
    Plant("torn tail kept", "io/storage/database.py", "            journal.remove_torn_line(tail)\n", ""),
    Plant(
        "fold loses the segment written meanwhile", "io/storage/checkpoint.py",
        "    _remove(folder, old)\n", "    _remove(folder, journal.segments(folder))\n",
    ),
    Plant(
        "heartbeat ignored", "manager/clients.py",
        "        return self._state.jobs.on_heartbeat(owner, self._submits.get(owner.job, -1), now.monotonic)\n",
        "        if known is not None and isinstance(request, Beat):\n            return known\n"
        "        return self._state.jobs.on_heartbeat(owner, self._submits.get(owner.job, -1), now.monotonic)\n",
    ),
    Plant(
        "lease judged by wall clock", "manager/dispatch.py",
        "return Moment(self._clock.time(), self._clock.monotonic())",
        "return Moment(self._clock.time(), self._clock.time())",
    ),
    Plant(
        "empty listing believed", "core/jobs/reconcile.py",
        "    if job.was_heard:\n        return lease_out\n",
        "    if job.was_heard:\n        return True\n", ALL_JOBS_JUDGED,
    ),
    Plant(
        "requeued job believed new", "core/rows/item_table.py",
        "        held = self._by_job.get(owner.job)\n        if held is not None:\n",
        "        held = self._by_job.get(owner.job)\n"
        "        if held is not None and self.rows[held].owner.restart == owner.restart:\n",
    ),
    Plant(
        "finish not idempotent", "core/rows/items.py",
        "    (DONE, Finished): (_same, (DONE,)),\n", "",
    ),
    Plant(
        "claim not idempotent", "core/rows/items.py",
        "    if event.owner == item.owner:\n        return item\n    if event.owner.job",
        "    if event.owner.job",
    ),
    Plant(
        "late duplicate claim gives a second item", "manager/clients.py",
        "        if last is not None and number <= last[0]:\n"
        "            return last[1] if number == last[0] else "
        'Refused("old_request", "answered before.")\n',
        "        if last is not None and number == last[0]:\n            return last[1]\n",
    ),
    Plant(
        "array index lost", "schedulers/slurm/scheduler.py",
        'id=JobId(f"{job}_{task}" if is_task else job),', "id=JobId(job),",
    ),
    Plant(
        "max_simultaneous_jobs off by one", "core/jobs/reconcile.py",
        "room = limits.max_simultaneous_jobs - in_queue - coming.total()",
        "room = limits.max_simultaneous_jobs - in_queue - coming.total() + 1",
    ),
    Plant(
        "timed-out submit repeated", "io/system/submit.py",
        "return SubmitUnknown(_one_line(answer.stderr.strip() or answer.stdout.strip()))",
        "return NotSubmitted(Refusal.BUSY, 'no answer')",
    ),
    Plant(
        "priority ties reversed", "core/rows/items.py",
        "return (-item.priority, item.fails + item.crashes, item.id)",
        "return (-item.priority, item.fails + item.crashes, -item.id)",
    ),
    Plant(
        "dependency on FAILED ignored", "core/rows/items.py",
        "return _blocked_by(after) if after.phase in _NEVER_DONE else None", "return None",
    ),
    Plant(
        "crash not counted", "core/rows/items.py",
        "crashes = item.crashes + event.crash", "crashes = item.crashes",
    ),
    Plant(
        "cancel of a RUNNING job", "core/jobs/reconcile.py",
        "if not (job.id in observed.holders or is_going or is_silent):",
        "if not (is_going or is_silent):",
        ALL_JOBS_JUDGED,
    ),
)  # fmt: skip

MORE = (
    Plant(
        "a stale token lets go", "manager/clients.py",
        "        if item.phase is not RUNNING or item.token != token:\n",
        "        if item.phase is not RUNNING:\n",
    ),
    Plant(
        "an old life is heard", "core/jobs/job_tracking.py",
        "        if owner.life < known.life:\n",
        "        if owner.restart < known.restart:\n            return None\n"
        "        if owner.life < known.life:\n",
    ),
    Plant(
        "two clients of one job both welcome", "core/jobs/job_tracking.py",
        "        if owner.life > known.life or self.record.goodbye:\n            return None\n",
        "        if owner.life >= known.life or self.record.goodbye:\n            return None\n",
    ),
    Plant(
        "lease renewed by the answer, not the question", "client/session.py",
        "            if self._token or (self.refusal is not None "
        'and self.refusal.code == "cancelled"):\n'
        "                self._lease_from = sending.at\n",
        "            if self._token or (self.refusal is not None "
        'and self.refusal.code == "cancelled"):\n'
        "                self._lease_from = self._last_answer\n",
    ),
    Plant(
        "lease of a claim counts from its last try", "client/session.py",
        "self._take_item(reply, held.first_sent, now)", "self._take_item(reply, sending.at, now)",
    ),
    Plant(
        "no heartbeats while working", "client/session.py",
        "        self._next_beat = sending.at + self.timing.beat * self._jitter()\n"
        "        if isinstance(reply, Welcome):",
        "        self._next_beat = math.inf\n        if isinstance(reply, Welcome):",
    ),
    Plant(
        "a mute job is dead after one listing", "core/jobs/reconcile.py",
        "return job.absences >= 2 and now - job.known_since >= timing.grace",
        "return job.absences >= 1 and now - job.known_since >= timing.grace",
    ),
    Plant(
        "a mute job is dead at once", "core/jobs/reconcile.py",
        "return job.absences >= 2 and now - job.known_since >= timing.grace", "return job.absences >= 2",
    ),
    Plant(
        "a lost submit forgotten at once", "core/jobs/reconcile.py",
        "return submit.absences >= 2 and now - submit.since >= timing.grace", "return submit.absences >= 1",
    ),
    Plant(
        "unknown submits do not count", "core/jobs/reconcile.py",
        "        coming[submit.record.shape] += submit.missing\n", "        pass\n",
    ),
    Plant(
        "jobs at work take no room", "core/jobs/reconcile.py",
        "in_queue = observed.at_work + sum(", "in_queue = sum(",
    ),
    Plant(
        "a refused finish is given the next item", "manager/clients.py",
        "if request.claims and type(reply) is Ok:", "if request.claims:",
    ),
    Plant(
        "who holds an item is at work, heard or not", "core/jobs/job_table.py",
        "                name in holders and job.was_heard and now - job.last_heard <= lease\n",
        "                name in holders and job.was_heard\n",
    ),
    Plant(
        "a submit is sent before it is noted", "manager/dispatch.py",
        "        is_durable = self.persistence.commit()\n",
        "        while self.jobs.submits and self._commands:\n"
        "            outside.send_command(self._commands.pop(0))\n"
        "        is_durable = self.persistence.commit()\n",
    ),
    Plant(
        "answers although nothing is durable", "manager/dispatch.py",
        "if reply is not None and (is_durable or isinstance(reply, Picture)):",
        "if reply is not None:",
    ),
    Plant(
        "commit forgets what a full disk refused", "io/storage/database.py",
        "        size = self._appender.size\n        self._appender.append(b\"\\n\".join(self._buffer) + b\"\\n\")\n",
        "        size = self._appender.size\n        data = b\"\\n\".join(self._buffer) + b\"\\n\"\n"
        "        self._buffer.clear()\n        self._appender.append(data)\n",
    ),
    Plant(
        "what was read is not synced", "io/storage/database.py",
        "                files.sync_file(journal.segment_path(self.folder, number))\n",
        "                pass\n",
    ),
    Plant(
        "the new segment's name is not synced", "io/storage/database.py",
        "                files.sync_folder(self.folder.journals)  # its name must survive a power cut, too\n",
        "                pass\n",
    ),
    Plant(
        "fold removes segments before the file is written", "io/storage/checkpoint.py",
        "    file.write(tables)\n", "    _remove(folder, old)\n    file.write(tables)\n",
    ),
    Plant(
        "fold goes on for a dead manager", "io/storage/checkpoint.py",
        "    if os.getppid() != parent:\n        return\n", "",
    ),
    Plant(
        "who has left is given work", "manager/clients.py",
        "        if has_left and type(request) is not Goodbye:\n", "        if False:\n",
    ),
    Plant(
        "the file is renamed before it is synced", "io/storage/files.py",
        "        write_all(fd, data)\n        operations.fsync(fd)\n", "        write_all(fd, data)\n",
    ),
    Plant(
        "a second life does not take over", "core/rows/items.py",
        "event.owner.job != item.job or event.owner.life <= item.owner.life:",
        "event.owner.job != item.job or event.owner.life != item.owner.life:",
    ),
    Plant(
        "a requeue counts as a crash", "core/rows/items.py",
        "crashed = event.owner.restart == item.owner.restart", "crashed = True",
    ),
    Plant(
        "fails never use up their budget", "core/rows/items.py",
        "phase = FAILED if is_last or fails > budget.max_fails else QUEUED",
        "phase = FAILED if is_last or fails > budget.max_fails + 1 else QUEUED",
    ),
    Plant(
        "one failure too few", "core/rows/items.py",
        "phase = FAILED if is_last or fails > budget.max_fails else QUEUED",
        "phase = FAILED if is_last or fails >= max(1, budget.max_fails) else QUEUED",
    ),
    Plant(
        "a child is freed by its first parent", "core/rows/item_table.py",
        "sum(rows[parent].phase", "any(rows[parent].phase",
    ),
    Plant(
        "a delayed item is never woken", "core/rows/ready_queue.py",
        "            if self.until.get(item_id) == until:\n", "            if False:\n",
    ),
    Plant(
        "an item that raised is free at once", "core/rows/item_table.py",
        "            if item.id not in self._delayed.until:\n                self._push(item)\n",
        "            self._push(item)\n",
    ),
    Plant(
        "a job that is being cancelled gets work", "manager/clients.py",
        "        if held is None and owner.job in state.being_cancelled:\n            return Idle(WAIT, over=True)\n",
        "",
    ),
    Plant(
        "leases of a former manager are over", "core/jobs/job_tracking.py",
        "return cls(record, now, now,", "return cls(record, now, now - 3600,",
    ),
    Plant(
        "jobs that a row names are not watched", "io/storage/row_codec.py",
        "            jobs.watch(item.owner, item.shape, monotonic)\n", "            pass\n",
    ),
    Plant(
        "a cut listing is believed", "schedulers/slurm/scheduler.py",
        "    if len(fields) < len(COLUMNS) or not fields[-1].endswith(FIELD) or not fields[0].isdigit():\n",
        '    fields += [""] * (len(COLUMNS) - len(fields))\n    if not fields[0].isdigit():\n',
    ),
    Plant(
        "a complaint is an empty queue", "schedulers/slurm/scheduler.py",
        "        if not result.stdout.strip() and result.stderr.strip():\n",
        "        if False:\n",
    ),
    Plant(
        "a failed squeue is an empty queue", "schedulers/slurm/scheduler.py",
        '        if result.rc != 0:\n            raise NoObservation(f"squeue (exit status',
        '        if result.rc > 0 and result.stdout:\n            raise NoObservation(f"squeue (exit status',
    ),
    Plant(
        "a socket's timeout is a refusal", "schedulers/slurm/scheduler.py",
        "            if RESULT_UNKNOWN.search(result.stderr):\n", "            if False:\n",
    ),
    Plant(
        "silent jobs are cancelled after the lease", "core/jobs/reconcile.py",
        "job.silence(now) > timing.lease + timing.patience", "job.silence(now) > timing.lease",
    ),
    Plant(
        "a suspended job is over", "schedulers/slurm/states.py",
        '    "TIMEOUT": "timeout",\n}', '    "TIMEOUT": "timeout",\n    "SUSPENDED": "failed",\n}',
    ),
    Plant(
        "jobs of other runs are ours", "core/jobs/records.py",
        'if len(parts) != 3 or parts[:2] != ["as", run] or not parts[2].isdigit():',
        'if len(parts) != 3 or parts[0] != "as" or not parts[2].isdigit():',
    ),
    Plant(
        "a job that comes back is not noticed", "core/jobs/job_table.py",
        "            return self._track(replace(self.records[row.id], ended=\"\"), now)\n",
        "            return None\n",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """How a plant fared: `seed` -1 if it was not found."""

    plant: Plant
    seed: int
    histories: int
    seconds: float
    cpu: float
    words: str


_CODE = """
import sys, time
import adaptive_scheduler
from tests.simulate import simulate
assert adaptive_scheduler.__file__.startswith(sys.argv[1]), adaptive_scheduler.__file__
tally = simulate(range(int(sys.argv[2]), int(sys.argv[3])), first_only=True)
for seed, words in tally.violations:
    print("FOUND", seed, words.splitlines()[0])
print("CPU", tally.seconds)
"""


def copy(to: Path) -> None:
    """The package and its simulator, without anything else."""
    for name in (PACKAGE, "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "data", "integration", "e2e", "contract")
        shutil.copytree(ROOT / name, to / name, ignore=ignored)


def look_for(plant: Plant, most: int = MOST, first: int = 0) -> Found:
    """Plant a bug in a copy and live through histories until one breaks."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="plants-") as folder:
        root = Path(folder).resolve()
        copy(root)
        plant.into(root)
        done = subprocess.run(
            [sys.executable, "-c", _CODE, str(root), str(first), str(first + most)],
            cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    if "CPU" not in done.stdout:
        raise RuntimeError(f"plant {plant.name!r}: {done.stderr[-2000:]}")
    lines = done.stdout.splitlines()
    cpu = float(next(line for line in lines if line.startswith("CPU")).split()[1])
    found = next((line.split(" ", 2) for line in lines if line.startswith("FOUND")), None)
    seed = int(found[1]) if found else -1
    histories = seed - first + 1 if found else most
    return Found(
        plant, seed, histories, time.monotonic() - begin, cpu, found[2] if found else "not found"
    )


def look_for_all(plants: Sequence[Plant], processes: int, console: Console) -> list[Found]:
    """Look for each of them; says each as it is found."""
    found: list[Found] = []
    with ThreadPoolExecutor(processes) as threads:
        for one in threads.map(look_for, plants):
            found.append(one)
            console.print(
                f"{one.plant.name}: {one.words} (seed {one.seed}, {one.cpu:.1f} s of CPU)",
                markup=False, highlight=False,
            )  # fmt: skip
    return found


def show(found: Sequence[Found], console: Console) -> None:
    table = Table("planted", "found after histories", "seconds of CPU", "what broke")
    for one in found:
        n = f"{one.histories:,}" if one.seed >= 0 else f"[red]not in {one.histories:,}"
        table.add_row(one.plant.name, n, f"{one.cpu:.1f}", one.words[:70])
    console.print(table)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="some by their names")] = None,
    more: Annotated[bool, typer.Option(help="those beyond the twenty too")] = False,
    processes: Annotated[int, typer.Option(help="at a time")] = 2,
) -> None:
    """Plant bugs, and see whether the simulator finds them."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    every = {plant.name: plant for plant in (*ASKED, *MORE)}
    plants = [every[name] for name in names] if names else [*ASKED, *(MORE if more else ())]
    begin = time.monotonic()
    found = look_for_all(plants, processes, console)
    show(found, console)
    missed = [one.plant.name for one in found if one.seed < 0]
    console.print(
        f"{len(found) - len(missed)} of {len(found)} found in {time.monotonic() - begin:.0f} s "
        f"({sum(one.cpu for one in found):.0f} s of CPU); missed: {', '.join(missed) or 'none'}"
    )
    raise typer.Exit(bool(missed))


if __name__ == "__main__":
    typer.run(main)
