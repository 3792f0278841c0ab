"""What must hold whatever happens, judged by what was really sent to the manager and by it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from adaptive_scheduler.core.jobs.commands import CancelDone, Result, SubmitJobs
from adaptive_scheduler.core.rows.retry_decision import FIRST_DELAY, IN_ALL, MAX_VAIN
from adaptive_scheduler.core.rows.row import OVER, Item, Phase
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Beat,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Idle,
    Ok,
    Owner,
    Refused,
    Release,
    Reply,
    Request,
)
from adaptive_scheduler.io.storage import tinydb_file
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.dispatch import Dispatcher
from tests.simulation.manager import FOLDER
from tests.simulation.slurm import Job, Seen

replace = msgspec.structs.replace

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tests.simulation.lives import Life

#: Refusals of somebody who is not, or not any more, the client of its job.
STRANGERS = ("old_life", "many_clients", "left")
#: Seconds after which a client has spoken, whatever held it up before: the longest pause between
#: two tries (30 s, with jitter), and a lease.
PATIENT = 36.0 + 30.0
#: Listings that leave a job as it was before.
STALE = ("late", "slow", "short", "empty")
#: Rounding of floats.
EPSILON = 1e-6


class ViolationError(AssertionError):
    """A promise is broken."""


def demand(holds: object, promise: str) -> None:
    if not holds:
        raise ViolationError(promise)


def _counts_after(row: Item, request: Fail | Release) -> list[tuple[int, int, int]]:
    """What its row may count after such a request: failures, failures in all, crashes."""
    fails, in_all, crashes = row.fails, row.fails_in_all, row.crashes
    if isinstance(request, Release):
        return [(fails, in_all, crashes)]
    if request.crash:
        return [(fails, in_all, crashes + 1)]
    gets_on = request.workers and request.report.new_points >= request.workers
    return [(1 if gets_on else fails + 1, in_all + 1, crashes)]


class Oracle:
    """Watches a history: compares the manager's public state with what was sent and answered."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.connection = b""
        #: Of the answers that clients got: rows that are DONE, tokens of failures, the last token.
        self.done: set[int] = set()
        self.failures: defaultdict[int, set[int]] = defaultdict(set)
        self.tokens: dict[int, int] = {}
        self.token_owners: dict[int, str] = {}
        self.spoke: set[str] = set()
        #: Jobs that were believed dead for good reasons, though they live.
        self.excused: set[str] = set()
        #: Jobs that may be cancelled although they hold something.
        self.silent: set[str] = set()
        #: Jobs that the manager has tried to cancel.
        self.leaving: set[str] = set()
        #: When each client was last heard, and the submits that were sent.
        self._heard_of: dict[str, float] = {}
        self._submits: set[int] = set()
        #: Clients that were told that they may go.
        self._left: set[str] = set()
        #: Deaths that nobody may overlook: item, job, token.
        self.sure_deaths: set[tuple[int, str, int]] = set()
        self._goodbye: set[str] = set()
        self._lives: dict[str, tuple[int, int]] = {}
        self._ready_at: dict[int, float] = {}
        self._last_turn = 0.0

    # --------------------------------------------------------------------- a manager

    def manager_started(self, turns: Dispatcher) -> None:
        self._turns = turns
        self._book = turns.state.items
        self._rows: list[Item] = []
        self._real = turns.clients.handle
        turns.clients.handle = self.handle  # type: ignore[method-assign]
        self._answers: dict[str, tuple[int, Reply]] = {}
        self._pending: dict[bytes, tuple[Owner, Request, Reply]] = {}
        self._ready_at.clear()
        self._shown: frozenset[str] = frozenset()
        self._cancel_taken: set[str] = set()
        self._cancelling: set[str] = set()
        self._heard: dict[str, float] = {}
        self._owners: dict[str, Owner] = {}
        self._lacking: Counter[str] = Counter()
        self._waiting: frozenset[str] = frozenset()
        self._since = self.history.now
        self._check_rows()
        forgotten = self._submits - set(turns.state.jobs.submits)
        demand(not forgotten, "a submit that was sent is forgotten")

    def turn_taken(self, looked: bool) -> None:
        """After each turn that came to its end."""
        self._last_turn = self.history.now
        rows = self._book.rows
        if len(rows) != len(self._rows) or any(
            a is not b for a, b in zip(rows, self._rows, strict=True)
        ):
            self._check_rows()
        self._check_owners()
        self._check_leases()
        if looked:
            self._check_burials()

    # ---------------------------------------------------------------------- messages

    def arrives(self, connection: bytes, _message: bytes) -> None:
        """The manager is about to look at a message."""
        self.connection = connection

    def handle(self, owner: Owner, number: int, request: Request, now: Moment) -> Reply:
        """Watch the manager answer one request."""
        before = list(self._book.rows)
        reply = self._real(owner, number, request, now)
        last = self._answers.get(owner.uuid)
        if last is not None and number <= last[0]:
            self._check_repeated(before, number, last, reply)
        else:
            self._answers[owner.uuid] = number, reply
            self._hear(owner, request, reply)
            self._check_token(before, request, reply)
            if isinstance(request, Claim):
                self._check_claim(before, owner, reply)
            elif isinstance(request, Finish) and isinstance(reply, (Assigned, Idle)):
                demand(request.claims, "work is given to one that does not ask")
                self._check_claim(self._between(before, reply), owner, reply)
            elif isinstance(request, Fail) and isinstance(reply, Ok):
                self._note_failure(before, request)
        self._pending[self.connection] = owner, request, reply
        return reply

    def _hear(self, owner: Owner, request: Request, reply: Reply) -> None:
        if isinstance(reply, Refused) and reply.code in STRANGERS:
            return
        known = self._owners.get(owner.job)
        if known is not None and owner.job not in self._goodbye:
            demand(
                owner.life >= known.life,
                f"a request of an earlier client of job {owner.job} is accepted",
            )
            same = owner.life == known.life and owner.uuid != known.uuid
            demand(
                not same, f"requests of two clients of one start of job {owner.job} are accepted"
            )
        self._owners[owner.job] = owner
        self._heard_of[owner.uuid] = self.history.now
        self._heard[owner.job] = self.history.now
        self.spoke.add(owner.job)
        self._lives[owner.job] = max(self._lives.get(owner.job, owner.life), owner.life)
        self._goodbye.discard(owner.job)
        if isinstance(request, Goodbye):
            self._goodbye.add(owner.job)

    def _check_repeated(
        self, before: list[Item], number: int, last: tuple[int, Reply], reply: Reply
    ) -> None:
        demand(number < last[0] or reply == last[1], "the same request got another answer")
        demand(self._same(before), "a repeated request changed a row")

    def _same(self, before: list[Item]) -> bool:
        return all(a is b for a, b in zip(before, self._book.rows, strict=True))

    def _check_token(self, before: list[Item], request: Request, reply: Reply) -> None:
        if not isinstance(request, (Beat, Finish, Fail, Release)) or not request.token:
            return
        row = next((item for item in before if item.token == request.token), None)
        if row is None or (row.phase is not Phase.RUNNING and not isinstance(request, Finish)):
            demand(self._same(before), "a stale token changed a row")
            demand(isinstance(reply, Refused), "a stale token is accepted")
            return
        now = self._book.rows[row.id]
        if isinstance(request, Finish):
            if row.phase in (Phase.RUNNING, Phase.DONE):
                heard = Ok if not request.claims else (Assigned, Idle)
                fine = isinstance(reply, heard) and now.phase is Phase.DONE
                demand(
                    fine or reply.code in STRANGERS, "a finish with the present token is refused"
                )  # type: ignore[union-attr]
        elif isinstance(request, (Fail, Release)) and isinstance(reply, Ok):
            demand(now.phase in (Phase.QUEUED, Phase.FAILED), "what was let go of is still held")
            counted = now.fails, now.fails_in_all, now.crashes
            demand(counted in _counts_after(row, request), "a failure is not counted")

    def _between(self, before: list[Item], reply: Reply) -> list[Item]:
        """Rows as they were after a finish and before the claim that came with it."""
        rows = list(self._book.rows)
        if isinstance(reply, Assigned):
            was = before[reply.item]
            is_freed = was.phase is Phase.WAITING  # by that finish
            rows[reply.item] = replace(was, phase=Phase.QUEUED) if is_freed else was
        return rows

    def _note_failure(self, before: list[Item], request: Fail) -> None:
        row = next((item for item in before if item.token == request.token), None)
        if row is not None:
            after = self._book.rows[row.id]
            doublings = after.fails + after.crashes - 1
            self._ready_at[row.id] = self.history.now + FIRST_DELAY * 2.0**doublings

    def _is_free(self, item: Item, shape: int) -> bool:
        if item.phase is not Phase.QUEUED or item.shape != shape:
            return False
        return self._ready_at.get(item.id, float("-inf")) < self._last_turn

    def _check_claim(self, before: list[Item], owner: Owner, reply: Reply) -> None:
        """Who asks gets what it holds, else the best of what is free."""
        shape = self.history.shape_of(owner.job)
        held = next((item for item in before if item.job == owner.job), None)
        if isinstance(reply, Assigned):
            demand(owner.uuid not in self._left, "work is given to a client that has left")
            given, was = self._book.rows[reply.item], before[reply.item]
            demand(given.owner == owner and given.token == reply.token, "given to somebody else")
            if was.owner == owner:
                demand(given is was, "a claim sent twice changed the row")
            else:
                demand(reply.token > max(item.token for item in before), "a token is given again")
                if was is held and was.owner is not None:
                    crash = was.owner.restart == owner.restart
                    demand(given.crashes == was.crashes + crash, "the end of a client is misjudged")
            if held is None:
                demand(was.phase is Phase.QUEUED, "what is not free is given")
                ended = self.history.slurm.jobs[owner.job].ended  # who speaks then is a zombie
                leaves = owner.job in self._cancelling and not ended
                demand(not leaves, "a job that is being cancelled gets work")
                demand(
                    self.history.now >= self._ready_at.get(was.id, 0.0),
                    "an item that has just failed is given at once",
                )
                place = (-was.priority, was.fails + was.crashes, was.id)
                for item in before:
                    if item is not was and self._is_free(item, shape):
                        rival = (-item.priority, item.fails + item.crashes, item.id)
                        demand(place < rival, "the wrong item is given first")
            else:
                demand(was is held or self._book.rows[held.id].job is None, "it holds two items")
        elif isinstance(reply, Idle) and not reply.over:
            demand(not any(self._is_free(item, shape) for item in before), "free work is withheld")

    def refused(self, owner: Owner, reply: Refused) -> None:
        """The present client of a job was refused."""
        demand(False, f"the one client of job {owner.job} is refused: {reply.code}: {reply.reason}")

    def told(self, connection: bytes, _message: bytes) -> None:
        """An answer leaves: what it says must be true for ever after."""
        said = self._pending.pop(connection, None)
        if said is None:
            return
        owner, request, reply = said
        if isinstance(request, Goodbye):
            self._left.add(owner.uuid)
        if isinstance(reply, Assigned):
            known = self.token_owners.setdefault(reply.token, owner.uuid)
            demand(known == owner.uuid, "two clients have the same token")
            self.tokens[reply.item] = max(self.tokens.get(reply.item, 0), reply.token)
        if isinstance(request, (Finish, Fail)) and not isinstance(reply, Refused):
            item = self._book.by_token(request.token)
            if item is not None and isinstance(request, Finish):
                self.done.add(item.id)
            elif item is not None and not request.crash:
                self.failures[item.id].add(request.token)

    # -------------------------------------------------------------------------- rows

    def _check_rows(self) -> None:
        rows = self._rows = list(self._book.rows)
        holders = [item.job for item in rows if item.phase is Phase.RUNNING]
        demand(len(holders) == len(set(holders)), "a job holds two items")
        for item in rows:
            running = item.phase is Phase.RUNNING
            demand((item.job is not None) == (item.owner is not None) == running, "job and phase")
            demand(item.id not in self.done or item.phase is Phase.DONE, "a finish is undone")
            demand(item.fails_in_all >= len(self.failures[item.id]), "a failure is forgotten")
            demand(item.token >= self.tokens.get(item.id, 0), "a token is forgotten")
            if running or item.phase is Phase.QUEUED:
                ready = all(rows[parent].phase is Phase.DONE for parent in item.depends_on)
                demand(ready, "it is free before what it depends on is done")
            self._check_verdict(rows, item)
        for phase in Phase:
            n = sum(item.phase is phase for item in rows)
            demand(self._book.phases[phase] == n, "phases are miscounted")

    def _check_verdict(self, rows: list[Item], item: Item) -> None:
        limits = self.history.config.limits
        over = (
            item.fails > limits.max_fails
            or item.fails_in_all > IN_ALL * limits.max_fails
            or item.crashes > limits.max_crashes
            or item.vain > MAX_VAIN
        )
        if item.phase in (Phase.QUEUED, Phase.RUNNING):
            demand(not over, "an item goes on beyond its budget")
        elif item.phase is Phase.FAILED:
            blocked = any(rows[parent].phase is Phase.FAILED for parent in item.depends_on)
            demand(over or blocked, "an item is given up within its budget")
        elif item.phase is Phase.WAITING:
            parents = [rows[parent].phase for parent in item.depends_on]
            demand(Phase.FAILED not in parents, "it waits for what has failed")
            demand(any(phase is not Phase.DONE for phase in parents), "it waits for nothing")

    # ------------------------------------------------------------------------ owners

    def _check_owners(self) -> None:
        """Whose lease is good by its own clock has the item, but for a later life of its job."""
        rows = self._book.rows
        writers: dict[int, str] = {}
        for life in self.history.all_lives():
            client = life.client
            if not client.token or not client.holds(life.clock()):
                continue
            job = client.owner.job
            silent = self.history.now - self._heard_of.get(client.owner.uuid, 0.0)
            lease = self.history.config.timing.lease
            demand(silent <= lease, f"job {job} believes in its lease for longer than the manager")
            if self._lives.get(job, client.owner.life) > client.owner.life:
                continue  # what the batch system said of its end was believed
            other = writers.setdefault(client.item, job)
            demand(other == job, f"jobs {other} and {job} may both write to item {client.item}")
            is_owner = rows[client.item].token == client.token
            demand(is_owner, f"job {job} lost item {client.item} while its lease was good")

    def _check_leases(self) -> None:
        """Who works, and is not held up by anything, keeps its lease."""
        history = self.history
        if history.p_message and not history.calm:
            return
        for life in history.lives.values():
            client = life.client
            if life.dead or client.waits_for is not None or not client.is_at_work:
                continue
            free = max(life.paused_until, life.cut_until, history.manager.quiet_since, history.calm)
            if history.now - free > PATIENT and not client.holds(life.clock()):
                demand(client.is_refused, f"job {life.job.id} works without a lease")

    # -------------------------------------------------------------------- the queue

    def command_answered(self, result: Result, seen: Seen | None) -> None:
        """The result of a command reaches the manager; `seen` is what a listing shows."""
        if isinstance(result, CancelDone):
            self._cancel_taken.update(result.jobs)
        if seen is not None:
            self._note_listing(seen)

    def _note_listing(self, seen: Seen) -> None:
        self._shown = seen.jobs
        if not seen.good:
            return
        self._waiting = (self._waiting - seen.jobs) | seen.waiting
        for job in self.history.slurm.living():
            if job.id in seen.jobs:
                self._lacking[job.id] = 0
            else:
                self._lacking[job.id] += 1

    def _silence(self, job: str) -> float:
        return self.history.now - max(self._heard.get(job, self._since), self._since) + EPSILON

    def _check_burials(self) -> None:
        jobs = self._turns.state.jobs
        for job in self.history.slurm.living():
            record = jobs.records.get(job.id)
            if job.id in self._shown:
                lives = record is not None and not record.ended
                demand(lives, f"job {job.id} is listed and believed dead")
            if job.id in self.excused:
                continue
            if record is not None and record.ended:
                demand(self._may_seem_dead(job), f"job {job.id} lives and is believed dead")
                self.excused.add(job.id)
            elif record is None:
                self._check_forgotten(job)
        self.check_number()

    def _may_seem_dead(self, job: Job) -> bool:
        """A listing lied, and the job itself was silent, had left, or had never said a word."""
        if not self._lacking[job.id]:
            return False
        timing = self.history.config.timing
        silent = self._silence(job.id) >= timing.lease
        if job.id in self._goodbye or (job.id in self.spoke and silent):
            return True
        if job.id in self._cancel_taken:
            return True  # Slurm has taken our cancel: the job ends within KillWait
        age = self.history.now - max(self._since, job.made) + EPSILON
        return self._lacking[job.id] >= 2 and age >= timing.grace

    def _check_forgotten(self, job: Job) -> None:
        submit = self._turns.state.jobs.submits.get(job.submit)
        demand(submit is not None, "a submit left no trace")
        if submit is not None and submit.jobs is not None:
            demand(self._lacking[job.id] >= 2, f"the submit of job {job.id} is believed lost")
            self.excused.add(job.id)

    def check_number(self) -> None:
        alive = [job for job in self.history.slurm.living() if job.id not in self.excused]
        limit = self.history.config.limits.max_jobs
        demand(len(alive) <= limit, f"{len(alive)} jobs, {limit} are allowed")

    def submit_decided(self, submit: SubmitJobs) -> None:
        """The manager sends a submit: whoever follows on it must know."""
        self._submits.add(submit.number)

    def cancel_decided(self, jobs: Sequence[str]) -> None:
        """The manager wants these to be cancelled."""
        timing = self.history.config.timing
        self.leaving.update(jobs)
        self._cancelling.update(jobs)
        for name in jobs:
            job = self.history.slurm.jobs.get(name)
            demand(job is not None, "a job of somebody else is cancelled")
            held = self._book.held_by(name) is not None
            mute = self._silence(name) > timing.lease + timing.patience
            if mute:
                self.silent.add(name)
            elif held:
                demand(job is None or job.ended, "a job that works is cancelled")
            elif job is not None and job.state == "RUNNING" and self._book.unfinished:
                demand(name in self._waiting, "a job that runs is cancelled, and work is left")

    def cancelled(self, job: Job) -> None:
        """Now it happens."""
        held = any(item.job == job.id for item in self._book.rows)
        if held and not job.waits:
            demand(job.id in self.silent, "a job that works was cancelled")

    # ----------------------------------------------------------------------- crashes

    def client_dies(self, life: Life, own_fault: bool) -> None:
        """Without a goodbye; `own_fault`: its job ends FAILED, and so by what it did."""
        client = life.client
        held = next((item for item in self._book.rows if item.owner == client.owner), None)
        alive = self.history.manager.turns is not None
        if own_fault and alive and held is not None and client.holds(life.clock()):
            self.sure_deaths.add((held.id, life.job.id, held.token))

    # -------------------------------------------------------------------------- end

    def check_end(self) -> None:
        """Nothing goes wrong any more, and everything has ended."""
        rows = self._book.rows
        demand(all(item.phase in OVER for item in rows), "an item has not ended")
        self._check_crashes(rows)
        self._turns.persistence.checkpoint(wait=True)
        tables = tinydb_file.AtomicStorage(FOLDER.database).read() or {}
        kept = {int(key): row for key, row in tables[tinydb_file.ITEMS].items()}
        for item in rows:
            row = kept[item.id]
            same = (row["phase"], row.get("token", 0), row.get("fails", 0), row.get("crashes", 0))
            demand(
                same == (item.phase.value, item.token, item.fails, item.crashes),
                f"the file does not say what became of item {item.id}",
            )

    def _check_crashes(self, rows: Sequence[Item]) -> None:
        """Counted are those that happened, as far as anybody could know."""
        if any(self.history.faults[f"squeue: {kind}"] for kind in STALE):
            return  # a job that an old or a poor listing leaves waiting is believed requeued
        for item in rows:
            # of a job that was being cancelled nobody can tell what it died of
            sure = [job for row, job, _ in self.sure_deaths if row == item.id]
            least = sum(job not in self.leaving for job in sure)
            words = f"{item.crashes} crashes of item {item.id} are counted, there were {least}"
            demand(item.crashes >= least, f"{words} at least")
