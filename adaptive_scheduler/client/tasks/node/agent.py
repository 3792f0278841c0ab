"""One process on each node of a job: starts the tasks that the head gives it, watches and ends them.

Started by its supervisor as ``python -m adaptive_scheduler.client.tasks.node.agent SOCKET FOLDER LIFE
PARENT``: the path of the head's socket, the run's folder, how many agents this node has had, and an
inherited descriptor that ends with the supervisor.

One thread, one loop: it waits for the head, for answers of workers, for the end of processes
(as pidfds), and each `TICK` looks at what only the clock tells.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.frames import Frames
from adaptive_scheduler.client.tasks.messages import (
    Begun,
    Call,
    Done,
    Quit,
    Ready,
    Slot,
    Start,
    StopTask,
    TaskEnd,
    ToAgent,
)
from adaptive_scheduler.client.tasks.node import children
from adaptive_scheduler.client.tasks.node.programs import RunningProgram
from adaptive_scheduler.client.tasks.node.slots import Worker
from adaptive_scheduler.core.wire.tasks import EndKind

#: Seconds between two looks at what runs.
TICK = 0.05
#: A task that has run for so long is reported as begun; the end of a shorter one says it too.
BEGUN_AFTER = 0.05
#: Seconds between two looks for processes that tasks left behind.
ORPHANS = 1.0
#: Seconds after which a death by SIGTERM or SIGKILL is judged: a batch system that ends a job sends
#: them to all of its processes, and the head learns of it at the same time.
JUDGED_AFTER = 2.0
#: A slot whose workers die so often before they have begun anything cannot run calls.
MAX_STILLBORN = 3

#: Signals by which batch systems end jobs.
_OF_ENDING_JOBS = (signal.SIGTERM, signal.SIGKILL)

_orders: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ToAgent)


@dataclass
class SlotQueue:
    """What one slot runs, and what it is to run next."""

    slot: Slot
    waiting: deque[Start] = field(default_factory=deque)
    worker: Worker | None = None
    program: RunningProgram | None = None
    stillborn: int = 0


@dataclass
class Stopping:
    """A task that is being ended: how it is to be called, and when it is killed."""

    kind: EndKind
    kill_at: float
    is_told: bool = True  # False: its worker has not come to it yet


class Agent:
    """Runs tasks on one node.

    Parameters
    ----------
    sock : socket.socket
        To the head.
    folder : Path
        Of the run: it has ``functions`` and ``values``.
    life : int
    parent : int
        File descriptor that ends with the supervisor.
    environment : dict of str to str
        Of workers and programs.
    """

    def __init__(
        self, sock: socket.socket, folder: Path, life: int, parent: int,
        environment: dict[str, str],
    ) -> None:  # fmt: skip
        self._head = Frames(sock, _orders)
        self._folder = folder
        self._environment = environment
        self._slots: dict[Slot, SlotQueue] = {}
        self._where: dict[int, SlotQueue] = {}
        self._stopping: dict[int, Stopping] = {}
        self._begun: set[int] = set()
        self._doubtful: dict[int, tuple[float, TaskEnd]] = {}
        self._quit: Quit | None = None
        self._number = 0
        self._next_tick = self._next_orphans = 0.0
        self._selector = selectors.DefaultSelector()
        self._watch(sock, self._hear_head)
        self._watch(parent, self._lose_parent)
        self._head.send(Ready(socket.gethostname(), os.getpid(), life))

    def _watch(self, what: Any, action: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, action)

    # ------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Serve until the head or the supervisor ends, or says so."""
        while not (self._quit is not None and not self._where):
            self._head.flush()
            if not self._head.is_open:
                self._end_all(Quit())
            for key, _ in self._selector.select(TICK if self._where else ORPHANS):
                key.data()
            now = time.monotonic()
            if now >= self._next_tick:
                self._next_tick = now + TICK
                self._look(now)
        self._end_workers()
        while self._head.has_unsent and self._head.is_open:
            self._head.flush()
            time.sleep(0.001)

    def _hear_head(self) -> None:
        for order in self._head.receive():
            match order:
                case Start():
                    self._start(order)
                case StopTask():
                    self._stop(order.token, order.kind, order.grace)
                case Quit():
                    self._end_all(order)
        if not self._head.is_open:
            self._selector.unregister(self._head.sock)
            self._end_all(Quit())
        for queue in self._slots.values():
            self._pump(queue)

    def _lose_parent(self) -> None:
        """The supervisor has ended: nobody would kill what this agent leaves."""
        self._end_all(Quit(grace=0.0))

    def _look(self, now: float) -> None:
        """Notice what only the clock tells."""
        for token, stopping in self._stopping.items():
            if now >= stopping.kill_at:
                stopping.kill_at = float("inf")
                self._signal(token, signal.SIGKILL)
        for _, ended in [one for one in self._doubtful.values() if now >= one[0]]:
            self._report(ended)
        for queue in self._slots.values():
            token, since = self._running(queue)
            start = None if not token else self._start_of(queue, token)
            if start is not None:
                self._look_at(start, queue, since, now)
        if now >= self._next_orphans:
            self._next_orphans = now + ORPHANS
            self._kill_orphans()

    def _look_at(self, start: Start, queue: SlotQueue, since: float, now: float) -> None:
        if now - since >= BEGUN_AFTER and start.token not in self._begun:
            self._begun.add(start.token)
            pid = (queue.worker or queue.program).child.pid  # type: ignore[union-attr]
            self._head.send(Begun(start.token, pid, since))
        stopping = self._stopping.get(start.token)
        if stopping is not None and not stopping.is_told:
            stopping.is_told = True
            self._signal(start.token, signal.SIGTERM)
        is_late = start.timeout is not None and now - since >= start.timeout
        if is_late and start.token not in self._stopping:
            self._stop(start.token, EndKind.TIMEOUT, 10.0)

    @staticmethod
    def _running(queue: SlotQueue) -> tuple[int, float]:
        if queue.program is not None:
            return queue.program.start.token, queue.program.since
        return (0, 0.0) if queue.worker is None else queue.worker.now()

    @staticmethod
    def _start_of(queue: SlotQueue, token: int) -> Start | None:
        if queue.program is not None:
            return queue.program.start
        return None if queue.worker is None else queue.worker.given.get(token)

    # ------------------------------------------------------------------------- beginning

    def _start(self, start: Start) -> None:
        queue = self._slots.get(start.slot)
        if queue is None:
            queue = self._slots[start.slot] = SlotQueue(start.slot)
        self._where[start.token] = queue
        queue.waiting.append(start)

    def _pump(self, queue: SlotQueue) -> None:
        """Let a slot begin what it can."""
        while queue.waiting and queue.program is None:
            if not isinstance(queue.waiting[0].work, Call):
                if queue.worker is not None and queue.worker.given:
                    return
                self._begin_program(queue, queue.waiting.popleft())
                continue
            worker = queue.worker or self._new_worker(queue)
            if worker is None or worker.room <= 0:
                return
            batch: list[Start] = []
            while (
                queue.waiting
                and len(batch) < worker.room
                and isinstance(queue.waiting[0].work, Call)
            ):
                batch.append(queue.waiting.popleft())
            worker.give(batch)

    def _new_worker(self, queue: SlotQueue) -> Worker | None:
        self._end_idle_neighbours(queue)
        self._number += 1
        try:
            worker = Worker(
                queue.slot, self._environment_of(queue.slot), str(self._number), self._folder
            )
        except OSError as error:
            self._fail_waiting(queue, f"no worker can be started: {error}")
            return None
        queue.worker = worker
        self._watch(worker.frames.sock, partial(self._hear_worker, queue, worker))
        self._watch(worker.child.pidfd, partial(self._lose_worker, queue, worker))
        return worker

    def _end_idle_neighbours(self, queue: SlotQueue) -> None:
        """Idle workers of other slots on these cores keep memory for nothing."""
        for other in self._slots.values():
            if other is queue or other.worker is None or other.worker.given or other.waiting:
                continue
            if not set(other.slot.cores).isdisjoint(queue.slot.cores):
                other.worker.child.send(signal.SIGKILL)

    def _environment_of(self, slot: Slot) -> dict[str, str]:
        return {**self._environment, **slot_variables(slot)}

    def _begin_program(self, queue: SlotQueue, start: Start) -> None:
        program = RunningProgram(start, self._environment_of(queue.slot))
        queue.program = program
        self._continue(queue, program)

    def _continue(self, queue: SlotQueue, program: RunningProgram) -> None:
        """Begin the next step of a command; end it if there is none."""
        ended = program.begin_step()
        if ended is None:
            self._watch(program.child.pidfd, partial(self._end_step, queue, program))
        else:
            queue.program = None
            self._report(ended)

    def _end_step(self, queue: SlotQueue, program: RunningProgram) -> None:
        self._selector.unregister(program.child.pidfd)
        self._kill_orphans()
        stopping = self._stopping.get(program.start.token)
        ended = program.end_step(None if stopping is None else stopping.kind)
        if ended is None:
            self._continue(queue, program)
        else:
            queue.program = None
            self._judge(ended)
        self._pump(queue)

    # ------------------------------------------------------------------------- workers

    def _hear_worker(self, queue: SlotQueue, worker: Worker) -> None:
        for done in worker.frames.receive():
            self._take(worker, done)
        if not worker.frames.is_open:
            # it has ended, or user code has closed its files: then it can tell nothing any more
            self._selector.unregister(worker.frames.sock)
            worker.child.send(signal.SIGKILL)
        elif queue.waiting:
            self._pump(queue)

    def _take(self, worker: Worker, done: Done) -> None:
        for token, kind, value, path, seconds in done.results:
            if worker.given.pop(token, None) is not None:
                worker.note(seconds)
                self._report(TaskEnd(token, kind, 0, value, path, seconds))

    def _lose_worker(self, queue: SlotQueue, worker: Worker) -> None:
        """A worker has ended: so has the task in it; the others that it was given begin elsewhere."""
        self._selector.unregister(worker.child.pidfd)
        if worker.frames.is_open:
            self._selector.unregister(worker.frames.sock)
        for done in worker.frames.receive():  # what it had sent before
            self._take(worker, done)
        token, since = worker.now()
        ending = worker.child.wait()
        start = worker.given.pop(token, None)
        if start is not None:
            self._judge(self._death(start, ending, time.monotonic() - since))
        elif worker.given and not worker.answered:
            queue.stillborn += 1
        if queue.worker is worker:
            queue.worker = None
        self._take_back(queue, list(worker.given.values()))
        worker.close()
        if start is not None or worker.answered:
            queue.stillborn = 0
        if queue.stillborn >= MAX_STILLBORN:
            self._fail_waiting(queue, f"its workers end before they can begin ({_how(ending)})")
        self._pump(queue)

    def _take_back(self, queue: SlotQueue, starts: list[Start]) -> None:
        """A worker has not come to these: another one begins them, unless they are to end."""
        for start in reversed(starts):
            stopping = self._stopping.get(start.token)
            if stopping is None:
                queue.waiting.appendleft(start)
            else:
                self._report(TaskEnd(start.token, stopping.kind, begun=False))

    def _judge(self, ended: TaskEnd) -> None:
        """Report a death, at once or when it is known whether its whole job ends."""
        is_doubtful = ended.kind is EndKind.SIGNAL and ended.code in _OF_ENDING_JOBS
        if is_doubtful and self._quit is not None:
            self._report(msgspec.structs.replace(ended, kind=self._quit.kind))
        elif is_doubtful:
            self._doubtful[ended.token] = time.monotonic() + JUDGED_AFTER, ended
        else:
            self._report(ended)

    def _death(self, start: Start, ending: children.ProcessEnd, seconds: float) -> TaskEnd:
        stopping = self._stopping.get(start.token)
        if stopping is not None:
            return TaskEnd(
                start.token, stopping.kind, ending.signal, seconds=seconds, peak=ending.peak
            )
        kind = EndKind.SIGNAL if ending.signal else EndKind.DIED
        return TaskEnd(
            start.token, kind, ending.signal or ending.status, seconds=seconds, peak=ending.peak,
            text=f"the process that evaluated it {_how(ending)}",
        )  # fmt: skip

    def _fail_waiting(self, queue: SlotQueue, why: str) -> None:
        queue.stillborn = 0
        while queue.waiting:
            self._report(
                TaskEnd(queue.waiting.popleft().token, EndKind.UNABLE, text=why, begun=False)
            )

    # ------------------------------------------------------------------------- ending

    def _report(self, ended: TaskEnd) -> None:
        self._where.pop(ended.token, None)
        self._stopping.pop(ended.token, None)
        self._begun.discard(ended.token)
        self._doubtful.pop(ended.token, None)
        self._head.send(ended)

    def _stop(self, token: int, kind: EndKind, grace: float) -> None:
        queue = self._where.get(token)
        if queue is None or token in self._stopping:
            return
        if token in self._doubtful:
            self._report(msgspec.structs.replace(self._doubtful[token][1], kind=kind))
            return
        waiting = next((start for start in queue.waiting if start.token == token), None)
        if waiting is not None:
            queue.waiting.remove(waiting)
            self._report(TaskEnd(token, kind, begun=False))
        elif self._running(queue)[0] == token:
            self._stopping[token] = Stopping(kind, time.monotonic() + grace)
            self._signal(token, signal.SIGTERM if grace else signal.SIGKILL)
        else:  # its worker has it, and perhaps begins it in a moment
            self._stopping[token] = Stopping(kind, time.monotonic() + grace, is_told=False)

    def _signal(self, token: int, number: int) -> None:
        queue = self._where.get(token)
        if queue is not None and self._running(queue)[0] == token:
            (queue.program or queue.worker).child.send(number)  # type: ignore[union-attr]

    def _end_all(self, order: Quit) -> None:
        if self._quit is not None and self._quit.grace <= order.grace:
            return
        self._quit = order
        for token in list(self._where):
            self._stopping.pop(token, None)
            self._stop(token, order.kind, order.grace)

    def _end_workers(self) -> None:
        for queue in self._slots.values():
            if queue.worker is not None:
                queue.worker.child.send(signal.SIGKILL)
                queue.worker.child.wait()
        for pid in children.children():
            children.kill(pid)

    def _kill_orphans(self) -> None:
        """Kill what tasks have left behind: as orphans they are children of this process."""
        workers = {q.worker.child.pid: q.worker for q in self._slots.values() if q.worker}
        programs = {q.program.child.pid for q in self._slots.values() if q.program}
        for pid in children.children() - workers.keys() - programs:
            task = children.variable_of(pid, children.TASK_VARIABLE)
            if task is not None and int(task) in self._where:
                continue  # of a program that runs still
            children.kill(pid)


def slot_variables(slot: Slot) -> dict[str, str]:
    """Environment that tells a program which GPUs and how many threads are its own."""
    gpus = ",".join(slot.gpus)
    visible = dict.fromkeys(
        ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"),
        gpus,
    )
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
        str(slot.threads),
    )
    return visible | threads


def _how(ending: children.ProcessEnd) -> str:
    if ending.signal == signal.SIGKILL:
        return f"was killed, probably because memory ran out: it had {ending.peak / 2**30:.1f} GB at most"
    if ending.signal:
        return f"was ended by {signal.Signals(ending.signal).name}"
    return f"ended with status {ending.status} in the middle of the call"


def main(argv: list[str]) -> None:
    """Run tasks for the head that listens at a socket."""
    children.become_subreaper()
    children.leave_to_head()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(argv[0])
    Agent(sock, Path(argv[1]), int(argv[2]), int(argv[3]), dict(os.environ)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
