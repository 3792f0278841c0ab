"""The faults, drawn by a seeded dice: each finds its victim first, then breaks something."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random

import psutil

from tests.chaos.endings import PLACES
from tests.chaos.fault import Fault
from tests.chaos.world import TIMING, WRONG_ANSWERS, ChaosRun, Rank, World
from tests.clusters import remains

#: Seconds that slurmctld is away.
CONTROLLER_AWAY = 30.0
#: Kinds that come twice as often.
TWICE = ("manager killed", "client killed", "worker killed", "squeue answers wrongly")
#: Kinds that come first, so that there is time to see what they cost.
FIRST = ("submit limit", "waiting array cancelled")
#: Faults before a node is broken for good.
BEFORE_BROKEN_NODE = 3
#: Seconds in which some job should come to the place in which its code is to end it.
PATIENCE = 5.0

Undo = Callable[[], None]


class NothingToBreakError(Exception):
    """The fault has no victim just now."""


class NotMendedError(Exception):
    """A repair was not taken, and is tried again."""


class Faults:
    """Breaks things, remembers what it broke, and mends it in time.

    Parameters
    ----------
    world : World
    dice : Random
    """

    def __init__(self, world: World, dice: Random) -> None:
        self.world = world
        self.dice = dice
        self.done: list[Fault] = []
        self.broken_node = ""
        self._repairs: list[tuple[float, Undo, Fault]] = []
        self._deck: list[str] = []

    def _kinds(self) -> dict[str, Callable[[], Fault]]:
        """What each kind of fault does."""
        kinds = {
            "manager killed": self.kill_manager, "client killed": self.kill_client,
            "worker killed": self.kill_worker, "slurmstepd killed": self.kill_stepd,
            "client stopped": self.stop_client, "client outlives its job": self.outlive_job,
            "job requeued": self.requeue, "node drained": self.drain,
            "node broken": self.break_node, "slurmctld away": self.stop_controller,
            "squeue answers wrongly": self.falsify_queue, "disk full": self.fill_disk,
            "submit limit": self.limit, "waiting array cancelled": self.cancel_array,
            **{ending(place): partial(self.end_by_user_code, place) for place in PLACES},
        }  # fmt: skip
        if not self.world.has_small_disk:
            del kinds["disk full"]
        return kinds

    def missing(self) -> list[str]:
        """Kinds of fault that have not come yet."""
        had = {fault.kind for fault in self.done}
        return [kind for kind in self._kinds() if kind not in had]

    def strike(self) -> Fault | None:
        """Let one fault happen; None if none of a few has a victim."""
        for _ in range(4):
            if not self._deck:
                self._deck = self._shuffled()
            if (fault := self._try(self._deck.pop())) is not None:
                return fault
        return None

    def strike_missing(self) -> Fault | None:
        """Let a fault of a kind happen that has not come yet; None if it has no victim now."""
        missing = self.missing()
        return self._try(self.dice.choice(missing)) if missing else self.strike()

    def _try(self, kind: str) -> Fault | None:
        with suppress(NothingToBreakError, psutil.NoSuchProcess):
            fault = self._kinds()[kind]()
            assert fault.kind == kind, f"{kind} calls itself {fault.kind}"
            self.done.append(fault)
            return fault
        return None

    def _shuffled(self) -> list[str]:
        """All kinds; a node is broken early, so that there is time to see what it costs."""
        deck = [kind for kind in (*self._kinds(), *TWICE) if kind not in ("node broken", *FIRST)]
        self.dice.shuffle(deck)
        deck += FIRST  # the last is drawn first
        if not self.broken_node:
            deck.insert(len(deck) - BEFORE_BROKEN_NODE, "node broken")
        return deck

    def repair(self, all_of_them: bool = False) -> None:
        """Mend what is due; what cannot be mended yet is tried again a second later."""
        due = [r for r in self._repairs if all_of_them or r[0] <= time.monotonic()]
        self._repairs = [r for r in self._repairs if r not in due]
        for _, undo, fault in sorted(due, key=lambda repair: repair[0]):
            try:
                undo()
            except (NotMendedError, RuntimeError, OSError, subprocess.SubprocessError):
                self._later(1.0, fault, undo)
            else:
                fault.until = time.monotonic()

    def repair_all(self, patience: float) -> list[str]:
        """Mend everything now; returns what could not be mended in time (seconds)."""
        end = time.monotonic() + patience
        while self._repairs and time.monotonic() < end:
            self.repair(all_of_them=True)
            time.sleep(0.1)
        return [f"{fault.kind} {fault.what} was not mended" for _, _, fault in self._repairs]

    def _later(self, seconds: float, fault: Fault, undo: Undo) -> Fault:
        self._repairs.append((time.monotonic() + seconds, undo, fault))
        return fault

    def _is_under_way(self, kind: str) -> bool:
        return any(fault.kind == kind for _, _, fault in self._repairs)

    def _choose(self, things: list[Rank]) -> Rank:
        if not things:
            raise NothingToBreakError
        return self.dice.choice(things)

    # ------------------------------------------------------------------ user code

    def end_by_user_code(self, place: str) -> Fault:
        """User code raises SystemExit or ends its process, in one of the places where it is called."""
        run = self.dice.choice(self.world.runs)
        ranks, flags, fault = self.world.ranks(), run.mix.flags, Fault(ending(place), run.name)
        flags.order(place)
        end = time.monotonic() + PATIENCE
        while (taken := flags.taken(place)) is None:
            if time.monotonic() > end:
                if flags.withdraw(place):
                    raise NothingToBreakError
                end = float("inf")  # it was taken just now
            time.sleep(0.05)
        fault.job, pid = taken
        fault.what = f"{run.name} job {fault.job}"
        if PLACES[place]:
            fault.pids = pids_of(fault.job, ranks) | {pid}
        return fault

    # ------------------------------------------------------------------ processes

    def kill_manager(self) -> Fault:
        run = self.dice.choice(self.world.runs)
        process = run.manager()
        if process is None:
            raise NothingToBreakError
        process.kill()
        return Fault("manager killed", f"{run.name} {process.pid}")

    def _kill_rank(self, kind: str, ranks: list[Rank], victim: Rank) -> Fault:
        fault = Fault(kind, f"{victim.run.name} job {victim.job} rank {victim.rank}")
        fault.job, fault.pids = victim.job, pids_of(victim.job, ranks)
        victim.process.kill()
        return fault

    def kill_client(self) -> Fault:
        ranks = self.world.ranks()
        victim = self._choose([rank for rank in ranks if rank.rank == 0])
        return self._kill_rank("client killed", ranks, victim)

    def kill_worker(self) -> Fault:
        ranks = self.world.ranks()
        victim = self._choose([rank for rank in ranks if rank.rank > 0])
        return self._kill_rank("worker killed", ranks, victim)

    def kill_stepd(self) -> Fault:
        ranks = self.world.ranks()
        job = self._choose(ranks).job
        stepd = self.dice.choice(self._stepds(job))
        stepd.kill()
        pids = pids_of(job, ranks)
        return Fault("slurmstepd killed", f"of job {job}", pids=pids, job=job, stepds=True)

    def _stepds(self, job: str) -> list[psutil.Process]:
        found = [
            process
            for process in remains.processes(self.world.slurm.folder)
            if re.search(rf"\[{self._raw(job)}\.", " ".join(_words(process)))
        ]
        if not found:
            raise NothingToBreakError
        return found

    def _raw(self, job: str) -> str:
        """The number by which Slurm's daemons call a task of an array."""
        if "_" not in job:
            return job
        try:
            shown = self.world.slurm.run("scontrol", "show", "job", job, timeout=5).stdout
        except (RuntimeError, subprocess.TimeoutExpired):
            raise NothingToBreakError from None
        return shown.split()[0].removeprefix("JobId=")

    def stop_client(self) -> Fault:
        """For longer than its lease: it comes back as the owner of what may be another's."""
        ranks = self.world.ranks()
        victim = self._choose([rank for rank in ranks if rank.rank == 0])
        fault = Fault("client stopped", f"{victim.run.name} job {victim.job}", stops=True)
        fault.job, fault.pids = victim.job, pids_of(victim.job, ranks)
        victim.process.suspend()
        seconds = TIMING.lease + self.dice.uniform(2, 6)
        return self._later(seconds, fault, lambda: _continue([victim.process]))

    def outlive_job(self) -> Fault:
        """Slurm forgets a job whose stopped client lives on; it is continued when others have its work."""
        ranks = self.world.ranks()
        victim = self._choose([rank for rank in ranks if rank.rank == 0])
        stepds = self._stepds(victim.job)
        fault = Fault("client outlives its job", f"{victim.run.name} job {victim.job}", stops=True)
        fault.stepds = True
        fault.job, fault.pids = victim.job, pids_of(victim.job, ranks)
        victim.process.suspend()
        self._later(
            TIMING.lease + self.dice.uniform(8, 14), fault, lambda: _continue([victim.process])
        )
        for stepd in stepds:
            with suppress(psutil.NoSuchProcess):  # the job has just ended by itself
                stepd.kill()
        self._slurm("scancel", victim.job)
        return fault

    # ------------------------------------------------------------------ Slurm

    def _slurm(self, *argv: str) -> bool:
        """Whether Slurm has taken a command; False also if that is not known."""
        return self._try_slurm(*argv) is True

    def _try_slurm(self, *argv: str) -> bool | None:
        """Whether Slurm has taken a command; None: it did not answer, and may have taken it."""
        try:
            return self.world.slurm.run(*argv, check=False, timeout=15).returncode == 0
        except subprocess.TimeoutExpired:
            return None

    def requeue(self) -> Fault:
        """Of a job that runs: one that was cancelled, but whose client lives, would come back.

        Not while squeue answers wrongly: a client that said goodbye, and an empty listing, are what
        a job leaves that has ended. It is replaced, and with the requeued one there is one too many.
        """
        if self._is_under_way("squeue answers wrongly"):
            raise NothingToBreakError
        running = {job for job, state, *_ in self.world.queue(5) or [] if state == "RUNNING"}
        ranks = [rank for rank in self.world.ranks() if rank.job in running]
        victim = self._choose(ranks)
        fault = Fault("job requeued", f"{victim.run.name} job {victim.job}", job=victim.job)
        fault.pids = pids_of(victim.job, ranks)
        if self._try_slurm("scontrol", "requeue", victim.job) is False:
            raise NothingToBreakError

        def start() -> None:  # it would wait for two minutes
            argv = ("scontrol", "update", f"JobId={victim.job}", "StartTime=now")
            if not self._slurm(*argv) and self._may_wait(victim.job):
                raise NotMendedError(victim.job)

        return self._later(self.dice.uniform(4, 12), fault, start)

    def _may_wait(self, job: str) -> bool:
        rows = self.world.queue(5)
        return rows is None or any(row[:2] == (job, "PENDING") for row in rows)

    def drain(self) -> Fault:
        node = f"n{self.dice.randint(1, self.world.slurm.nodes)}"
        update = ("scontrol", "update", f"NodeName={node}")
        if node == self.broken_node or self._is_under_way("node drained"):
            raise NothingToBreakError
        if self._try_slurm(*update, "State=DRAIN", "Reason=chaos") is False:
            raise NothingToBreakError
        fault = Fault("node drained", node)

        def resume() -> None:  # Slurm refuses it for a node that is not drained any more
            if not self._slurm(*update, "State=RESUME") and self._may_be_drained(node):
                raise NotMendedError(node)

        return self._later(self.dice.uniform(8, 20), fault, resume)

    def _may_be_drained(self, node: str) -> bool:
        with suppress(subprocess.TimeoutExpired):
            told = self.world.slurm.run("sinfo", "-h", "-N", "-n", node, "-o", "%T", check=False, timeout=15)  # fmt: skip
            return told.returncode != 0 or "drain" in told.stdout
        return True

    def break_node(self) -> Fault:
        """From now to the end each job dies on one node at once, also those that run there."""
        rows = self.world.queue(5) or []
        nodes = [node for _, state, node, _ in rows if state == "RUNNING"]
        # a run whose first job of all dies at once is held, as it should be
        has_worked = all(run.has_evaluated() for run in self.world.runs)
        if self.broken_node or not nodes or not has_worked:
            raise NothingToBreakError
        self.broken_node = self.dice.choice(nodes)
        (self.world.folder / f"broken-{self.broken_node}").touch()
        jobs = [job for job, _, node, _ in rows if node == self.broken_node]
        ranks = self.world.ranks()
        fault = Fault("node broken", f"{self.broken_node}, {len(jobs)} jobs cancelled there")
        fault.pids = {pid for job in jobs for pid in pids_of(job, ranks)}
        self._slurm("scancel", *jobs)
        return fault

    def stop_controller(self) -> Fault:
        controller = self.world.slurm.controller()
        if controller is None or self._is_under_way("slurmctld away"):
            raise NothingToBreakError
        if self.dice.random() < 0.5:
            controller.suspend()
            fault = Fault("slurmctld away", "SIGSTOP")
            return self._later(CONTROLLER_AWAY, fault, lambda: _continue([controller]))
        fault = Fault("slurmctld away", "ended, and started again")
        self.world.slurm.stop_controller()
        return self._later(CONTROLLER_AWAY, fault, self.world.slurm.start_controller)

    def falsify_queue(self) -> Fault:
        """Not while a job is requeued, see `requeue`."""
        mode = self.world.folder / "squeue-mode"
        if self._is_under_way("squeue answers wrongly") or self._is_under_way("job requeued"):
            raise NothingToBreakError
        answer = self.dice.choice(WRONG_ANSWERS)
        mode.write_text(answer)
        fault = Fault("squeue answers wrongly", answer)
        return self._later(self.dice.uniform(6, 14), fault, partial(mode.unlink, missing_ok=True))

    def limit(self) -> Fault:
        """The site takes no more jobs, for a while; some end meanwhile, and are to be replaced."""
        if self._is_under_way("submit limit"):
            raise NothingToBreakError
        fault = Fault("submit limit", "none is taken")
        fault.pids = self._cancel_all(self.dice.choice(self.world.runs))
        mark = self.world.folder / "submit-limit"
        mark.touch()
        return self._later(self.dice.uniform(8, 15), fault, partial(mark.unlink, missing_ok=True))

    def cancel_array(self) -> Fault:
        """All jobs of a run end, the next ones cannot start, and are cancelled while they wait."""
        if self._is_under_way("waiting array cancelled"):
            raise NothingToBreakError
        run = self.dice.choice(self.world.runs)
        partition = ("scontrol", "update", "PartitionName=normal")
        fault = Fault("waiting array cancelled", run.name)
        fault.pids = self._cancel_all(
            run
        )  # raises if there are none: before the partition is closed
        self._slurm(*partition, "State=DOWN")
        folded: set[str] = set()

        def cancel_waiting() -> None:
            rows = self.world.queue_of(run, self.world.queue() or [])
            waiting = {job.partition("_")[0] for job, state, _, _ in rows if state == "PENDING"}
            if waiting - folded and self._slurm("scancel", *waiting):
                folded.update(waiting)
                fault.what = f"{run.name}, {len(folded)} arrays cancelled before they started"
            if not self._slurm(*partition, "State=UP"):
                raise NotMendedError(partition)

        return self._later(self.dice.uniform(9, 14), fault, cancel_waiting)

    def _cancel_all(self, run: ChaosRun) -> set[int]:
        """End all jobs of a run; returns the processes that die with them."""
        jobs = [job for job, _, _, _ in self.world.queue_of(run, self.world.queue() or [])]
        if not jobs:
            raise NothingToBreakError
        ranks = self.world.ranks()
        self._slurm("scancel", *jobs)
        return {pid for job in jobs for pid in pids_of(job, ranks)}

    # ------------------------------------------------------------------ disk

    def fill_disk(self) -> Fault:
        if self._is_under_way("disk full"):
            raise NothingToBreakError
        fill = self.world.disk / "fill"
        fd = os.open(fill, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with suppress(OSError):
            while True:
                os.write(fd, bytes(2**16))
        with suppress(OSError):
            while True:
                os.write(fd, b"\0")
        os.close(fd)
        fault = Fault("disk full", f"{fill.stat().st_size >> 20} MiB")
        return self._later(self.dice.uniform(5, 10), fault, partial(fill.unlink, missing_ok=True))


def ending(place: str) -> str:
    """The kind of fault."""
    return f"user code ends: {place}"


def pids_of(job: str, ranks: list[Rank]) -> set[int]:
    """All processes of a job's world."""
    return {rank.process.pid for rank in ranks if rank.job == job}


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _continue(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
