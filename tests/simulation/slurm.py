"""A Slurm in virtual time, that is given argument lists and answers with text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from random import Random

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.io.system.commands import TIMED_OUT
from adaptive_scheduler.schedulers.slurm.scheduler import FIELD, ROW

#: Seconds after which a command that hangs is given up (manager/batch_worker.py).
PATIENCE = 60.0

_WAITING = ("PENDING", "REQUEUED")
#: Of the user's own, but of another run, in every listing: nothing may be done to them.
_FOREIGN = (
    FIELD.join(("77", "N/A", "RUNNING", "n1", "None", "as:other:1", "other")) + FIELD,
    FIELD.join(("78", "3", "PENDING", "", "Priority", "(null)", "by hand")) + FIELD,
)


@dataclass(slots=True)
class Job:
    """One job as it really is. `state` is what Slurm calls it."""

    array: int
    task: str
    submit: int
    comment: str
    name: str
    state: str = "PENDING"
    restart: int = 0
    node: str = ""
    made: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    stays: bool = False  # never starts by itself

    @property
    def id(self) -> str:
        return f"{self.array}_{self.task}" if self.task.isdigit() else str(self.array)

    @property
    def alive(self) -> bool:
        return not self.ended

    @property
    def waits(self) -> bool:
        return self.state in _WAITING

    def row(self) -> str:
        columns = (
            str(self.array),
            self.task,
            self.state,
            self.node,
            "None",
            self.comment,
            self.name,
        )
        return FIELD.join(columns) + FIELD


@dataclass(slots=True)
class Seen:
    """What a listing really shows: the oracle does not trust the parser. `good`: it can be believed."""

    good: bool
    jobs: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()


@dataclass(slots=True)
class Answer:
    """A command's answer, the seconds that it takes, and what a listing showed."""

    result: CommandResult
    seconds: float
    seen: Seen | None = None


@dataclass(slots=True)
class FaultRates:
    """How often each kind of command goes wrong."""

    look: float = 0.0
    submit: float = 0.0
    cancel: float = 0.0
    latency: float = 0.1
    memory: float = 300.0  # MinJobAge: seconds for which an ended job is shown
    limit: int | None = None  # the most jobs that it takes, for a while


@dataclass(slots=True)
class Slurm:
    """Jobs, and commands about them."""

    rng: Random
    weather: FaultRates
    now: Callable[[], float]
    submitted: Callable[[list[Job]], None]
    cancelled: Callable[[Job], None]
    on_the_way: Callable[[float, Callable[[], object]], None]
    fault: Callable[[str], None]
    jobs: dict[str, Job] = field(default_factory=dict)
    _number: int = 1000
    _lies: bool = False
    _folded: set[int] = field(default_factory=set)
    _rows: list[tuple[str, str]] = field(default_factory=list)  # of an earlier listing

    def living(self) -> list[Job]:
        return [job for job in self.jobs.values() if not job.ended]

    # ----------------------------------------------------------------- the commands

    def run(self, argv: Sequence[str]) -> Answer:
        match argv[0]:
            case "sbatch" if self._is_over_limit(argv):
                self.fault("sbatch: over a limit that comes and goes")
                return self._say(argv, "", _LIMIT, 1)
            case "sbatch":
                return self._sbatch(argv)
            case "squeue":
                return self._squeue(argv)
            case _:
                return self._scancel(argv)

    def _say(self, argv: Sequence[str], out: str = "", err: str = "", rc: int = 0) -> Answer:
        seconds = self.weather.latency * self.rng.random()
        return Answer(CommandResult(tuple(argv), rc, out, err), seconds)

    def _hang(self, argv: Sequence[str], out: str = "", err: str = "") -> Answer:
        words = f"{err}\nno answer in {PATIENCE:g} s"
        return Answer(CommandResult(tuple(argv), TIMED_OUT, out, words), PATIENCE)

    # ----------------------------------------------------------------------- sbatch

    def _sbatch(self, argv: Sequence[str]) -> Answer:
        if self.rng.random() >= self.weather.submit:
            return self._say(argv, f"{self._make(argv)}\n")
        kind = self.rng.choice(SUBMIT_FAULTS)
        self.fault(f"sbatch: {kind}")
        match kind:
            case "busy":
                words = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
                return self._say(argv, "", words, 1)
            case "limit":
                return self._say(argv, "", _LIMIT, 1)
            case "hangs, not taken":
                return self._hang(argv)
            case "hangs, taken":
                self._make(argv)
                return self._hang(argv)
            case "hangs, taken late":
                answer = self._hang(
                    argv,
                    "",
                    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.",
                )
                # killed with its request on the way: the controller gets to it a little later
                self.on_the_way(PATIENCE + self.rng.uniform(-20, 20), lambda: self._make(argv))
                return answer
            case "times out, taken":
                self._make(argv)
                words = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
                return self._say(argv, "", words, 1)
            case _:  # "no id, taken"
                self._make(argv)
                return self._say(argv, "\x00?\n")

    def _is_over_limit(self, argv: Sequence[str]) -> bool:
        limit = self.weather.limit
        return limit is not None and len(self.living()) + len(_tasks(argv)) > limit

    def _make(self, argv: Sequence[str]) -> int:
        """Make the jobs; returns the array's number."""
        self._number += 1
        options = dict(word.split("=", 1) for word in argv if word.startswith("--") and "=" in word)
        submit = int(PurePath(argv[-1]).stem)
        comment, name = options["--comment"], options["--job-name"]
        tasks = _tasks(argv)
        now = self.now()
        made = [Job(self._number, task, submit, comment, name, made=now) for task in tasks]
        self.jobs.update((job.id, job) for job in made)
        self.submitted(made)
        return self._number

    # ----------------------------------------------------------------------- squeue

    def _shown(self) -> list[tuple[str, str]]:
        """Identities and rows of jobs that live, or ended a short while ago; "" for the latter."""
        return self._records(self.jobs.values())

    def _records(self, jobs: Iterable[Job]) -> list[tuple[str, str]]:
        """As 22.05 keeps them: an array's tasks that were cancelled before they started have one
        record together, when none of it waits any more; or none, if they were cancelled one by one.
        """
        old = self.now() - self.weather.memory
        waiting = {job.array for job in self.jobs.values() if job.waits}
        shown, folded = [], {}
        for job in jobs:
            if not job.ended:
                shown.append((job.id, job.row()))
            elif job.ended > old and not (job.task.isdigit() and not job.started):
                shown.append(("", job.row()))
            elif job.ended > old and job.array not in waiting and job.array % 3:
                folded[job.array] = ("", replace(job, task="N/A").row())
        for _ in folded.keys() - self._folded:
            self.fault("squeue: folded array record")
        self._folded |= folded.keys()
        return [*shown, *folded.values()]

    def _squeue(self, argv: Sequence[str]) -> Answer:
        asked = next((word[7:].split(",") for word in argv if word.startswith("--jobs=")), None)
        if asked is not None:
            return self._history(argv, asked)
        rows = self._shown()
        if self._lies and self.weather.look and self.rng.random() < 0.5:
            self._lies = True  # twice in a row, and more
        else:
            self._lies = self.rng.random() < self.weather.look
        if self._lies:
            answer = self._bad_look(argv, rows)
            self._rows = rows
            return answer
        self._rows = rows
        return self._list(argv, rows)

    def _history(self, argv: Sequence[str], asked: list[str]) -> Answer:
        found = [job for job in self.jobs.values() if {job.id, str(job.array)} & {*asked}]
        known = [row for _, row in self._records(found)]
        if not known and len(asked) == 1:
            return self._say(argv, "", "slurm_load_jobs error: Invalid job id specified", 1)
        return self._say(argv, "".join(ROW + row + "\n" for row in known))

    def _list(self, argv: Sequence[str], rows: list[tuple[str, str]]) -> Answer:
        text = "".join([f"{ROW}{row}\n" for row in (*_FOREIGN, *(row for _, row in rows))])
        answer = self._say(argv, text)
        waiting = frozenset(name for name, row in rows if f"{FIELD}PENDING{FIELD}" in row)
        answer.seen = Seen(True, frozenset(name for name, _ in rows), waiting)
        return answer

    def _bad_look(self, argv: Sequence[str], rows: list[tuple[str, str]]) -> Answer:
        kind = self.rng.choice(LISTING_FAULTS)
        self.fault(f"squeue: {kind}")
        match kind:
            case "empty":
                answer = self._say(argv)
                answer.seen = Seen(True)
            case "short":
                answer = self._list(argv, [row for row in rows if self.rng.random() < 0.6])
            case "late":
                answer = self._list(argv, self._rows)
            case "slow":
                answer = self._list(argv, rows)
                answer.seconds = self.rng.uniform(5, 50)
            case _:
                answer = self._no_look(kind, argv, "".join(f"{ROW}{row}\n" for _, row in rows))
                answer.seen = Seen(False)
        return answer

    def _no_look(self, kind: str, argv: Sequence[str], text: str) -> Answer:
        """What nobody can take for a listing. `text` is the true one."""
        match kind:
            case "empty with a complaint":
                return self._say(argv, "", _DOWN)
            case "garbage":
                return self._say(argv, self.rng.choice(_GARBAGE))
            case "cut":
                text = text or f"{ROW}1{FIELD}"
                start = text.rindex(ROW) + 1
                whole = len(text) - 2  # without the last FIELD and the newline
                return self._say(argv, text[: self.rng.randint(start, max(start, whole))])
            case "hangs":
                return self._hang(argv, text[: text.find("\n") + 1])
            case _:  # "fails"
                return self._say(argv, "", _DOWN, 1)

    # ---------------------------------------------------------------------- scancel

    def _scancel(self, argv: Sequence[str]) -> Answer:
        if self.rng.random() < self.weather.cancel:
            self.fault("scancel: fails")
            words = "scancel: error: Unable to contact slurm controller (connect failure)"
            return self._say(argv, "", words, 1)
        for name in argv[1:]:
            job = self.jobs.get(name)
            if job is not None and not job.ended:
                self.cancelled(job)
        return self._say(argv)

    def census(self) -> Counter[str]:
        return Counter(job.state for job in self.jobs.values())


def _tasks(argv: Sequence[str]) -> list[str]:
    """What a submit makes, as squeue names the tasks."""
    array = next((word for word in argv if word.startswith("--array=")), None)
    if array is None:
        return ["N/A"]
    first, last = array.removeprefix("--array=").split("-")
    return [str(task) for task in range(int(first), int(last) + 1)]


_LIMIT = (
    "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
    "accounting/QOS policy (job submit limit, user's size and/or time limits)"
)
_DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
_GARBAGE = ("<html>502</html>", "Last login: today\n", "JOBID STATE\n1 R\n")
SUBMIT_FAULTS = (
    "busy", "limit", "hangs, not taken", "hangs, taken", "hangs, taken late", "times out, taken",
    "no id, taken",
)  # fmt: skip
LISTING_FAULTS = (
    "empty", "short", "late", "slow", "empty with a complaint", "garbage", "cut", "hangs", "fails",
)  # fmt: skip
