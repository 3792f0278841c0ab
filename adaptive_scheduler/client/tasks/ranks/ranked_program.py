"""A task of several ranks that runs: its launcher, what its ranks report, and what is left of them here."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from adaptive_scheduler.client.tasks.messages import Call, Ranks, Slot, Start, TaskEnd
from adaptive_scheduler.client.tasks.node.command_log import SpareLog
from adaptive_scheduler.client.tasks.node.environment import (
    argv_of,
    marks_of,
    owner_of,
    placeholders,
)
from adaptive_scheduler.client.tasks.node.ledger import how
from adaptive_scheduler.client.tasks.node.orphans import end_marked
from adaptive_scheduler.client.tasks.node.programs import RunningProgram
from adaptive_scheduler.client.tasks.node.variables import RANKS_VARIABLE, TASK_VARIABLE
from adaptive_scheduler.client.tasks.ranks.files import RankFiles
from adaptive_scheduler.client.tasks.ranks.launcher import (
    RankLauncher,
    find_launcher,
    own_environment,
)
from adaptive_scheduler.client.tasks.ranks.plan import (
    RankEnded,
    RankLost,
    RankPlan,
    hosts_of,
    orders_of,
    size_of,
)
from adaptive_scheduler.client.tasks.ranks.reports import LauncherOutput
from adaptive_scheduler.client.tasks.ranks.which_rank import END_SOFTLY, name_of
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.io.system.child_process import Child, ProcessEnd, Streams
from adaptive_scheduler.schedulers.rank_launch import on_its_node

#: What a launcher starts as each rank. Without ``site``: that takes as long as all that `rank_start`
#: needs; and nothing is left to be done at its exit.
ENTER = (
    "import os, sys; sys.path.append(sys.argv.pop(1)); "
    "from adaptive_scheduler.client.tasks.ranks.rank_start import main; os._exit(main(sys.argv[1:]))"
)
#: What evaluates calls in each rank.
CALL = "adaptive_scheduler.client.tasks.ranks.call_rank"
#: Where this package is.
_ROOT = os.fspath(Path(__file__).parents[4])
#: Seconds that the other ranks have to end when one has failed.
GRACE = 2.0
#: Seconds between two looks for ranks that have lost their launcher.
LOOK = 1.0


class RankedProgram(RunningProgram):
    """A command, or a call, of several ranks.

    Parameters
    ----------
    start : Start
    environment : mapping of str to str
        Of its slot.
    node : str
        By which processes of this node are known.
    spare : SpareLog
    folder : Path
        Of the run.
    cwd : str
        Working directory of calls.
    """

    def __init__(
        self,
        start: Start,
        environment: Mapping[str, str],
        node: str,
        spare: SpareLog,
        folder: Path,
        cwd: str,
    ) -> None:
        assert start.ranks is not None
        work = start.work
        if isinstance(work, Call):
            work = CommandSpec([CommandStep("", argv=["the call"])], cwd, "", keep_log=False)
        super().__init__(start, work, {**environment, RANKS_VARIABLE: node}, node, spare)
        self._ranks: Ranks = start.ranks
        self._folder = folder
        self._launch: _Launch | None = None

    @property
    def _files(self) -> RankFiles:
        return RankFiles(self._folder / "values", self.start.token)

    @property
    def _has_log(self) -> bool:
        return not isinstance(self.start.work, Call)

    # ------------------------------------------------------------------------- its begin

    def _spawn(self) -> Child:
        output = self.log.open() if self._has_log else None
        if not self._work.launch_ranks:
            values = placeholders(self.start.slot, hosts_of(self._ranks), self.start.attempt)
            environment = own_environment(self._ranks, self._environment, self._folder)
            child = Child(
                argv_of(self._step, values), environment, cwd=self._work.folder, output=output,
                cores=self.start.slot.cores,
            )  # fmt: skip
            child.prefer_when_memory_is_short()
            return child
        launcher = find_launcher(self._ranks, self._environment, self._folder)
        self._write_files(launcher)
        launch = _Launch(launcher)
        try:
            child = launch.begin(self._files.plan, self._work.folder, output, self.start.slot.cores)
        except BaseException:
            launch.close()
            raise
        self._launch = launch
        return child

    def _write_files(self, launcher: RankLauncher) -> None:
        """Write down what its ranks are to do."""
        files, call, start = self._files, self.start.work, self.start
        if isinstance(call, Call):
            files.write_call(call)
        programs, orders = orders_of(self._ranks, start.slot.threads, self._argv_for)
        files.write_plan(
            RankPlan(
                owner_of(self._environment), self._marks, [node.name for node in self._ranks.nodes],
                self._ranks.per_node, programs, isinstance(call, Call), orders, self._work.folder,
                launcher.has_input, os.fspath(files.lost),
            )
        )  # fmt: skip

    def _argv_for(self, slot: Slot) -> list[str]:
        """The program of a rank."""
        if isinstance(self.start.work, Call):
            return [sys.executable, "-P", "-m", CALL, os.fspath(self._files.plan)]
        return argv_of(self._step, placeholders(slot, hosts_of(self._ranks), self.start.attempt))

    @property
    def _marks(self) -> dict[str, str]:
        return marks_of(self._environment, {TASK_VARIABLE: str(self.start.token)})

    # ------------------------------------------------------------------------- while it runs

    def send(self, number: int) -> None:
        """Send a signal to all ranks."""
        if self._launch is None or number == signal.SIGKILL:
            self.child.send(number)
        else:
            self._launch.end_softly(self.child)

    def look(self, now: float) -> None:
        """Take in what ranks report; end the others if one has failed: a launcher may wait for them."""
        launch = self._launch
        if launch is None:
            return
        self._log(launch.hear())
        if launch.is_told and now >= launch.look_at:
            launch.look_at = now + LOOK
            launch.end_softly(self.child)  # a rank that has begun since has not heard it
        elif launch.failed is None and now >= launch.look_at:
            launch.look_at = now + LOOK
            launch.lost = self._files.read_lost()
        if launch.failed is None and launch.lost is None:
            return
        if launch.kill_at is None:
            launch.kill_at = now + GRACE
            launch.end_softly(self.child)
        elif now >= launch.kill_at:
            self.child.send(signal.SIGKILL)

    def _log(self, lines: bytes) -> None:
        """Write down what a launcher says, until all ranks have ended well: a value may be the log's last line."""
        launch = self._launch
        is_done = (
            launch is not None and not launch.failed and launch.n_ended >= size_of(self._ranks)
        )
        if lines and not is_done:
            os.write(self.log.open() if self._has_log else 2, lines)

    def may_linger(self) -> bool:
        """Whether its ranks may go on without their launcher: not if one of them has failed."""
        if self._launch is not None:
            self._log(self._launch.hear())
        launch = self._launch
        return launch is None or (launch.failed is None and launch.lost is None)

    def is_clean(self) -> bool:
        """Whether nothing is left of its ranks on this node; kills what is."""
        return not end_marked(self._marks)

    # ------------------------------------------------------------------------- its end

    def _reap(self) -> ProcessEnd:
        ending = self.child.reap()
        launch = self._launch
        if launch is None:
            return ending
        self._log(launch.hear())
        launch.close()
        if launch.failed is None:
            launch.lost = launch.lost or self._files.read_lost()
        if launch.tells_ranks_end(ending):
            launch.lost = None
        if launch.failed is not None:
            return ProcessEnd(launch.failed.status, launch.failed.signal, launch.peak)
        return ending._replace(peak=launch.peak)

    def _judge(self, ending: ProcessEnd) -> TaskEnd | None:
        launch, self._launch = self._launch, None
        if launch is None:
            return super()._judge(ending)
        if isinstance(self.start.work, Call):
            ended: TaskEnd | None = self._judge_call(launch, ending)
        else:
            kind = EndKind.SIGNAL if ending.signal else EndKind.EXIT
            ended = self._failure(launch, ending, kind)
        return None if ended is None else structs.replace(ended, part=self._part_at_fault(launch))

    def _part_at_fault(self, launch: _Launch) -> int:
        """Which of its nodes has the rank that failed; the first one, on which the launcher is, if none began."""
        at_fault = launch.failed or launch.lost
        if at_fault is None:
            return -1 if launch.has_begun else 0
        names = [node.name for node in self._ranks.nodes]
        return names.index(at_fault.node) if at_fault.node in names else -1

    def _judge_call(self, launch: _Launch, ending: ProcessEnd) -> TaskEnd:
        failed = launch.failed
        is_whole = launch.n_ended >= size_of(self._ranks)
        has_ended = failed is not None or (is_whole and not (ending.signal or ending.status))
        rank = 0 if failed is None else failed.rank
        outcome = self._files.read_outcome(rank) if has_ended else None
        if outcome is not None:
            ended = self._end(outcome.kind, 0, outcome.text)
            return structs.replace(ended, value=outcome.value, path=outcome.path)
        kind = EndKind.SIGNAL if ending.signal else EndKind.DIED
        ended_badly = self._failure(launch, ending, kind)
        return ended_badly or self._end(EndKind.DIED, 0, "rank 0 ended without a value")

    def _failure(self, launch: _Launch, ending: ProcessEnd, kind: EndKind) -> TaskEnd | None:
        """Say why it has failed; None: it has not."""
        failed = launch.failed
        code = ending.signal or ending.status
        if failed is not None:
            name = f"{self._name}{name_of(failed.rank, failed.node, size_of(self._ranks))} "
            if failed.fault:
                text = f"{name}could not be started: {failed.fault}"
                return self._end(EndKind.UNABLE, failed.error, text)
            return self._end(kind, code, name + how(ending))
        if launch.lost is not None:
            name = name_of(launch.lost.rank, launch.lost.node, size_of(self._ranks))
            return self._end(
                EndKind.DIED, 0, f"{self._name}{name} was killed, or its launcher there"
            )
        said = f": {launch.last_line}" if launch.last_line else ""
        if not code:
            return self._missing(launch, said)
        text = f"{launch.name} {how(ending)}{said}"
        if not launch.has_begun and not ending.killed_by:
            return self._end(EndKind.UNABLE, code, f"{self._name}could not be started: {text}")
        return self._end(kind, code, self._name + text)

    def _missing(self, launch: _Launch, said: str) -> TaskEnd | None:
        """Say that not all ranks have ended: srun succeeds when those that are left have, as a node dies."""
        size = size_of(self._ranks)
        if launch.n_ended >= size:
            return None
        missing = size - launch.n_ended
        text = f"{missing} of its {size} ranks were lost before they had ended{said}"
        return self._end(EndKind.DIED, 0, self._name + text)

    def close(self, ended: TaskEnd, *, is_alone: bool) -> None:
        """Close its log, and remove its files."""
        super().close(ended, is_alone=is_alone)
        self._files.remove(size_of(self._ranks))


class _Launch:
    """One run of a launcher.

    Attributes
    ----------
    failed : RankEnded or None
        The first rank that has.
    lost : RankLost or None
        A rank that has lost its launcher.
    look_at : float
        When to look for one again.
    is_told : bool
        Whether its ranks are to end.
    ended : dict of int to bool
        Whether it has ended, by rank; of those that have begun.
    peak : int
        Bytes of the largest rank.
    kill_at : float or None
        When what is left of it is killed, as a rank has failed.
    """

    def __init__(self, launcher: RankLauncher) -> None:
        self.failed: RankEnded | None = None
        self.lost: RankLost | None = None
        self.look_at = 0.0
        self.is_told = False
        self.ended: dict[int, bool] = {}
        self.peak = 0
        self.kill_at: float | None = None
        self._launcher = launcher
        self._output = LauncherOutput()
        self._input = -1

    def begin(self, plan: Path, folder: str, output: int | None, cores: tuple[int, ...]) -> Child:
        """Start it."""
        rank = on_its_node([sys.executable, "-S", "-P", "-c", ENTER, _ROOT, os.fspath(plan)])
        its = None
        if self._launcher.has_input:
            its, self._input = os.pipe2(os.O_CLOEXEC)
        try:
            return Child(
                [*self._launcher.argv, *rank], self._launcher.environment, cwd=folder,
                output=Streams(its, output, self._output.its), cores=cores,
            )  # fmt: skip
        finally:
            self._output.close_its()
            if its is not None:
                os.close(its)

    @property
    def has_begun(self) -> bool:
        """Whether a rank has."""
        return bool(self.ended)

    @property
    def n_ended(self) -> int:
        """How many ranks have told their end."""
        return sum(self.ended.values())

    @property
    def name(self) -> str:
        """Of the launcher."""
        return self._launcher.name

    def tells_ranks_end(self, ending: ProcessEnd) -> bool:
        """Whether the end of the launcher is how a rank wanted it, as by ``MPI_Abort``.

        Hydra ends a moment earlier than the other ranks then; each of them sees its launcher die.
        """
        trouble = self._launcher.own_trouble
        return bool(trouble and ending.status) and ending.status != trouble

    @property
    def last_line(self) -> str:
        """What the launcher has said last."""
        return self._output.last_line

    def end_softly(self, child: Child) -> None:
        """Let all ranks have a SIGTERM."""
        self.is_told = True
        if self._launcher.has_input:
            with suppress(BrokenPipeError):  # it has ended
                os.write(self._input, END_SOFTLY)
        else:
            child.send_alone(signal.SIGTERM)

    def hear(self) -> bytes:
        """Take in what has been said; returns what is for people."""
        lines = b""
        for one in self._output.read():
            if isinstance(one, bytes):
                lines += one
                continue
            self.ended[one.rank] = isinstance(one, RankEnded)
            if isinstance(one, RankEnded):
                self.peak = max(self.peak, one.peak)
                if one.is_bad and self.failed is None:
                    self.failed = one
        return lines

    def close(self) -> None:
        """Close what is open of it."""
        self._output.close()
        if self._input >= 0:
            os.close(self._input)
            self._input = -1
