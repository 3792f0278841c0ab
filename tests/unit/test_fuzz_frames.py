"""A million frames that nobody meant, through the decoder and both managers."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import psutil
import pytest
from hypothesis import HealthCheck, given, settings

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Cancel,
    CancelItems,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Owner,
    Refused,
    Release,
    Reply,
    Retry,
    decode_reply,
    decode_request,
    encode_reply,
)
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.syscalls import Operations
from adaptive_scheduler.io.storage.database import Database, create
from adaptive_scheduler.io.storage.row_codec import new_tables, read_items
from adaptive_scheduler.io.system.logs import open_log
from adaptive_scheduler.manager.dispatch import Dispatcher
from tests.effort import times
from tests.quick import usually
from tests.unit.frames import ODD, Fuzzer

FRAMES = times(usually(150_000, quick=30_000), 1_000_000)
ROWS, OWNERS = 60, [Owner(f"job{n}", 0, 0, f"uuid{n}") for n in range(20)]
#: Frames for one run: clients with new names are new clients, whom a run must remember.
PER_RUN = 10_000
_paths = itertools.count()


class NoSync(Operations):
    """A disk that is not waited for: 100,000 fsyncs are another test's."""

    def fsync(self, fd: int) -> None:
        """Not."""


class Desk:
    """The decoder, both managers and the database of one run; looks at the rows at each frame."""

    def __init__(self, home: Path) -> None:
        folder = RunFolder(home / f"{next(_paths)}.tinydb")
        items = [Item(n, f"/data/{n}", Phase.QUEUED) for n in range(ROWS)]
        create(folder.database, new_tables(items, None))
        config = RunConfig("run", [Resources()], ["job"], str(home))
        self._store = Database(folder)
        self._dispatcher = Dispatcher(
            self._store, config, open_log(home / "log"), "here:1", lambda: None
        )
        self._rows = self._dispatcher.state.items.rows
        self.seen: Counter[str] = Counter()

    @property
    def tokens(self) -> list[int]:
        return [row.token for row in self._rows if row.phase is Phase.RUNNING]

    def take(self, frame: bytes) -> None:
        """Let the manager answer one frame; only what it has the right to may have changed."""
        before = list(self._rows)
        number, reply = self._dispatcher.answer(frame, self._dispatcher.now())
        changed = [old for old, new in zip(before, self._rows, strict=True) if old is not new]
        try:
            owner, _, request = decode_request(frame)
        except ProtocolError:
            assert reply is None or (type(reply) is Refused and reply.code == "not_understood")
            assert changed == []
            self.seen["dropped"] += 1
            return
        assert reply is not None
        assert decode_reply(encode_reply(number, reply))[0] == number
        self.seen[type(request).__name__] += 1
        self.seen["rows changed"] += len(changed)
        for row in changed:
            assert _may_change(row, owner, request, reply), (row, owner, request, reply)

    def end(self) -> None:
        """Commit, and see that what is on disk is what was answered."""
        self._dispatcher.step([], [], self)
        self._dispatcher.persistence.close()
        stored = Database(self._store.folder)
        stored.close()
        rows = read_items(stored.tables, self._store.folder)
        assert rows == [_as_json_has_it(row) for row in self._rows]

    def send(self, connection: bytes, message: bytes) -> None:
        """Nobody waits for an answer."""

    def ask(self, task: object) -> None:
        """There is no batch system."""


def _as_json_has_it(row: Item) -> Item:
    """A loss that is no number is none."""
    finite = row.loss is not None and math.isfinite(row.loss)
    return row if finite else msgspec.structs.replace(row, loss=None)


def _may_change(row: Item, owner: Owner, request: object, reply: Reply) -> bool:
    match request:
        case Finish(claims=True) if isinstance(reply, Assigned) and row.id == reply.item:
            return row.phase is Phase.QUEUED or row.job == owner.job
        case Finish() | Fail() | Release():
            return row.phase is Phase.RUNNING and request.token == row.token
        case Claim():
            return row.phase is Phase.QUEUED or row.job == owner.job
        case Goodbye():
            return row.job == owner.job
        case Cancel() | CancelItems() | Retry():
            return True
        case _:
            return False


@pytest.mark.slow
@pytest.mark.timeout(1200)  # it only computes: ten times longer where ten others do
def test_random_frames_raise_only_our_errors_and_leave_nothing(tmp_path: Path) -> None:
    process, seen, sizes = psutil.Process(), Counter[str](), []
    began = time.monotonic()
    with files.through(NoSync()):
        for seed in range(FRAMES // PER_RUN):
            fuzzer, desk = Fuzzer(seed, OWNERS), Desk(tmp_path)
            for n in range(PER_RUN):
                if n % 20 == 0:
                    tokens = desk.tokens
                desk.take(fuzzer.frame(tokens))
            desk.end()
            seen += desk.seen
            gc.collect()
            sizes.append(process.memory_info().rss)
    grown = (sizes[-1] - sizes[len(sizes) // 5]) / 2**20
    rows_changed = seen.pop("rows changed")
    print(
        f"{sum(seen.values())} frames in {time.monotonic() - began:.0f} s: {dict(seen)}; {rows_changed=}"
    )
    print(f"memory {sizes[0] / 2**20:.0f} MiB at first, then {grown:+.1f} MiB")
    assert sum(seen.values()) == FRAMES
    assert seen["dropped"] > FRAMES // 5
    assert min(seen[kind.__name__] for kind in (Claim, Finish, Fail, Release, Goodbye)) > 100
    assert rows_changed > FRAMES // 100, "the good ones among them do their work"
    assert grown < 20


#: Anything that MessagePack can hold.
VALUES = st.recursive(
    st.sampled_from([value for value in ODD if not isinstance(value, (list, dict))])
    | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=8,
)  # fmt: skip
KINDS = ["Hello", "Claim", "Beat", "Finish", "Fail", "Release", "Goodbye", "Status", "Retry", "?"]
FIELDS = ["token", "report", "reason", "items", "rows", "host", "pid", "ranks", "npoints",
          "seconds", "loss", "new_points", "cpu", "p95", "problem", "submit", "reopen"]  # fmt: skip
BODIES = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), VALUES),
)  # fmt: skip
SENDERS = st.lists(VALUES, max_size=5) | st.sampled_from([list(map(str, range(4)))])
OWNER_LISTS = st.sampled_from([[o.job, o.restart, o.attempt, o.uuid] for o in OWNERS])
ENVELOPES = st.tuples(st.just(1) | VALUES, OWNER_LISTS | SENDERS, st.integers(0, 99), BODIES)


@settings(
    max_examples=times(usually(150, quick=30), 2000), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(ENVELOPES | VALUES, min_size=1, max_size=20))
def test_any_structure_is_answered_or_dropped(tmp_path: Path, messages: list[object]) -> None:
    with files.through(NoSync()):
        desk = Desk(tmp_path)
        for message in messages:
            desk.take(msgspec.msgpack.encode(message))
        desk.end()
