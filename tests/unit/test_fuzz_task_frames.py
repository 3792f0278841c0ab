"""Frames about tasks that nobody meant: nothing raises, nothing changes without right, all can be read again."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import RUNNING, TASK, Item, Phase
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import RetryPolicy
from adaptive_scheduler.core.wire.messages import (
    Cancel,
    CancelItems,
    Goodbye,
    Hello,
    Owner,
    Refused,
    Request,
    Retry,
    decode_reply,
    decode_request,
    encode_reply,
)
from adaptive_scheduler.core.wire.tasks import (
    CloseRun,
    Collect,
    End,
    EndKind,
    Held,
    NewTask,
    Prioritise,
    PutFunction,
    Submit,
    Trade,
    Withdraw,
)
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage.database import Database, create
from adaptive_scheduler.io.storage.row_codec import new_tables, open_state
from adaptive_scheduler.io.system.logs import open_log
from adaptive_scheduler.manager.dispatch import Dispatcher
from tests.effort import times
from tests.unit.frames import Fuzzer
from tests.unit.test_fuzz_frames import NoSync

FRAMES, PER_RUN = times(40_000, 400_000), 5_000
OWNERS = [Owner(f"job{n}", 0, 0, f"uuid{n}") for n in range(6)]
NODES = [NodeInventory("n", [0, 1, 2, 3], ["0"], 2**30)]
FUNCTION = b"the pickle of a function, which nobody here reads"
KEY = hashlib.blake2b(FUNCTION, digest_size=16).hexdigest()
_paths = itertools.count()


class TaskFuzzer(Fuzzer):
    """The same ways to bend, of other messages."""

    def _body(self, tokens: Sequence[int]) -> Request:
        rng = self._rng
        token = rng.choice(tokens) if tokens and rng.random() < 0.7 else rng.randrange(2**40)
        row = rng.randrange(30)
        end = End(rng.randint(1, 9), token, rng.choice(list(EndKind)), next=rng.choice([0, token]),
                  value=b"v", seconds=0.1, text="why")  # fmt: skip
        held = [Held(token, rng.choice([None, [NodePlace(0, [rng.randrange(5)])]]))]
        call = NewTask(b"spec", rng.choice(["", KEY]), priority=1.0, after=[row][: rng.randrange(2)],
                    key=rng.choice(["", "k1", "../../k"]), timeout=rng.choice([None, 5.0]))  # fmt: skip
        return rng.choice((
            Hello("host", 1, 4, inventory=NODES), Hello("host", 1, 4, inventory=NODES),
            *[Trade(max(tokens, default=0), 9, [end], holds=rng.choice([None, held, []]))] * 2,
            Trade(token, 0, wait=rng.choice([0.0, 1.0])),
            PutFunction(KEY, 0, 1, FUNCTION),
            Submit(f"b{rng.randrange(3000)}", [TaskResources()], [call]), Collect(rng.randrange(9)),
            Prioritise([row], [2.0]), Withdraw([row] if rng.random() < 0.1 else []), CloseRun(), Goodbye("left") if rng.random() < 0.01 else Collect(0, 1.0),
        ))  # fmt: skip


class TaskDesk:
    """A manager of a run with tasks, on a real database."""

    def __init__(self, home: Path) -> None:
        self.folder = RunFolder(home / f"{next(_paths)}.tinydb")
        for path in (self.folder.folder, self.folder.journals):
            files.private_folder(path)
        create(self.folder.database, new_tables([Item(0, "/data/0", Phase.QUEUED)], None))
        self.config = RunConfig("run", [Resources()], ["job"], str(home))
        self.store = Database(self.folder)
        self.dispatcher = Dispatcher(
            self.store, self.config, open_log(home / "log"), "here:1", lambda: None
        )
        self.rows = self.dispatcher.state.items.rows
        self.seen: Counter[str] = Counter()

    @property
    def tokens(self) -> list[int]:
        return [row.token for row in self.rows if row.phase is RUNNING and row.kind == TASK]

    def take(self, frame: bytes) -> None:
        before = list(self.rows)
        number, reply = self.dispatcher.answer(frame, self.dispatcher.now())
        changed = [old for old, new in zip(before, self.rows, strict=False) if old is not new]
        try:
            owner, _, request = decode_request(frame)
        except ProtocolError:
            assert reply is None or (type(reply) is Refused and reply.code == "not_understood")
            assert len(before) == len(self.rows)
            assert changed == []
            self.seen["dropped"] += 1
            return
        if reply is None:
            is_late = owner.uuid in self.dispatcher._parked  # its sender asks for something newer
            assert isinstance(request, (Trade, Collect)) or is_late, "only these may wait"
        else:
            assert decode_reply(encode_reply(number, reply))[0] == number
        self.seen[type(request).__name__] += 1
        self.seen["rows changed"] += len(changed)
        for row in changed:
            assert _may_change(row, owner, request), (row, owner, request)
        assert len(before) == len(self.rows) or isinstance(request, Submit)

    def send(self, connection: bytes, message: bytes) -> None:
        """Nobody waits for an answer."""

    def send_command(self, command: object) -> None:
        """There is no batch system."""

    def end(self, *, checkpoint: bool = False) -> None:
        """What the next manager reads is what this one knows."""
        self.dispatcher.step([], [], self)
        if checkpoint:
            self.store.checkpoint()
        self.store.close()
        again = Database(self.folder)
        state = open_state(again.take_tables(), self.folder, self.config, 0.0, again)
        again.close()
        assert state.items.rows == self.rows
        assert state.tasks.resources == self.dispatcher.state.tasks.resources
        assert state.items.tasks.ends == self.dispatcher.state.items.tasks.ends


def _may_change(row: Item, owner: Owner, request: object) -> bool:
    if row.kind != TASK:
        return not isinstance(request, (Trade, Submit, Prioritise, Withdraw))
    match request:
        case Trade():
            return row.job in (None, owner.job)
        case Prioritise() | Withdraw() | Cancel() | CancelItems() | Retry():
            return True
        case _:
            return row.job == owner.job or row.depends_on != ()


def test_random_frames_about_tasks_break_nothing(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    with files.through(NoSync()):
        for seed in range(FRAMES // PER_RUN):
            fuzzer, desk = TaskFuzzer(seed, OWNERS), TaskDesk(tmp_path)
            for n in range(PER_RUN):
                if n % 10 == 0:
                    tokens = desk.tokens
                desk.take(fuzzer.frame(tokens))
                if n % 100 == 0:
                    desk.dispatcher.step([], [], desk)
            desk.end(checkpoint=True)
            seen += desk.seen
    print(dict(seen))
    assert seen["dropped"] > FRAMES // 10
    kinds = (Trade, Submit, Collect, Prioritise, Withdraw, PutFunction)
    assert min(seen[kind.__name__] for kind in kinds) > FRAMES // 200
    assert seen["rows changed"] > FRAMES // 400  # a frame with a huge number makes others late


OK = NewTask(b"x")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Submit("b", [TaskResources()], [OK] * 1001), "too_large"),
        (Submit("b", [TaskResources(nodes=0)], [OK]), "bad_request"),
        (Submit("b", [TaskResources(threads_per_rank=-1)], [OK]), "bad_request"),
        (Submit("b", [TaskResources(gpus_per_rank=float("nan"))], [OK]), "bad_request"),
        (Submit("b", [TaskResources(memory=-1)], [OK]), "bad_request"),
        (Submit("b", [TaskResources(walltime=float("nan"))], [OK]), "bad_request"),
        (Submit("b", [], [OK]), "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", priority=float("nan"))]), "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", priority=float("inf"))]), "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", timeout=float("nan"))]), "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", timeout=-1.0)]), "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", policy=RetryPolicy(-1))]), "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", policy=RetryPolicy(0, -1))]), "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", policy=RetryPolicy(delay=float("nan")))]),
         "bad_request"),
        (Submit("b", [TaskResources()], [NewTask(b"", after=[0, 99])]), "no_such_item"),
        (Submit("b", [TaskResources()], [NewTask(b"", "../../../etc/passwd")]), "unknown_function"),
        (Submit("b", [TaskResources()], [NewTask(b"", "\0")]), "unknown_function"),
        (Submit("b", [TaskResources()], [NewTask(b"", KEY)]), "unknown_function"),
        (PutFunction("../../x", 0, 1, b""), "bad_request"),
        (PutFunction(KEY + "\n", 0, 1, FUNCTION), "bad_request"),
        (PutFunction(KEY.upper(), 0, 1, FUNCTION), "bad_request"),
        (PutFunction(KEY, 0, 1, FUNCTION + b"!"), "bad_request"),
        (PutFunction(KEY, 1, 1, FUNCTION), "bad_request"),
        (PutFunction(KEY, 0, 10**9, b""), "bad_request"),
        (PutFunction(KEY, -1, 1, b""), "bad_request"),
        (Prioritise([0], []), "bad_request"),
        (Prioritise([0], [float("nan")]), "bad_request"),
        (Prioritise([0] * 100_001, [0.0] * 100_001), "too_large"),
        (Withdraw([0] * 100_001), "too_large"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused_whole(
    tmp_path: Path, request_: Request, code: str
) -> None:
    desk = TaskDesk(tmp_path)
    handler = desk.dispatcher._handlers[type(request_)]
    reply = handler.handle(OWNERS[0], 1, request_, desk.dispatcher.now())
    codes = [one.code for one in getattr(reply, "refused", [])] or [getattr(reply, "code", None)]
    assert codes == [code], reply
    assert len(desk.rows) == 1
    desk.end()


@pytest.mark.parametrize("seen", [-1, -(2**63), 2**63])
def test_a_counter_that_never_was_brings_nothing(tmp_path: Path, seen: int) -> None:
    desk = TaskDesk(tmp_path)
    handler = desk.dispatcher._handlers[Collect]
    assert handler.handle(OWNERS[0], 1, Collect(seen), desk.dispatcher.now()).ended == []
    desk.end()


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), 1e300])
def test_nobody_waits_for_ever(tmp_path: Path, wait: float) -> None:
    from adaptive_scheduler.core.wire.messages import encode_request
    from adaptive_scheduler.manager.dispatch import LONGEST_WAIT

    desk = TaskDesk(tmp_path)
    now = desk.dispatcher.now()
    desk.dispatcher.answer(encode_request(OWNERS[0], 1, Collect(0, wait)), now)
    [(*_, until)] = desk.dispatcher._parked.values()
    assert until == now.monotonic + LONGEST_WAIT
    desk.end()


@pytest.mark.parametrize(
    "places",
    [
        [[NodePlace(0, [0])], [NodePlace(0, [0])]],
        [[NodePlace(7, [0])]],
        [[NodePlace(-1, [0])]],
        [[NodePlace(0, [77])]],
        [[NodePlace(0, [0], [("0", 2000)])]],
    ],
    ids=["twice", "no such node", "negative", "no such core", "more than a GPU"],
)
def test_a_head_that_claims_impossible_places_is_refused(
    tmp_path: Path, places: list[list[NodePlace]]
) -> None:
    desk = TaskDesk(tmp_path)
    now = desk.dispatcher.now()
    desk.dispatcher.clients.handle(OWNERS[0], 1, Hello("h", 1, 4, inventory=NODES), now)
    held = [Held(n, place) for n, place in enumerate(places, 1)]
    reply = desk.dispatcher._handlers[Trade].handle(OWNERS[0], 2, Trade(9, holds=held), now)
    assert getattr(reply, "code", None) == "bad_request"
    desk.end()
