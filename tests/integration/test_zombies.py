"""Clients that are stopped in mid-save for longer than their lease, and continued too late.

Issue 3, section 3: whatever the step, nothing of either owner's points is lost.
"""

from __future__ import annotations

import pickle
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import adaptive
import psutil
import pytest

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.rows.items import Lost
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import PointJournal
from adaptive_scheduler.manager.clients import Moment
from tests.effort import FULL
from tests.integration import zombie_client
from tests.integration.client_runs import ClientRun, finish, wait_for
from tests.integration.ledger import TimedLedger, written

ROOT = Path(__file__).parents[2]
LEASE = 1.5
TIMING = Timing(beat=0.3, lease=LEASE, idle=1.0)
#: Cases that run at a time.
AT_A_TIME = 3

pytestmark = pytest.mark.timeout(400)


def _cusp(x):
    return abs(x - 0.3) ** 0.5


def sequence(ledger):
    return adaptive.SequenceLearner(ledger, range(120))


def integrator(ledger):
    return adaptive.IntegratorLearner(ledger, (-1, 1), tol=1e-2)


class SavesItself(adaptive.SequenceLearner):
    """A learner with a ``save`` of its own, which may be stopped in the middle."""

    def save(self, fname, compress=True):
        blob = pickle.dumps(self.data)
        with open(fname, "wb") as file:  # noqa: PTH123  as people do
            file.write(blob[:9])
            file.flush()
            step = getattr(files.operations, "step", None)
            if step is not None:
                step("save", "new data")
            file.write(blob[9:])

    def load(self, fname, compress=True):
        self.data = pickle.loads(Path(fname).read_bytes())
        self._to_do_indices -= self.data.keys()


def saves_itself(ledger):
    return SavesItself(ledger, range(120))


LEARNERS = {
    "SequenceLearner": sequence,
    "IntegratorLearner": integrator,
    "SavesItself": saves_itself,
}


@dataclass
class Case:
    """One stop.

    Attributes
    ----------
    kind, save : str
        Of the learner; which save, see `zombie_client.BEGIN`.
    step : str
        Before which call: its number, or its name and its file.
    is_late : bool
        Whether the next owner is done before the zombie goes on; else it has saved once.
    """

    kind: str
    save: str
    step: str
    is_late: bool

    @property
    def title(self) -> str:
        return f"{self.kind}-{self.save}-{self.step}-{'late' if self.is_late else 'soon'}"


@dataclass
class Scene:
    """A run with one learner, and the points of a former owner in a journal."""

    run: ClientRun
    ledger: TimedLedger
    fname: Path
    kind: str

    @classmethod
    def of(cls, folder: Path, case: Case) -> Scene:
        folder.mkdir()
        interval = 0.3 if case.save == "periodic" else 600.0
        run = ClientRun(folder, None, save_interval=interval, points_interval=0.1, timing=TIMING)
        ledger = TimedLedger(folder / "ledger", _cusp, 0.02)
        scene = cls(run, ledger, folder / "data" / "points", case.kind)
        learner = LEARNERS[case.kind](ledger)
        scene.fname.parent.mkdir()
        run.fill([learner], [str(scene.fname)])
        scene._leave_a_journal()
        return scene

    def _leave_a_journal(self) -> None:
        learner = LEARNERS[self.kind](self.ledger)
        journal = PointJournal(str(self.fname), token=0)
        for x in adaptive_private.ask(learner, 5):
            function, argument = adaptive_private.target(learner.function, x)
            journal.add(adaptive_private.compact(learner, x), function(argument))
        journal.close()

    @property
    def notes(self) -> Path:
        return self.run.path / "notes"

    def zombie(self, case: Case):
        script = [sys.executable, zombie_client.__file__, case.save, case.step,
                  str(self.notes), str(self.fname)]  # fmt: skip
        return self.run.client("1_1", script, PYTHONPATH=str(ROOT))

    def missing(self) -> list[str]:
        """Evaluations that neither the data nor any journal has."""
        learner = LEARNERS[self.kind](self.ledger)
        data = LearnerStore(learner, str(self.fname), token=10**9)
        report = data.load()
        assert report.kept_aside == []
        known = dict(adaptive_private.points_of(learner, learner._get_data())) | report.memo
        arguments = Counter(written(learner, x) for x in known)
        return [entry.x for entry in self.ledger.entries() if entry.x not in arguments]


def play(folder: Path, case: Case) -> str:
    """Let one client stop, another take over, the first go on; returns the step's name."""
    scene = Scene.of(folder / case.title, case)
    run = scene.run
    with run.manage() as engine:
        zombie = scene.zombie(case)
        try:
            wait_for(lambda: zombie.poll() is not None or is_stopped(zombie.pid), 60)
            assert zombie.poll() is None, f"{case.title}: no such step\n{zombie.stdout.read()}"
            time.sleep(LEASE + 0.2)
            moment = Moment(time.time(), time.monotonic())
            engine._results.put(
                lambda: engine.state.take_back("1_1", Lost("it sleeps"), moment.wall)
            )
            before = inode(scene.fname)
            other = run.client("1_2", PYTHONPATH=str(ROOT))
            row = engine.state.items.rows
            wait_for(lambda: row[0].job == "1_2" or row[0].phase is Phase.DONE, 60)
            done = lambda: row[0].phase is Phase.DONE  # noqa: E731
            wait_for(lambda: done() or not (case.is_late or inode(scene.fname) == before), 60)
        finally:
            zombie.send_signal(signal.SIGCONT)
        code, output = finish(other)
        assert code == 0, f"{case.title}: {output}"
        # where the run is over nobody answers its next claim: it would wait for ten minutes
        wait_for(lambda: zombie.poll() is not None or has_stopped(run), 60)
        zombie.terminate()
        finish(zombie)
        assert row[0].phase is Phase.DONE, f"{case.title}: {row[0]}"
    events = [event["event"] for event in run.events("1_1")]
    assert "item_finished" not in events, f"{case.title}: both owners finished"
    assert scene.missing() == [], f"{case.title}: lost"
    steps = [line.partition(" ") for line in scene.notes.read_text().splitlines()]
    return next(name for number, _, name in steps if case.step in (number, name))


def is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def has_stopped(run: ClientRun) -> bool:
    return "learner_stopped" in [event["event"] for event in run.events("1_1")]


def inode(path: Path) -> int:
    return path.stat().st_ino if path.exists() else 0


def steps_of(folder: Path, kind: str, save: str) -> list[str]:
    """All steps of one save and what follows it, from a client that does not stop."""
    case = Case(kind, save, "never", False)
    scene = Scene.of(folder / case.title, case)
    with scene.run.manage() as engine:
        code, output = finish(scene.zombie(case))
        assert code == 0, output
        assert engine.state.items.rows[0].phase is Phase.DONE
    steps = scene.notes.read_text().splitlines()
    last = [n for n, line in enumerate(steps) if line.endswith("unlink former journal")]
    assert last, f"the former owner's journal is deleted:\n{steps}"
    return steps[: last[0] + 3] if save == "periodic" else steps


#: What `make test` looks at: just before the rename, and around the deletions.
CRITICAL = [
    Case("SequenceLearner", "periodic", "rename new data", is_late=False),
    Case("SequenceLearner", "periodic", "unlink former journal", is_late=True),
    Case("SequenceLearner", "last", "rename new data", is_late=True),
    Case("SequenceLearner", "last", "unlink own journal", is_late=False),
    Case("IntegratorLearner", "periodic", "rename new data", is_late=True),
    Case("SavesItself", "periodic", "save new data", is_late=True),
    Case("SavesItself", "periodic", "stat data", is_late=True),
]
KINDS = [("SequenceLearner", "periodic"), ("SequenceLearner", "last"), ("SavesItself", "periodic"),
         ("IntegratorLearner", "periodic"), ("IntegratorLearner", "last")]  # fmt: skip


def play_all(folder: Path, cases: list[Case], title: str) -> None:
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        names = Counter(threads.map(lambda case: play(folder, case), cases))
    told = ", ".join(f"{name} {n}" for name, n in names.items())
    print(f"\n{title}: {len(cases)} zombies, 0 points lost; stopped before: {told}")


def test_zombies_at_the_critical_steps_lose_nothing(tmp_path: Path) -> None:
    play_all(tmp_path, CRITICAL, "critical steps")


if FULL:  # a quarter of an hour

    @pytest.mark.parametrize(("kind", "save"), KINDS)
    def test_zombies_at_every_step_lose_nothing(tmp_path: Path, kind: str, save: str) -> None:
        steps = steps_of(tmp_path, kind, save)
        numbers = range(1, len(steps) + 1)
        cases = [Case(kind, save, str(n), is_late) for n in numbers for is_late in (False, True)
                 if kind == "SequenceLearner" or is_late == bool(n % 2)]  # fmt: skip
        play_all(tmp_path, cases, f"{kind}, {save} save of {len(steps)} steps")
