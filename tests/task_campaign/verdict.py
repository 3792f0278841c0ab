"""Whether a campaign has kept what it promises, from its disk alone."""

from __future__ import annotations

import ast
import os
import pickle
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from adaptive_scheduler import TaskResources
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.database import JOBS
from adaptive_scheduler.io.storage.read_only import read_with_facts
from tests.task_campaign.bookings import (
    double_bookings,
    gpus_overbooked,
    read_ledger,
    too_many_at_a_time,
)
from tests.task_campaign.node_kills import UNWATCHED
from tests.task_campaign.plan import Plan


class Verdict:
    """What became of each task.

    Parameters
    ----------
    plan : Plan
    run : RunFolder

    Attributes
    ----------
    wrong : list of str
        Promises that were broken.
    figures : Counter of str
    """

    def __init__(self, plan: Plan, run: RunFolder) -> None:
        self.plan = plan
        self.wrong: list[str] = []
        self.figures: Counter[str] = Counter()
        tables, self._facts = read_with_facts(run)
        rows = [row for row in row_codec.read_items(tables, run) if isinstance(row, TaskItem)]
        self.rows = {row.key: row for row in rows}
        self.jobs = list(tables.get(JOBS, {}).values())
        self.ledger = read_ledger(Path(plan.ledger))
        try:
            self._judge_rows(rows)
            self._judge_acknowledged()
        finally:
            self._facts.close()
        self._judge_places()
        self._count_jobs()

    def _judge_rows(self, rows: list[TaskItem]) -> None:
        wanted = {one["key"] for one in self.plan.tasks()}
        if len(rows) != len(self.rows) or set(self.rows) != wanted:
            self.wrong.append(f"{len(rows)} rows of {len(self.rows)} keys, wanted {len(wanted)}")
        for row in rows:
            right = "failed" if row.key.startswith("wrong") else "done"
            self.figures[row.phase.value] += 1
            if row.phase != right:
                self.wrong.append(
                    f"{row.key} is {row.phase.value}, and should be {right}: {row.reason} "
                    f"({row.fails} fails, {row.crashes} crashes, {row.cuts} cuts)"
                )
        ends = Counter(row.ended for row in rows)
        if ends[0] or max(ends.values()) > 1:
            self.wrong.append(f"ends are not numbered once each: {ends.most_common(3)}")

    def _judge_acknowledged(self) -> None:
        """What a driver was told once is what the disk has, and what every other life was told."""
        told: dict[str, set[str]] = defaultdict(set)
        for line in (self.plan.path / "acknowledged").read_text().splitlines():
            key, _, text = line.partition("\t")
            told[key].add(ast.literal_eval(text))
            self.figures["acknowledged"] += 1
        is_over = told.pop("over", None)
        if not is_over:
            self.wrong.append("the driver has not come to its end")
        finished = {line["mark"] for line in self.ledger if line["what"] == "end"}
        for key, row in self.rows.items():
            if (fault := self._fault_of(row, told[key], finished)) is not None:
                self.wrong.append(f"{key}: {fault}")

    def _fault_of(self, row: TaskItem, told: set[str], finished: set[str]) -> str | None:
        if len(told) != 1:
            return f"acknowledged as {told or 'nothing'}"
        (text,) = told
        if row.key.startswith("wrong"):
            # its retries are 0: one that was killed twice before it could raise is failed as well
            is_right = text == f"WrongOnPurposeError: {row.key}" or row.crashes > 1
            return None if is_right else text
        if text.split()[0] != row.key or text.split()[-1] not in finished:
            return f"was told {text!r}, which nobody has computed"
        if row.function and (value := self._value(row)) != text:
            return f"was told {text!r}, and the disk has {value!r}"
        return None

    def _value(self, row: TaskItem) -> Any:
        found = self._facts.get("value", row.id)
        return None if found is None else pickle.loads(found)

    def _judge_places(self) -> None:
        """No core and no GPU was given to two at a time, and no job had more than it has."""
        begun = Counter(line["key"] for line in self.ledger if line["what"] == "begin")
        resources = {one["key"]: one["settings"]["resources"] for one in self.plan.tasks()}
        ranks = {key: its.nodes * its.ranks_per_node for key, its in resources.items()}
        self.figures["begun again"] = sum(begun[key] > ranks[key] for key in begun)
        # of cores that nothing is bound to only their number is known
        bound = self.plan.cores + 1 if self.plan.nodes else os.cpu_count() or 1
        self.wrong += double_bookings(self.ledger, bound, self._unwatched())
        threads = {key: its.threads_per_rank for key, its in resources.items()}
        self.wrong += too_many_at_a_time(self.ledger, threads, self.plan.cores)
        if self.plan.nodes:
            gpus = {key: its.gpus_per_rank for key, its in resources.items()}
            self.wrong += gpus_overbooked(self.ledger, gpus, self._unwatched())
            self._judge_ranks(resources)

    def _unwatched(self) -> set[str]:
        """Jobs that Slurm could not end."""
        path = self.plan.path / UNWATCHED
        return set(path.read_text().split()) if path.exists() else set()

    def _judge_ranks(self, resources: dict[str, TaskResources]) -> None:
        """Each task that is done had all its ranks at a time, on as many nodes as it wanted."""
        ended: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for line in self.ledger:
            if line["what"] == "end":
                ended[line["key"]][line["task"]].append(line["node"])
        for key, its in resources.items():
            if key.startswith("wrong"):
                continue
            want = [its.ranks_per_node] * its.nodes
            found = [sorted(Counter(nodes).values()) for nodes in ended[key].values()]
            self.figures["done on several nodes"] += its.nodes > 1
            self.figures["done with several ranks"] += sum(want) > 1
            if sum(want) > 1 and want not in found:
                self.wrong.append(f"{key}: ranks that ended, by node: {found}, wanted {want}")

    def _count_jobs(self) -> None:
        self.figures["jobs"] = len(self.jobs)
        for job in self.jobs:
            words = f"{job.get('goodbye', '')} {job.get('ended', '')}"
            if "walltime" in words or "timeout" in words or "deadline" in words:
                self.figures["walltimes"] += 1
