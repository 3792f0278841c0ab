"""Runs the claim and the report of a user's own script (`client_support.get_learner`)."""

from __future__ import annotations

import atexit
import os
import pickle
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.link import (
    FINAL_TIMEOUT,
    ManagerLink,
    first_patience,
    idle_patience,
)
from adaptive_scheduler.client.scripts.match import same_fname
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Hello,
    Idle,
    Refused,
    Reply,
    Report,
)
from adaptive_scheduler.errors import (
    EnvironmentMismatchError,
    InputError,
    ManagerUnreachableError,
    RequestRefusedError,
)
from adaptive_scheduler.io.pickling.by_value import dumps_with_code

#: Seconds between two reports of how far the learner is.
_REPORT_INTERVAL = 5.0


class Script:
    """One script's right to one learner, which ends with the process at the latest.

    Parameters
    ----------
    folder : RunFolder
    timing : Timing
    run : str
        Its id; "": not known.

    Raises
    ------
    EnvironmentMismatchError
        The MPI world is not what the job was given.
    ManagerUnreachableError, RequestRefusedError
    """

    def __init__(self, folder: RunFolder, timing: Timing, run: str = "") -> None:
        self._job = JobEnvironment.of(os.environ).of_run(run)
        self._link = ManagerLink(folder, self._job.owner, timing)
        self._folder = folder
        self._timing = timing
        self._assigned: Assigned | None = None
        self._learner: Any = None
        self._gave_up = False
        self._begin = time.monotonic()
        self._link.__enter__()
        atexit.register(self._at_exit)
        self._hook = sys.excepthook
        sys.excepthook = self._on_exception
        send_with_code()
        self._hello()

    def _hello(self) -> None:
        size = world_size()
        job = self._job
        hello = Hello(socket.gethostname(), os.getpid(), size, job.submit, age=job.age)
        self._ask(hello, first_patience(self._folder, self._timing))
        if self._job.is_batch and self._job.executor == "mpi4py" and size != self._job.cores:
            text = (
                f"This job was given {self._job.cores} MPI ranks, but this process sees an MPI "
                f"world of {size}: mpiexec and mpi4py do not match, or the script was not started "
                "with 'mpiexec -n N python -m mpi4py.futures'. Use the mpiexec of mpi4py's MPI."
            )
            self._job.mark_end()
            self._link.say_goodbye(Goodbye(text, broken=True, submit=self._job.submit))
            raise EnvironmentMismatchError(text)

    def claim(self) -> Assigned:
        """Wait for an item; SystemExit if there is nothing to do."""
        since = time.monotonic()
        while True:
            reply = self._ask(Claim(), idle_patience(self._timing))
            if isinstance(reply, Assigned):
                self._assigned, self._begin = reply, time.monotonic()
                self._job.mark_begun()
                return reply
            assert isinstance(reply, Idle)
            if reply.over or time.monotonic() - since > self._link.timing.idle:
                self._job.mark_end()
                raise SystemExit(0)
            time.sleep(reply.wait)

    def watch(self, learner: Any) -> None:
        """Report how far a learner is, as long as the script has it."""
        self._learner = learner
        threading.Thread(target=self._report_on, name="progress", daemon=True).start()

    def _report_on(self) -> None:
        while self._assigned is not None:
            with suppress(RuntimeError):  # it changes meanwhile
                seconds = time.monotonic() - self._begin
                self._link.report(Report(npoints=self._learner.npoints, seconds=seconds))
            time.sleep(_REPORT_INTERVAL)

    def finish(self, fname: Any) -> None:
        """Save the learner, then report that it is done."""
        assigned = self._assigned
        if assigned is None or not same_fname(fname, assigned.fname):
            given = "none" if assigned is None else repr(assigned.fname)
            raise InputError(
                f"is_done(url, {fname!r}): get_learner gave this process {given}. "
                "Give is_done the fname that get_learner returned."
            )
        self._save(assigned)
        report = Report(
            npoints=self._learner.npoints,
            loss=_loss(self._learner),
            seconds=time.monotonic() - self._begin,
        )
        self._ask(Finish(assigned.token, report), self._patience_left())
        self._assigned = None
        self._job.mark_end()

    def _patience_left(self) -> float:
        """Seconds that a manager which is away may still take to come back."""
        return max(FINAL_TIMEOUT, self._timing.client_patience - self._link.away())

    def _save(self, assigned: Assigned) -> None:
        from adaptive_scheduler.evaluation.learners.store import LearnerStore

        end = time.monotonic() + self._patience_left()
        while not self._link.is_lease_good() and time.monotonic() < end:
            refusal = self._link.refusal()
            if refusal is not None:
                raise RequestRefusedError(
                    refusal, f"{assigned.fname!r} was not saved: another job has this learner now."
                )
            time.sleep(0.1)  # the manager is away
        names = assigned.fname if isinstance(assigned.fname, list) else [assigned.fname]
        for name in names:
            Path(name).expanduser().parent.mkdir(parents=True, exist_ok=True)
        LearnerStore(self._learner, assigned.fname, assigned.token, self._link.is_lease_good).save()

    # ------------------------------------------------------------- the end of the script

    def _on_exception(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        self._give_up(f"your script raised {kind.__name__}: {error}", text)
        self._hook(kind, error, trace)

    def _at_exit(self) -> None:
        self._give_up("the script ended without is_done(url, fname)", "")
        goodbye = Goodbye("the script ended", submit=self._job.submit)
        self._link.say_goodbye(goodbye, gave_up=self._gave_up)
        self._link.close()

    def _give_up(self, reason: str, text: str) -> None:
        if self._assigned is None or self._gave_up:
            return
        npoints = getattr(self._learner, "npoints", 0)
        report = Report(npoints=npoints, seconds=time.monotonic() - self._begin)
        self._link.ask(Fail(self._assigned.token, reason, text, report), FINAL_TIMEOUT)
        self._assigned = None
        self._job.mark_end()

    def _ask(self, request: Any, patience: float) -> Reply:
        reply = self._link.ask(request, patience)
        if reply is None:
            self._gave_up = True
            self._job.mark_end()  # another try in this job would wait as long again
            raise ManagerUnreachableError(
                f"the manager did not answer for {patience:g} s. Is it running? "
                "The run folder's 'complaints' say what was tried."
            )
        if isinstance(reply, Refused):
            raise RequestRefusedError(reply.code, reply.reason)
        return reply


def world_size() -> int:
    """Ranks of this MPI world; 1 where MPI is not started."""
    mpi = sys.modules.get("mpi4py.MPI")
    return 1 if mpi is None else int(mpi.COMM_WORLD.Get_size())


def send_with_code() -> None:
    """Spare the worker ranks the import of ``learners_file``, and so of adaptive.

    `mpi4py.MPI.pickle` is what mpi4py documents for other ways to pickle.
    """
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None:
        mpi.pickle.__init__(dumps_with_code, pickle.loads)


def _loss(learner: Any) -> float | None:
    with suppress(BaseException):  # not defined yet, or the user's own
        return float(learner.loss())
    return None
