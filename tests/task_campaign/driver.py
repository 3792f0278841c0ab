"""The driver of a campaign, which may be killed and run again: ``python -m tests.task_campaign.driver PLAN``."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler import Command, Executor
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.runs.driver import start_run as starting
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.run_manager import run_folder
from tests.task_campaign import work
from tests.task_campaign.plan import Plan, read_plan

#: Tasks that are submitted only when everything that is to be broken was broken.
LAST = 100
#: Until then jobs never run out of tasks: below so many that wait, as many are added, at most so often.
FEW, SUPPLY = 40, 0.5
#: Seconds between two changes of priorities, and of the pools.
PRIORITIES, POOLS = 0.3, 3.0
#: Jobs at most; more where jobs have whole nodes, as requeued ones wait for long.
MOST_JOBS, MOST_OF_NODES = 2, 4
#: Seconds after which a silent job is cancelled, where whole nodes die.
SILENT = 8.0
#: Seconds in which a manager that lives must answer: one of a machine with a load of 70 took more than 20.
MANAGER_PATIENCE = 300.0
#: So short that what is lost is noticed within seconds.
TIMING = Timing(
    beat=0.5, lease=4.0, interval=1.0, grace=5.0, patience=30.0, kill_wait=5.0, driver_patience=60.0
)


class CampaignDriver:
    """Submits, changes priorities and pools, and notes each result that it is given."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dice = random.Random()  # another one in each life
        folder = plan.path / "run"
        # a job whose node has died is silent, and in the queue still
        timing = msgspec.structs.replace(TIMING, patience=SILENT) if plan.nodes else TIMING
        starting.PATIENCE = MANAGER_PATIENCE
        starting.start_run(run_folder(folder, "kills"), "kills", plan.scheduler(), timing)
        self.executor = Executor(
            plan.scheduler(),
            folder=folder,
            name="kills",
            idle=2.0,
            max_jobs=MOST_OF_NODES if plan.nodes else MOST_JOBS,
        )
        program = [sys.executable, "-S", work.__file__, "{key}", "{seconds}", plan.ledger]
        self.command = Command(program, value=_printed)
        self.futures: dict[str, TaskFuture[Any]] = {}
        self.extra = ""

    def run(self) -> None:
        """Until all tasks have ended, and the run with them."""
        last = self.plan.planned()[-LAST:]
        its_keys = {one["key"] for one in last}
        for one in self.plan.tasks():
            if one["key"] not in its_keys:
                self.submit(one)
        may_end = self.plan.path / "may-end"
        has_last, changed, supplied, moved = False, 0.0, 0.0, time.monotonic()
        waiting = dict(self.futures)
        while waiting or not has_last:
            self.collect(waiting)
            if not has_last and may_end.exists():
                has_last = True
                waiting |= {one["key"]: self.submit(one) for one in last}
            now = time.monotonic()
            if not has_last and len(waiting) < FEW and now > supplied + SUPPLY:
                # a fast machine has done all before a job's walltime comes, or all was broken
                supplied = now
                waiting |= {one["key"]: self.submit(one) for one in self.plan.supply(FEW)}
            if now > changed + PRIORITIES:
                changed = now
                self.change_priorities(list(waiting.values()))
            if now > moved + (2 * POOLS if self.plan.nodes else POOLS):
                moved = now
                self.change_pools()
            time.sleep(0.02)
        self.executor.shutdown()
        self.note("over", "")

    def submit(self, one: dict[str, Any]) -> TaskFuture[Any]:
        """Submit a task by its key: one that the run has already is not run again."""
        with_settings = self.executor.options(key=one["key"], **one["settings"])
        if one["kind"] == "command":
            future = with_settings.submit(self.command, key=one["key"], seconds=one["seconds"])
        else:
            future = with_settings.submit(work.call, one["key"], one["seconds"], self.plan.ledger)
        self.futures[one["key"]] = future
        return future

    def collect(self, waiting: dict[str, TaskFuture[Any]]) -> None:
        """Note what has ended: from then on it must not be undone."""
        for key in [key for key, future in waiting.items() if future.done()]:
            future = waiting.pop(key)
            error = future.exception()
            self.note(key, future.result() if error is None else f"{type(error).__name__}: {error}")

    def note(self, key: str, text: str) -> None:
        """Append a line to what has been acknowledged."""
        line = f"{key}\t{text!r}\n".encode()
        fd = os.open(self.plan.path / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, line)
        os.close(fd)

    def change_priorities(self, waiting: list[TaskFuture[Any]]) -> None:
        """Give some of those that wait new priorities."""
        some = self.dice.sample(waiting, min(200, len(waiting)))
        self.executor.update_priorities(some, [self.dice.uniform(0, 10) for _ in some])
        self.did("priorities changed")

    def change_pools(self) -> None:
        """Add a pool, or remove the one that was added."""
        if not self.extra:
            self.extra = self.executor.add_pool(self.plan.scheduler(nodes=1), jobs=1, idle=2.0)
            self.did("pool added")
        else:
            self.executor.remove_pool(self.extra)
            self.extra = ""
            self.did("pool removed")

    def did(self, what: str) -> None:
        """Count something for the ledger."""
        with (self.plan.path / "changes").open("a") as file:
            file.write(f"{what}\n")


def _printed(output: Any) -> str:
    return str(output.read("").strip().splitlines()[-1])


if __name__ == "__main__":
    CampaignDriver(read_plan(Path(sys.argv[1]))).run()
