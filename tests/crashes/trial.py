"""A piece of work on files, tried with each of its calls failing or being the last."""

from __future__ import annotations

import json
import os
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.disk import files
from tests.crashes.broken_disk import DEATHS, BrokenDisk, Fault, QuickDisk
from tests.crashes.power import PoweredDisk
from tests.effort import times

T = TypeVar("T")
#: How often a step is tried on a broken disk before it is mended.
PATIENCE = 3


class Work(Protocol):
    """A piece of work on one kind of file. Whatever it `say` is done has to survive."""

    name: str

    def prepare(self, folder: Path) -> None:
        """What is there before."""

    def work(self, folder: Path, trial: Trial) -> None:
        """Do it, each step by `trial.step`, and `trial.say` what is done."""

    def check(self, folder: Path, said: list[Any]) -> None:
        """Load it, and assert that it is as it was said to be: before or after the last step."""


class Trial:
    """One run of a work.

    Attributes
    ----------
    said : list
        What was acknowledged.
    errors : list of FileError
        What went wrong and was told.
    """

    def __init__(self, folder: Path, disk: BrokenDisk, mouth: int | None = None) -> None:
        self.said: list[Any] = []
        self.errors: list[FileError] = []
        self._folder = folder
        self._disk = disk
        self._mouth = mouth

    def step(self, act: Callable[[], T]) -> T:
        """Do it; where the disk does not let us, again, and at last with the disk mended."""
        for left in reversed(range(PATIENCE + 1)):
            try:
                return act()
            except FileError as error:
                self._look_at(error, left)
        raise AssertionError("unreachable")

    def _look_at(self, error: FileError, left: int) -> None:
        assert Path(error.path).is_relative_to(self._folder), f"names no file: {error}"
        assert left, f"does not go on when the disk is mended: {error}"
        self.errors.append(error)
        if left == 1:
            self._disk.mend()

    def aside(self) -> AbstractContextManager[None]:
        """Inside, another process does something, whose disk is not ours."""
        return files.through(QuickDisk())

    def say(self, what: Any, *, is_synced: bool = True) -> None:
        """Acknowledge; what is not synced survives the process, but no power cut."""
        self.said.append(what)
        if self._mouth is not None:
            os.write(self._mouth, json.dumps(what).encode() + b"\n")


class PoweredTrial(Trial):
    """One run of a work, in which the power is cut at each change, in thought.

    Attributes
    ----------
    cuts : int
        So many cuts were looked at.
    """

    def __init__(self, work: Work, folder: Path, home: Path) -> None:
        self.cuts = 0
        self._work = work
        self._left = home / "left"
        self._unsynced: list[Any] = []
        self._powered = PoweredDisk(folder, self._cut)
        super().__init__(folder, BrokenDisk())

    def run(self) -> None:
        """Do the work once."""
        with files.through(self._powered):
            self._work.work(self._folder, self)

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def say(self, what: Any, *, is_synced: bool = True) -> None:
        self._unsynced.append(what)
        if is_synced:
            self.said += self._unsynced
            self._unsynced.clear()

    def _cut(self) -> None:
        for luck in (None, *map(random.Random, range(times(1, 10)))):
            self.cuts += 1
            self._powered.leave(self._left, luck)
            with files.through(QuickDisk()):
                try:
                    self._work.check(self._left, self.said)
                except Exception as error:
                    raise AssertionError(
                        f"{self._work.name}: power cut {self.cuts}, luck {luck is not None}, "
                        f"said {self.said}"
                    ) from error


class Trials:
    """All trials of one work: its dry run, then each call with each fault.

    Attributes
    ----------
    calls : list of str
        What the work asks of the disk.
    counts : Counter
        Trials by fault.
    """

    def __init__(self, work: Work, home: Path) -> None:
        self._work = work
        self._home = home
        self.counts: Counter[str] = Counter()
        disk = BrokenDisk()
        folder = self._fresh()
        trial = Trial(folder, disk)
        with files.through(disk):
            work.work(folder, trial)
        with files.through(QuickDisk()):
            work.check(folder, trial.said)
        assert not trial.errors
        self.calls = disk.calls

    def _fresh(self) -> Path:
        """The folder as it was before: made once, then copied."""
        model, folder = self._home / "model", self._home / "trial"
        if not model.exists():
            model.mkdir(parents=True)
            with files.through(QuickDisk()):
                self._work.prepare(model)
        shutil.rmtree(folder, ignore_errors=True)
        # a rename keeps the inodes of the copy, by which files are told apart
        shutil.copytree(model, folder)
        return folder

    def _points(self, faults: tuple[Fault, ...], most: int) -> Iterator[tuple[int, Fault]]:
        """Each call with so many of these faults at most: with the next ones for a call of its name."""
        turns: Counter[str] = Counter()
        for at, call in enumerate(self.calls):
            its = [fault for fault in faults if fault.applies(call)]
            for _ in range(min(most, len(its))):
                yield at, its[turns[call] % len(its)]
                turns[call] += 1

    def die_everywhere(self) -> None:
        """The process dies before, or half way through, each call."""
        for at, fault in self._points(DEATHS, len(DEATHS)):
            folder = self._fresh()
            said = self._die(folder, at, fault)
            self._check(folder, said, at, fault)

    def _die(self, folder: Path, at: int, fault: Fault) -> list[Any]:
        ear, mouth = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(ear)
                disk = BrokenDisk(at, fault)
                with files.through(disk):
                    self._work.work(folder, Trial(folder, disk, mouth))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(mouth)
        with os.fdopen(ear) as lines:
            said = [json.loads(line) for line in lines]
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 9, f"did not die at {at}: {self.calls[at]}"
        return said

    def fail_everywhere(self, faults: tuple[Fault, ...], most: int) -> None:
        """Each call fails, once or until the disk is mended, and the process goes on."""
        for at, fault in self._points(faults, most):
            folder = self._fresh()
            disk = BrokenDisk(at, fault)
            trial = Trial(folder, disk)
            try:
                with files.through(disk):
                    self._work.work(folder, trial)
            except Exception as error:
                raise AssertionError(self._where(at, fault)) from error
            assert disk.struck, "the work is not the same twice"
            self._check(folder, trial.said, at, fault)

    def cut_everywhere(self) -> None:
        """The power is cut at each change."""
        trial = PoweredTrial(self._work, self._fresh(), self._home)
        trial.run()
        self.counts["power cut"] = trial.cuts

    def _check(self, folder: Path, said: list[Any], at: int, fault: Fault) -> None:
        self.counts[fault.name] += 1
        try:
            with files.through(QuickDisk()):
                self._work.check(folder, said)
        except Exception as error:
            raise AssertionError(f"{self._where(at, fault)}, said {said}") from error

    def _where(self, at: int, fault: Fault) -> str:
        return (
            f"{self._work.name}: {fault.name} at call {at} of {len(self.calls)}: {self.calls[at]}"
        )

    def untried(self, faults: tuple[Fault, ...]) -> list[str]:
        """Faults of which none has come: the work asks for no call that can end so."""
        names = [fault.name for fault in (*DEATHS, *faults)]
        return [name for name in (*names, "power cut") if not self.counts[name]]

    def report(self) -> str:
        """Figures for people."""
        deaths = sum(n for name, n in self.counts.items() if name.startswith("death"))
        cuts = self.counts["power cut"]
        errors = sum(self.counts.values()) - deaths - cuts
        return (
            f"{self._work.name}: {len(self.calls)} calls, {deaths} deaths, {errors} errors, "
            f"{cuts} power cuts"
        )
