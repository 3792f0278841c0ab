"""What must be so after a campaign: no evaluation lost, none told twice, failed ones told as failed."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.runs.task_run import TaskRun
from tests.optimiser_campaign.world import CampaignWorld

#: Ends of tries after which an evaluation is begun again.
CUT = "cut by the end of its job"
UNCOUNTED = (CUT, "died", "lost with its node")
TOLD = "told to a driver"


def has_cut(world: CampaignWorld) -> bool:
    """Whether the end of a job has cut an evaluation, as far as anybody can tell just now."""
    with suppress(AdaptiveSchedulerError):
        run = TaskRun(world.run)
        return any(
            one["what"] == CUT
            for row in run.table(lambda rows: rows) if row["attempts"] > 1
            for one in run.details(row["task"], 1)["history"]
        )  # fmt: skip
    return False


class CampaignVerdict:
    """Compares what the optimiser was told with what the run has.

    Parameters
    ----------
    world : CampaignWorld
        Whose driver has ended in good order.

    Attributes
    ----------
    wrong : list of str
    figures : Counter of str
    """

    def __init__(self, world: CampaignWorld) -> None:
        self.wrong: list[str] = []
        self.figures: Counter[str] = Counter()
        self._run = TaskRun(world.run)
        self._rows = self._run.table(lambda rows: rows)
        self._told = world.told()
        self._check_tasks()
        self._check_each_life()
        self._check_last_life()

    def _check_tasks(self) -> None:
        """Each evaluation is one task, has ended, and was begun again only if it was cut or died."""
        for name, n in Counter(row["name"] for row in self._rows).items():
            if n > 1:
                self.wrong.append(f"{name} is {n} tasks")
        for row in self._rows:
            if row["state"] not in ("done", "failed"):
                self.wrong.append(f"{row['name']} is {row['state']} at the end")
            self.figures[f"tasks {row['state']}"] += 1
            if row["attempts"] > 1:
                self._check_tries(row)

    def _check_tries(self, row: dict[str, Any]) -> None:
        happened = [one["what"] for one in self._run.details(row["task"], 1)["history"]]
        ends = [what for what in happened if what in UNCOUNTED]
        self.figures.update(ends)
        # one that was killed too often has failed by that; each other one has ended once more
        *_, last = (what for what in happened if what != TOLD)
        if row["attempts"] != len(ends) + (last not in UNCOUNTED):
            self.wrong.append(f"{row['name']} was begun {row['attempts']} times: {happened}")

    def _check_each_life(self) -> None:
        """No life is told an evaluation twice, and all lives are told the same of it."""
        lives: defaultdict[int, Counter[int]] = defaultdict(Counter)
        outcomes: defaultdict[int, set[str]] = defaultdict(set)
        for one in self._told:
            lives[one["life"]][one["number"]] += 1
            outcomes[one["number"]].add(repr(one.get("loss", "failed")))
        twice = [(life, n) for life, of in lives.items() for n, times in of.items() if times > 1]
        self.wrong += [f"life {life} was told evaluation {n} twice" for life, n in twice]
        self.wrong += [
            f"evaluation {n} was told as {sorted(of)}" for n, of in outcomes.items() if len(of) > 1
        ]
        self.figures["lives that told something"] = len(lives)

    def _check_last_life(self) -> None:
        """It was told all evaluations that the run has, as they have ended."""
        last = self._told[-1]["life"] if self._told else None
        told = {one["number"]: one for one in self._told if one["life"] == last}
        rows = {
            int(match[1]): row for row in self._rows
            if (match := re.fullmatch(r"eval-(\d+)", row["name"]))
        }  # fmt: skip
        self.wrong += [f"evaluation {n} was never told" for n in sorted(rows.keys() - told.keys())]
        self.wrong += [f"evaluation {n} is no task" for n in sorted(told.keys() - rows.keys())]
        for number in rows.keys() & told.keys():
            self._check_told(rows[number], told[number])

    def _check_told(self, row: dict[str, Any], told: dict[str, Any]) -> None:
        self.figures["told as failed" if "failed" in told else "told with a value"] += 1
        if (row["state"] == "failed") != ("failed" in told):
            self.wrong.append(f"{row['name']} is {row['state']}, and was told as {told}")
        if row["collected"] is None:
            self.wrong.append(f"{row['name']} is not known to have been told")
        if "failed" not in told:
            its = json.loads(
                Path(self._run.details(row["task"], 1)["folder"], "result.dat").read_text()
            )
            if its["loss"] != told["loss"]:
                self.wrong.append(f"{row['name']} was told as {told}, but its result is {its}")
