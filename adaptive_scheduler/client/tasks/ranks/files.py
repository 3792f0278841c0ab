"""The files by which an agent and the ranks of a task tell each other what is too long for an argument."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from adaptive_scheduler.client.tasks.messages import Call
from adaptive_scheduler.client.tasks.ranks.plan import RankLost, RankOutcome, RankPlan
from adaptive_scheduler.io.disk import files


class RankFiles:
    """Those of one task, in the folder of the run's values, which all nodes see.

    Parameters
    ----------
    folder : Path
    token : int

    Attributes
    ----------
    plan : Path
    """

    def __init__(self, folder: Path, token: int) -> None:
        self.folder = folder
        self.token = token
        self.plan = folder / f"{token}.ranks"

    @classmethod
    def around(cls, plan: Path) -> RankFiles:
        """Return those of the task whose plan lies there."""
        return cls(plan.parent, int(plan.stem))

    def write_plan(self, plan: RankPlan) -> None:
        """Write what the ranks are to do. FileError if the disk does not take it."""
        _write(self.plan, msgspec.json.encode(plan))

    def read_plan(self) -> RankPlan:
        """Return what the ranks are to do."""
        return msgspec.json.decode(self.plan.read_bytes(), type=RankPlan)

    def write_call(self, call: Call) -> None:
        """Write what is to be evaluated. FileError if the disk does not take it."""
        _write(self._call, msgspec.msgpack.encode(call))

    def read_call(self) -> Call:
        """Return what is to be evaluated."""
        return msgspec.msgpack.decode(self._call.read_bytes(), type=Call)

    def write_outcome(self, rank: int, outcome: RankOutcome) -> None:
        """Write how a call has ended in a rank. FileError if the disk does not take it."""
        _write(self._outcome(rank), msgspec.msgpack.encode(outcome))

    def read_outcome(self, rank: int) -> RankOutcome | None:
        """Return how a call has ended in a rank; None: its process has ended without a word."""
        with suppress(FileNotFoundError, msgspec.DecodeError):  # or in the middle of one
            return msgspec.msgpack.decode(self._outcome(rank).read_bytes(), type=RankOutcome)
        return None

    def read_lost(self) -> RankLost | None:
        """Return a rank that has lost its launcher."""
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(self.lost.read_bytes(), type=RankLost)
        return None

    @property
    def lost(self) -> Path:
        """Where a rank says so: see `rank_start`."""
        return self.folder / f"{self.token}.rank-lost"

    @property
    def _call(self) -> Path:
        return self.folder / f"{self.token}.rank-call"

    def _outcome(self, rank: int) -> Path:
        return self.folder / f"{self.token}.rank-{rank}"

    def remove(self, n_ranks: int) -> None:
        """Remove them."""
        for path in (self.plan, self._call, self.lost, *map(self._outcome, range(n_ranks))):
            path.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with files.naming(path):
        path.touch(mode=0o600)
        path.write_bytes(data)


def remove_left(folder: Path, owner: str) -> None:
    """Remove files of tasks whose agent was killed, when their ranks are gone."""
    for path in folder.glob("*.ranks"):
        files_left = RankFiles.around(path)
        with suppress(FileNotFoundError, msgspec.MsgspecError):  # of another job, or half written
            plan = files_left.read_plan()
            if plan.owner == owner:
                files_left.remove(len(plan.nodes) * plan.per_node)
