"""What a driver sends, and what it does with refusals, without a manager."""

from __future__ import annotations

import copyreg
import pickle
import threading
import time
from concurrent.futures import InvalidStateError
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.core.jobs.batch_jobs import QueueCause
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import NO_RETRIES, RetryPolicy
from adaptive_scheduler.core.wire.messages import Ok, Picture, Reply, Request
from adaptive_scheduler.core.wire.snapshot import JobRow, Snapshot
from adaptive_scheduler.core.wire.tasks import (
    Collect,
    Fetch,
    Fetched,
    PutFunction,
    RefusedTask,
    Submit,
    TaskResult,
    TasksSubmitted,
    Withdraw,
)
from adaptive_scheduler.errors import InputError, RequestRefusedError, TaskError, UnpicklableError
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.runs.driver import driver, start_run, stuck
from adaptive_scheduler.runs.driver.commands.command import Command
from adaptive_scheduler.runs.driver.encoding import decode_value
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.outbox import Outbox
from adaptive_scheduler.runs.driver.pools import RunPools, pool_of
from adaptive_scheduler.runs.driver.settings import Settings
from adaptive_scheduler.runs.driver.task_book import TaskBook
from adaptive_scheduler.runs.sites.local import LocalSite
from adaptive_scheduler.scheduler import SLURM


class FakeManager:
    """Answers as a manager does; `refuse` has the codes of refusals of the next Submits, `refuse_each` of their tasks."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.refuse: list[str] = []
        self.refuse_each: list[str] = []
        self.bad: set[bytes] = set()
        self.faults: dict[type, Exception] = {}
        self.n = 0
        self.ended: dict[int, TaskResult] = {}
        self.before_submit: Any = lambda: None
        self.gate = threading.Event()
        self.gate.set()
        self.stopped = threading.Event()

    def __call__(self, _folder: RunFolder, _stop: int) -> FakeManager:
        return self  # in the place of the class `Channel`

    def ask(self, body: Request, _timeout: float = 10.0) -> Reply | None:
        self.asked.append(body)
        if type(body) in self.faults:
            raise self.faults[type(body)]
        match body:
            case Collect():
                self.stopped.wait(20)
                return None
            case Fetch():
                ended = [self.ended[item] for item in body.items if item in self.ended]
                return Fetched(0, len(body.items), ended)
            case Submit():
                return self._submit(body)
        return Ok()

    def _submit(self, body: Submit) -> Reply:
        self.gate.wait(20)
        self.before_submit()
        if self.refuse:
            raise RequestRefusedError(self.refuse.pop(0), "as the test wants it")
        code = self.refuse_each.pop(0) if self.refuse_each else ""
        bad = {
            n: RefusedTask(n, code or "bad_request", "it is bad")
            for n, call in enumerate(body.calls) if code or call.spec in self.bad
        }  # fmt: skip
        first, self.n = self.n, self.n + len(body.calls) - len(bad)
        ids = iter(range(first, self.n))
        items = [-1 if n in bad else next(ids) for n in range(len(body.calls))]
        return TasksSubmitted(items, list(bad.values()))

    def close(self) -> None:
        pass

    def kinds(self) -> list[str]:
        return [type(one).__name__ for one in self.asked if not isinstance(one, Fetch | Collect)]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    fake = FakeManager()
    monkeypatch.setattr(driver, "Channel", fake)
    return fake


@pytest.fixture
def book(manager: FakeManager, tmp_path: Path) -> Any:
    made = TaskBook(LocalSite(RunFolder(tmp_path / "run")), "name", [])
    monkey = made.keeper
    monkey.watch = lambda _: None  # type: ignore[method-assign]  there is no manager to be watched
    made.start()
    yield made
    manager.gate.set()
    manager.stopped.set()
    made.close(closes_run=False)


def submitted(book: TaskBook, n: int, function: Any = abs, **settings: Any) -> list[Any]:
    options = Settings(**settings)
    return [book.submit(options, function, (k,), {}) for k in range(n)]


def wait_for_ids(futures: list[Any]) -> list[int]:
    end = time.monotonic() + 60
    while not all(future.number is not None or future.done() for future in futures):
        assert time.monotonic() < end, "not all were answered"
        time.sleep(0.01)
    return [future.number for future in futures]


def test_a_function_is_sent_again_to_a_manager_that_does_not_know_it(
    book: TaskBook, manager: FakeManager
) -> None:
    """One that died between two parts of it has kept none."""
    manager.refuse_each = ["unknown_function"]
    futures = submitted(book, 1)
    assert wait_for_ids(futures) == [0]
    assert manager.kinds() == ["PutFunction", "Submit", "PutFunction", "Submit"]
    assert wait_for_ids(submitted(book, 1)) == [1]
    assert manager.kinds()[4:] == ["Submit"]  # now it has the function on disk


def test_a_manager_that_never_knows_a_function_is_not_asked_for_ever(
    book: TaskBook, manager: FakeManager
) -> None:
    manager.refuse_each = ["unknown_function"] * 100
    (future,) = submitted(book, 1)
    with pytest.raises(RequestRefusedError, match="it is bad"):
        future.result(10)
    assert len(manager.kinds()) < 12


def test_one_bad_task_does_not_hinder_the_others(book: TaskBook, manager: FakeManager) -> None:
    manager.gate.clear()
    futures = submitted(book, 200)
    manager.bad = {driver_spec(book, 77)}
    manager.gate.set()
    ids = wait_for_ids(futures)
    assert sorted(one for one in ids if one is not None) == list(range(199))
    with pytest.raises(RequestRefusedError, match="is bad"):
        futures[77].result(10)
    assert manager.kinds().count("Submit") <= 2


def driver_spec(_book: TaskBook, number: int) -> bytes:
    from adaptive_scheduler.runs.driver.encoding import encode_arguments

    return encode_arguments((number,), {})


def test_a_cancelled_run_refuses_a_thousand_tasks_once(
    book: TaskBook, manager: FakeManager
) -> None:
    manager.gate.clear()
    futures = submitted(book, 1000)
    manager.refuse = ["cancelled"] * 1000
    manager.gate.set()
    for future in futures:
        with pytest.raises(RequestRefusedError):
            future.result(10)
    assert manager.kinds().count("Submit") <= 2


def test_an_end_that_overtakes_the_answer_to_its_submit_counts(
    book: TaskBook, manager: FakeManager
) -> None:
    value = b"\x80\x04K\x07."
    manager.before_submit = lambda: book.ended([TaskResult(0, "done", value)])
    (future,) = submitted(book, 1)
    assert future.result(10) == 7
    book.ended([TaskResult(0, "done", value)])  # a page that comes again is no news


def test_a_known_key_is_asked_for_its_end(book: TaskBook, manager: FakeManager) -> None:
    manager.ended[0] = TaskResult(0, "done", b"\x80\x04K\x07.")
    (future,) = submitted(book, 1, key="k")
    assert future.result(10) == 7


def test_the_cancel_of_one_of_two_futures_of_a_key_leaves_the_other(
    book: TaskBook, manager: FakeManager
) -> None:
    first = submitted(book, 1, key="k")[0]
    wait_for_ids([first])
    manager.n = 0  # the same id again, as for a key
    second = submitted(book, 1, key="k")[0]
    assert wait_for_ids([second]) == [0]
    assert second.cancel()
    book.ended([TaskResult(0, "done", b"\x80\x04K\x07.")])
    assert first.result(10) == 7
    assert not any(isinstance(one, Withdraw) for one in manager.asked)


def test_tasks_on_their_way_end_with_a_driver_that_breaks(
    book: TaskBook, manager: FakeManager
) -> None:
    """Also one that the sender has taken and the manager has not answered."""
    manager.gate.clear()
    futures = submitted(book, 10)
    book.broken(InputError("the disk is gone"))
    futures += [future for future in futures if not future.done()]
    manager.gate.set()
    for future in futures:
        with pytest.raises(InputError, match="disk is gone"):
            future.result(10)
    book.wait()


def test_large_arguments_travel_in_parts(book: TaskBook, manager: FakeManager) -> None:
    data = b"x" * (3 * 2**20)
    future = book.submit(Settings(), len, (data,), {})
    assert wait_for_ids([future]) == [0]
    parts = [one for one in manager.asked if isinstance(one, PutFunction)]
    assert len(parts) >= 6
    assert max(len(one.data) for one in parts) <= 2**20
    (submit,) = [one for one in manager.asked if isinstance(one, Submit)]
    assert len(submit.calls[0].spec) < 1000


def test_an_object_that_may_change_is_pickled_once_for_many(
    book: TaskBook, manager: FakeManager
) -> None:
    class Adds:
        pickled = 0
        n = 1

        def __reduce__(self) -> Any:
            Adds.pickled += 1
            return Adds, ()

        def __call__(self, x: int) -> int:
            return x + self.n

    adds = Adds()
    assert wait_for_ids(book.submit_many(Settings(), adds, range(100))) == list(range(100))
    assert Adds.pickled < 10
    before = Adds.pickled
    book.submit_many(Settings(), adds, [1])
    assert Adds.pickled > before  # it may have changed since


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_nothing_is_left_open(
    manager: FakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    """Also if the sender stands still for a moment before it ends: the descriptor that stops it stayed open."""
    take = Outbox.take

    def take_and_stand_still(self: Outbox) -> Any:
        taken = take(self)
        time.sleep(late if taken is None else 0.0)
        return taken

    monkeypatch.setattr(Outbox, "take", take_and_stand_still)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        manager.stopped.clear()
        made = TaskBook(LocalSite(RunFolder(tmp_path / "run")), "name", [])
        made.start()
        manager.stopped.set()
        made.close(closes_run=True)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_is_wrong_with_a_setting_is_said() -> None:
    for wrong in (
        {"priority": "high"}, {"priority": float("inf")}, {"retries": -1}, {"max_crashes": 1.5}, {"delay": -1}, {"timeout": "soon"},
        {"tag": 3}, {"after": 3},
    ):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(wrong))):
            Settings().with_options(wrong)


class TwoPartsError(Exception):
    """Is pickled, and cannot be read: it is made again from its message alone."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} ended with {code}")


def test_an_exception_that_cannot_be_read_is_told_by_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if only this process cannot read it: its class may not be here."""
    # whoever imports dask has tblib pickle each exception in its own way
    monkeypatch.delitem(copyreg.dispatch_table, TwoPartsError, raising=False)
    described = describe(TwoPartsError("solver", 7))
    assert described[3] is None
    for pickled in (None, pickle.dumps(TwoPartsError("solver", 7)), b"cnosuchmodule\nError\n."):
        error = pickle.dumps((*described[:3], pickled))
        with pytest.raises(TaskError, match="TwoPartsError: solver ended with 7"):
            decode_value(TaskResult(3, "failed", error=error), None, bytes)


def test_only_tasks_of_this_run_get_new_priorities(book: TaskBook, tmp_path: Path) -> None:
    """The number of a task of another run would be that of a task of this one."""
    other = TaskBook(LocalSite(RunFolder(tmp_path / "other")), "name", [])
    [own], foreign = submitted(book, 1), other.failed_at_submit(Settings(), ValueError())
    foreign.number = 0
    for wrong in (foreign, 0):
        with pytest.raises(InputError, match="no future of this run"):
            book.prioritise([own, wrong], [1.0, 2.0])
    assert own.priority == 0.0


@pytest.mark.parametrize(
    ("program", "options", "text"),
    [
        (None, {}, "must be a text"),
        (["sleep", 3], {}, "must be a text"),
        ({"a": 3}, {}, "must be a text"),
        ("true", {"value": "f"}, "value='f' must be a callable"),
        ("true", {"inputs": "f"}, "inputs='f' must be a list"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(
    program: Any, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        Command(program, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"links": ["params.json"]}, "has a file 'params.json' of its own"),
     ({"inputs": ["params.json"]}, "has a file 'params.json' of its own"),
     ({"links": ["log"]}, "has a file 'log' of its own"),
     ({"inputs": ["a/x", "b/x"]}, "two are called 'x', in one folder"),
     ({"inputs": ["a/x"], "links": ["a/x"]}, "two are called 'x', in one folder"),
     ({"links": [""]}, "links: '' has no name"), ({"inputs": ["/"]}, "inputs: '/' has no name"),
     ({"links": ["a/.."]}, "links: 'a/..' has no name")],
)  # fmt: skip
def test_files_that_cannot_be_in_a_task_s_folder_are_refused(
    options: dict[str, Any], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two was lost in silence, or took the place of the parameters."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/x", "b/x", "params.json", "log"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Command("true", inputs=["a/x", "a/x"], links=["b"])
    with pytest.raises(InputError, match=text):
        Command("true", **options)


def test_an_input_that_has_the_run_in_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy would be copied into itself, until no path is long enough or the disk is full."""
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "run" / "db")
    (tmp_path / "run").mkdir()
    for around in (".", "run", tmp_path.parent):
        with pytest.raises(InputError, match="has the run's folder in it"):
            Command("true", inputs=[around]).encode(LocalSite(folder), {}, {})
    assert not folder.tasks.exists()


def test_a_second_end_of_a_future_is_an_error_and_blocks_nobody(book: TaskBook) -> None:
    future = book.failed_at_submit(Settings(), ValueError("the first"))
    for end in (future.set_result, future.set_exception):
        with pytest.raises(InvalidStateError, match="FINISHED"):
            end(None)
    with pytest.raises(ValueError, match="the first"):
        future.result(0)


def test_an_argument_that_cannot_be_pickled_is_named(book: TaskBook, manager: FakeManager) -> None:
    good, bad = (book.submit(Settings(), abs, (one,), {}) for one in (1, threading.Lock()))
    with pytest.raises(UnpicklableError, match="argument 0"):
        bad.result(0)
    assert wait_for_ids([good]) == [0]
    assert manager.kinds() == ["PutFunction", "Submit"]


HELD = Snapshot("", "", time=0.0, notes=["held: sbatch says no. Mend it, then resume."])
LONE = Snapshot("", "", time=0.0, phases={"queued": 3, "done": 2})


def in_queue(*jobs: JobRow) -> Snapshot:
    return Snapshot("", "", time=0.0, phases={"queued": 3}, jobs=list(jobs))


BY_A_PERSON = JobRow("1", state="PENDING", reason="JobHeldUser", remedy="'scontrol release' it",
                     cause=QueueCause.HELD, waiting=True)  # fmt: skip
AT_LIMIT = JobRow(
    "2", state="PENDING", reason="QOSMaxJobsPerUserLimit", cause=QueueCause.LIMIT, waiting=True
)
RUNS = JobRow("3", state="RUNNING")
FOR_RESOURCES = JobRow(
    "4", state="PENDING", reason="Resources", cause=QueueCause.RESOURCES, waiting=True
)


def test_jobs_that_will_not_start_are_told_also_while_others_run() -> None:
    one, two = (stuck.why_stuck(in_queue(*[BY_A_PERSON] * n, RUNS), "") for n in (1, 2))
    assert one is not None
    assert two is not None
    assert one.text == (
        "goes on without some of its jobs. 1 job in the queue waits, held by a person (JobHeldUser): "
        "'scontrol release' it."
    )
    assert "2 jobs in the queue wait" in two.text
    assert one.key == two.key, "told once, also if their number changes"


def test_jobs_at_a_limit_are_told_after_a_while_if_no_other_job_may_run() -> None:
    limited = stuck.why_stuck(in_queue(AT_LIMIT), "")
    assert limited is not None
    assert limited.text.startswith(
        "has no job that runs. 1 job in the queue waits at a limit of the jobs or resources that a user, an "
        "account or a QOS may have (QOSMaxJobsPerUserLimit): wait until jobs of yours"
    )
    assert limited.patience == stuck.PATIENCE
    for others in ([RUNS], [FOR_RESOURCES]):
        assert stuck.why_stuck(in_queue(AT_LIMIT, *others), "") is None
    over = Snapshot("", "", time=0.0, phases={"done": 3}, jobs=[AT_LIMIT, BY_A_PERSON])
    assert stuck.why_stuck(over, "") is None


@pytest.mark.parametrize(
    ("snapshot", "text", "patience"),
    [
        (HELD, "is held: sbatch says no", 0.0),
        (LONE, "nothing runs them", 0.0),
        (in_queue(BY_A_PERSON, RUNS), "held by a person", 0.0),
        (in_queue(AT_LIMIT), "has no job that runs", 0.05),
    ],
)
def test_a_run_that_does_not_go_on_by_itself_is_told_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    snapshot: Snapshot,
    text: str,
    patience: float,
) -> None:
    """Its tasks would wait for ever, and so would a `shutdown`."""
    monkeypatch.setattr(stuck, "PATIENCE", patience)
    monkeypatch.setattr(start_run, "WATCH", 0.01)
    monkeypatch.setattr(start_run, "HELD_LOOKS", 1)
    keeper = start_run.ManagerKeeper(LocalSite(RunFolder(tmp_path / "run")), "name", lambda: True)
    asked: list[float] = []
    done = threading.Event()

    def answer(_: Request) -> Picture:
        # by the second look the first one is noted, and by this one that of before is told
        if len(asked) > 5 and asked[-1] > asked[1] + patience:
            done.set()
        asked.append(time.monotonic())
        return Picture(msgspec.Raw(msgspec.msgpack.encode(snapshot)))

    monkeypatch.setattr(keeper._viewer, "ask", answer)
    monkeypatch.setattr(keeper._site, "lives", lambda: True)
    keeper.watch(lambda error: pytest.fail(str(error)))
    assert done.wait(60)
    keeper.close()
    assert capsys.readouterr().err.count(text) == 1


def test_a_task_without_an_id_says_why(book: TaskBook) -> None:
    waits: TaskFuture[Any] = TaskFuture(book, (), {}, Settings(name="fit"))
    assert str(waits.explain()) == (
        "Task (without an id) (fit) is queued: it is on its way to the run. What to do: wait; if it stays so, the "
        "run has no manager that answers: adaptive-scheduler status."
    )
    refused = book.failed_at_submit(Settings(), ValueError("no"))
    assert (refused.explain().cause, refused.explain().state) == ("failed", "failed")
    assert waits.cancel()
    assert waits.explain().cause == "cancelled"


def test_how_often_a_task_is_tried_again_is_kept_together() -> None:
    first = Settings().with_options({"retries": 2, "delay": "1m"})
    assert first.policy == RetryPolicy(2, None, 60.0)
    assert first.with_options({"max_crashes": 0}).policy == RetryPolicy(2, 0, 60.0)
    assert Settings().with_options({"tag": "x"}).policy is NO_RETRIES


def test_who_waits_for_room_among_requests_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of requests, as cancels were, filled it; the sender took them and told nobody."""
    monkeypatch.setattr("adaptive_scheduler.runs.driver.outbox.MOST_WAITING", 2)
    outbox = Outbox()
    for _ in range(2):
        outbox.put(list)
    waits = threading.Thread(target=outbox.put, args=(list,), daemon=True)
    waits.start()
    while not outbox._changed._waiters:  # type: ignore[attr-defined]
        waits.join(0.01)
    for _ in range(2):
        outbox.take()
    waits.join(10)
    assert not waits.is_alive()


def test_many_cancels_are_one_request(book: TaskBook, manager: FakeManager) -> None:
    """One round trip for each took minutes, and all that came later waited behind them."""
    futures = submitted(book, 500)
    assert wait_for_ids(futures) == list(range(500))
    manager.gate.clear()
    extra = book.submit(Settings(), abs, (1,), {})  # the sender waits for its answer
    assert all(future.cancel() for future in futures)
    manager.gate.set()
    assert wait_for_ids([extra]) == [500]
    withdrawn: list[Withdraw] = []
    while sum(len(one.items) for one in withdrawn) < 500:
        withdrawn = [one for one in manager.asked if isinstance(one, Withdraw)]
    assert sorted(item for one in withdrawn for item in one.items) == list(range(500))
    assert len(withdrawn) <= 2


def test_what_is_cancelled_on_its_way_at_the_end_is_withdrawn(
    manager: FakeManager, tmp_path: Path
) -> None:
    """A Ctrl-C while thousands were submitted left some QUEUED, and the jobs of a pool would have run them."""
    book = TaskBook(LocalSite(RunFolder(tmp_path / "run")), "name", [])
    book.start()
    manager.gate.clear()
    (future,) = submitted(book, 1)
    while "Submit" not in manager.kinds():
        threading.Event().wait(0.01)
    assert future.cancel()
    closes = threading.Thread(target=book.close, kwargs={"closes_run": False})
    book.keeper.lives = lambda: True  # type: ignore[method-assign]  so that the sender has time
    closes.start()
    while not book._driver.outbox._is_closed:
        threading.Event().wait(0.01)
    manager.gate.set()
    manager.stopped.set()
    closes.join(20)
    assert [one.items for one in manager.asked if isinstance(one, Withdraw)] == [[0]]


def test_a_function_that_is_refused_harms_no_other(book: TaskBook, manager: FakeManager) -> None:
    """The sender ended, and the future of its task never did."""
    (good,) = submitted(book, 1)
    assert wait_for_ids([good]) == [0]
    manager.faults[PutFunction] = RequestRefusedError("bad_request", "that is no part")
    (bad,) = submitted(book, 1, len)
    with pytest.raises(RequestRefusedError, match="no part"):
        bad.result(10)
    manager.faults.clear()
    (last,) = submitted(book, 1)
    assert wait_for_ids([last]) == [1]
    book.fault = book.fault or InputError("for the end")
    assert book.unfinished == 2


def test_a_sender_that_breaks_ends_what_it_had_taken(book: TaskBook, manager: FakeManager) -> None:
    """Also before it has sent them: who waited for these waited for ever."""
    manager.faults[PutFunction] = OSError("of any kind")
    futures = submitted(book, 3)
    for future in futures:
        with pytest.raises(OSError, match="of any kind"):
            future.result(10)
    book.wait()


def test_large_arguments_count_for_what_waits_in_memory(
    book: TaskBook, manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They travel as functions, and only the reference to them was counted."""
    monkeypatch.setattr("adaptive_scheduler.runs.driver.outbox.MOST_WAITING_BYTES", 3 * 2**20)
    manager.gate.clear()
    put: list[int] = []

    def submit() -> None:
        for n in range(12):
            book.submit(Settings(), len, (bytes([n]) * 2**20,), {})
            put.append(n)

    thread = threading.Thread(target=submit, daemon=True)
    thread.start()
    while thread.is_alive() and not book._driver.outbox._changed._waiters:  # type: ignore[attr-defined]
        thread.join(0.01)
    thread.join(0.2)
    assert len(put) < 9
    manager.gate.set()
    thread.join(20)
    assert len(put) == 12


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tag": "a\udcff"}, "tag='a.udcff' must be a text of Unicode"),
        ({"key": "x" * 20_000}, "key='x+.* of at most 10,000 letters"),
        ({"retries": 10**30}, "at most 1,000,000"),
        ({"resources": TaskResources(threads_per_rank=10**30)}, "is more than 1,000,000"),
    ],
)
def test_what_no_message_can_hold_is_refused_by_name(options: Any, text: str) -> None:
    """It ended the sender, and all tasks with it; or the manager closed the connection, for ever."""
    with pytest.raises(InputError, match=text):
        Settings().with_options(options)


@pytest.mark.parametrize("value", ["\udcff", "x" * (5 * 2**20), {1, 2}, 1 + 2j])
def test_a_command_that_cannot_be_sent_is_refused(book: TaskBook, value: Any) -> None:
    with pytest.raises(InputError, match=r"Unicode|10.5 MB|JSON"):
        book.submit(Settings(), Command("echo {x}"), (), {"x": value})
    assert book.unfinished == 0


def test_a_function_that_is_too_large_is_named(
    book: TaskBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adaptive_scheduler.runs.driver.encoding.LARGEST_FUNCTION", 10**6)
    with pytest.raises(UnpicklableError, match=r"0.002 GB when pickled.* at most 0.001 GB"):
        book.submit(Settings(), len, (b"x" * 2 * 10**6,), {}).result(1)


def test_threads_may_submit_many_calls_of_one_object(book: TaskBook, manager: FakeManager) -> None:
    """The one that was ready last had a KeyError, and lost the futures of its tasks."""
    function = partial(pow, 2)

    def numbers() -> Any:
        yield 1
        inner.extend(book.submit_many(Settings(), function, [3, 4]))
        yield 2

    inner: list[Any] = []
    outer = book.submit_many(Settings(), function, numbers())
    assert wait_for_ids([outer[0], *inner, outer[1]]) == [0, 1, 2, 3]


def test_a_command_whose_input_is_gone_leaves_no_half_a_folder(
    book: TaskBook, tmp_path: Path
) -> None:
    (tmp_path / "base.dat").write_text("x")
    command = Command("cat base.dat", inputs=[tmp_path / "base.dat"])
    (tmp_path / "base.dat").unlink()
    with pytest.raises(FileNotFoundError, match=r"base\.dat"):
        book.submit(Settings(), command, (), {})
    assert list(book.site.folder.tasks.iterdir()) == []
    assert book.unfinished == 0


def test_a_pool_that_is_changed_is_told_once() -> None:
    site = SimpleNamespace(
        name="run", refuse_missing_programs=lambda _: None, known_scheduler=lambda: None
    )
    book = SimpleNamespace(site=site, keeper=SimpleNamespace(ask=lambda _: None))
    pools = RunPools(book, [])  # type: ignore[arg-type]
    for most in (2, 1):
        slurm = SLURM(partition="p", cores=1)
        pools.let_run(pool_of("a", slurm, (0, most), (), (None, 1)), slurm)
    assert str(pools).count("a (") == 1
    assert str(pools).endswith(", at most 1 job)")
    pools.remove("a")
    assert str(pools) == "what it has already"
