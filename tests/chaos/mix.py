"""The learners of a chaos run: all kinds, enough for its minutes, and short once these are over."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.endings import EndingLedger, Flags
from tests.contract.learner_kinds import fname_of, kinds
from tests.integration.campaigns import GoalOfKind
from tests.integration.ledger import TimedLedger

#: Learners of one run that its jobs get through in a minute, and half as many again.
PER_MINUTE = 24
#: Seconds of one evaluation; the kinds that need many points have the shortest.
SECONDS = {"IntegratorLearner": (0.03, 0.08), "AverageLearner1D": (0.05, 0.2)}
USUAL = (0.1, 0.5)
#: What a learner must have when the faults are over: then all are to end soon.
LEAST = 1


class GoalWhileChaosLasts:
    """The goal of each kind; from the moment that a file is there, one point is enough."""

    def __init__(self, goal: Callable[[Any], bool], calm: Path, flags: Flags) -> None:
        self.goal = goal
        self.calm = calm
        self.flags = flags

    def __call__(self, learner: Any) -> bool:
        self.flags.obey("goal", "client")
        if self.goal(learner):
            return True
        return self.calm.exists() and learner.npoints >= LEAST


class Mix:
    """Learners, where their data go, and the ledgers of each.

    Parameters
    ----------
    data, ledgers : Path
        Folders. Ledgers must not lie on the disk that is filled.
    calm : Path
        The file that ends it.
    n : int
        Learners.
    dice : random.Random
    """

    def __init__(self, data: Path, ledgers: Path, calm: Path, n: int, dice: random.Random) -> None:
        self.learners: list[Any] = []
        self.fnames: list[Any] = []
        self.ledgers: list[list[TimedLedger]] = []
        self.kinds: list[str] = []
        self.flags = Flags(ledgers / "flags")
        self.flags.folder.mkdir()
        goals = []
        names = list(kinds())
        for place in range(n):
            kind = names[place % len(names)]
            made: list[TimedLedger] = []
            seconds = dice.uniform(*SECONDS.get(kind, USUAL))

            def wrap(
                function: Callable[[Any], Any],
                place: int = place,
                made: list[TimedLedger] = made,
                seconds: float = seconds,
            ) -> TimedLedger:
                path = ledgers / f"{place}-{len(made)}"
                made.append(EndingLedger(path, function, seconds, self.flags))
                return made[-1]

            make, goal = kinds(wrap)[kind]
            self.learners.append(make())
            self.fnames.append(fname_of(kind, data / str(place)))
            self.ledgers.append(made)
            self.kinds.append(kind)
            goals.append(goal)
        first = dict(zip(self.kinds, range(n), strict=True))
        self.full_goal = GoalOfKind(
            [goals[place] for place in first.values()],
            [self.learners[place] for place in first.values()],
        )
        self.goal = GoalWhileChaosLasts(self.full_goal, calm, self.flags)
