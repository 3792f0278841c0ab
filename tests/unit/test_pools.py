"""Pools: what they hold, how many jobs they want, when their heads leave, when a run is over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.core.jobs.batch_jobs import JobId, JobState, ListedJob
from adaptive_scheduler.core.jobs.commands import (
    CancelDone,
    CancelJobs,
    Command,
    QueueListing,
    SubmitJobs,
)
from adaptive_scheduler.core.jobs.commands import Submitted as JobsSubmitted
from adaptive_scheduler.core.jobs.nodes import TASK_FAILURES
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import DONE, FAILED, QUEUED, RUNNING
from adaptive_scheduler.core.tasks.demand import PoolJobs, footprint, jobs_beside
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.pools import Pool, PoolTable, check_pool
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import NODE_PATIENCE, NODES_GIVEN_UP
from adaptive_scheduler.core.wire.messages import (
    Beat,
    Cancel,
    Claim,
    Goodbye,
    Hello,
    Ok,
    Owner,
    Picture,
    Refused,
    Status,
    Welcome,
    decode_reply,
    encode_request,
)
from adaptive_scheduler.core.wire.pools import AddPool, PoolList, Pools, RemovePool
from adaptive_scheduler.core.wire.snapshot import JobRow, Snapshot
from adaptive_scheduler.core.wire.tasks import (
    CloseRun,
    Collect,
    End,
    EndKind,
    Held,
    LastTry,
    NewTask,
    NodeChange,
    OpenRun,
    Submit,
    TasksSubmitted,
    Trade,
    Work,
)
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.testing.clock import Clock
from adaptive_scheduler.testing.manager import VirtualManager

ONE = TaskResources()
POOL = Pool(name="p", resources=Resources(cores=4), max_jobs=3)
GIB = 2**30
DRIVER = Owner("driver", 0, 0, "driver")


def pool(**more: Any) -> Pool:
    return msgspec.structs.replace(POOL, **more)


# --------------------------------------------------------------------------- what a pool holds


@pytest.mark.parametrize(
    ("task", "has", "holds"),
    [
        (TaskResources(threads_per_rank=4), Resources(cores=4), True),
        (TaskResources(threads_per_rank=5), Resources(cores=4), False),
        (TaskResources(gpus_per_rank=0.5), Resources(cores=4), False),
        (TaskResources(gpus_per_rank=0.5), Resources(cores=4, gpus=1), True),
        (TaskResources(memory=2 * GIB), Resources(cores=4, memory=1024), False),
        (TaskResources(memory=GIB), Resources(cores=4, memory=1024), True),
        (TaskResources(walltime=61.0), Resources(cores=4, walltime=60), False),
        (TaskResources(walltime=60.0), Resources(cores=4, walltime=60), True),
        (TaskResources(nodes=2), Resources(cores=4), False),
        (TaskResources(nodes=2, threads_per_rank=2), Resources(cores=4, nodes=2), True),
        (TaskResources(nodes=2, threads_per_rank=3), Resources(cores=4, nodes=2), False),
        (TaskResources(threads_per_rank=3), Resources(cores=4, nodes=2), False),
        (TaskResources(nodes=3), Resources(cores=4, nodes=2), False),
        (TaskResources(nodes=2, gpus_per_rank=1), Resources(cores=4, nodes=2, gpus=1), True),
        (TaskResources(nodes=2, memory=GIB), Resources(cores=4, nodes=2, memory=1024), True),
    ],
)
def test_what_a_job_can_hold(task: TaskResources, has: Resources, holds: bool) -> None:
    assert pool(resources=has).could_hold(task, "") == holds


def test_tags_and_removed_pools() -> None:
    assert not pool(accepts=["a"]).could_hold(ONE, "")
    assert pool(accepts=["a"]).could_hold(ONE, "a")
    assert not pool(is_removed=True).could_hold(ONE, "")


def test_a_refusal_has_the_numbers() -> None:
    run = Run()
    run.add()
    run.add(pool(name="q", resources=Resources(cores=8), accepts=["a"]))
    why = run.manager.state.why_unplaceable(TaskResources(threads_per_rank=9), "b", 0.0)
    assert "9 cores" in why
    assert "'b'" in why
    assert "p (4 cores)" in why
    assert "tags a only" in why


def test_what_jobs_have_turned_out_to_have_is_the_largest_of_each_kind() -> None:
    table = PoolTable({1: POOL})
    table.note_found(1, Inventory([NodeInventory("n", [0], ["0"])]))
    table.note_found(1, Inventory([NodeInventory("m", [0, 1])]))
    table.note_found(1, Inventory([NodeInventory("k", [0])]))
    assert table.could_hold(TaskResources(threads_per_rank=2), "")
    assert not table.could_hold(TaskResources(threads_per_rank=3), "")
    (told,) = table.describe()
    assert told.endswith("turned out to have 1 core, 1 GPU or 2 cores")
    table.note_found(1, Inventory([NodeInventory("n", [0, 1, 2, 3])]))
    assert table.could_hold(TaskResources(threads_per_rank=4), "")
    assert table.describe() == ["p (4 cores)"]


def job_rows(run: Run) -> list[JobRow]:
    return msgspec.msgpack.decode(run.ask(Status("none")).snapshot, type=Snapshot).jobs


def test_what_a_job_has_is_known_when_all_its_nodes_have_come() -> None:
    run = Run()
    run.add(pool(resources=Resources(cores=8, nodes=2)))
    both = TaskResources(nodes=2, threads_per_rank=4)
    run.submit(1, both)
    run.turn()
    owner = Owner(run.jobs()[0], 0, 0, "head")
    run.queue[owner.job] = JobState.RUNNING
    first, second = (NodeInventory(name, [0, 1, 2, 3]) for name in ("n", "m"))
    run.ask(Hello("n", 1, 8, inventory=[first, NodeInventory("m", [])]), owner)
    run.ask(Trade(holds=[]), owner)
    assert run.manager.items.rows[0].phase is QUEUED, "it is not refused: a node is to come"
    assert not run.manager.state.pools.found
    row = job_rows(run)[0]
    assert (row.nodes, row.missing, row.lost, row.cores) == (2, 1, [], 4)
    work = run.ask(Trade(nodes=[NodeChange(1, 1, second)]), owner)
    assert [place.node for place in work.tasks[0].place] == [0, 1]
    assert run.manager.state.pools.describe() == ["p (2 nodes with 4 cores each)"]
    run.ask(Trade(nodes=[NodeChange(2, 1, None)]), owner)
    row = job_rows(run)[0]
    assert (row.missing, row.lost, row.cores, row.used) == (0, ["m"], 4, 4)
    (state,) = run.ask(Pools()).pools
    assert (state.running, state.cores, state.used, state.tasks) == (1, 4, 4, 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "a b"}, "letters"),
        ({"resources": Resources(cores=5, nodes=2)}, "as many on each of 2 nodes"),
        ({"resources": Resources(cores=1, nodes=2)}, "as many on each"),
        ({"resources": Resources(cores=10, cores_per_node=4)}, "as many on each"),
        ({"resources": Resources(cores=8, nodes=2, cores_per_node=2)}, "as many on each"),
        ({"max_jobs": 0}, "max_jobs"),
        ({"min_jobs": 4}, "min_jobs"),
        ({"idle": float("nan")}, "idle"),
    ],
)
def test_a_wrong_pool_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_pool(pool(**wrong))


def test_jobs_of_a_pool_are_started_without_mpi() -> None:
    assert check_pool(POOL).resources.is_single_process


@pytest.mark.parametrize(
    ("resources", "nodes", "each"),
    [
        (Resources(cores=8), 1, 8),
        (Resources(cores=8, nodes=2), 2, 4),
        (Resources(cores=8, cores_per_node=2), 4, 2),
        (Resources(cores=8, nodes=2, cores_per_node=4), 2, 4),
    ],
)
def test_each_node_of_a_job_has_as_many_cores(resources: Resources, nodes: int, each: int) -> None:
    checked = check_pool(pool(resources=resources))
    assert (checked.nodes, checked.resources.nodes) == (nodes, nodes)
    assert [len(node.cores) for node in checked.inventory.nodes] == [each] * nodes
    assert check_pool(checked) == checked


def test_a_pool_says_what_each_node_has() -> None:
    has = Resources(cores=8, nodes=2, gpus=1, memory=2048, walltime=3600)
    assert str(pool(resources=has)) == "p (2 nodes with 4 cores, 1 GPU, 2 GiB each, walltime 1h)"
    assert str(pool()) == "p (4 cores)"


# --------------------------------------------------------------------------- how many jobs


@pytest.mark.parametrize(
    ("free", "jobs", "wanted"),
    [
        ({}, PoolJobs(), 0),
        ({(ONE, ""): 1}, PoolJobs(), 1),
        ({(ONE, ""): 4}, PoolJobs(), 1),
        ({(ONE, ""): 5}, PoolJobs(), 2),
        ({(ONE, ""): 1000}, PoolJobs(), 3),
        ({(TaskResources(threads_per_rank=4), ""): 2}, PoolJobs(), 2),
        # what runs there takes room
        ({(ONE, ""): 1}, PoolJobs([ONE] * 3, 1), 0),
        ({(ONE, ""): 1}, PoolJobs([ONE] * 4, 1), 1),
        # a job that is nearly over is no room for tasks, but is a job
        ({(ONE, ""): 1}, PoolJobs([ONE], 1, no_room=1), 1),
        ({(ONE, ""): 9}, PoolJobs([ONE] * 3, 3, no_room=3), 0),
        # what runs wants no further jobs
        ({}, PoolJobs([ONE] * 4, 1), 0),
        # of what it cannot hold it wants nothing
        ({(TaskResources(threads_per_rank=5), ""): 9}, PoolJobs(), 0),
    ],
)
def test_jobs_by_footprint(free: Any, jobs: PoolJobs, wanted: int) -> None:
    assert jobs_beside(POOL, free, jobs) == wanted


def test_the_least_number_of_jobs() -> None:
    assert jobs_beside(pool(min_jobs=2), {}, PoolJobs()) == 2
    assert jobs_beside(pool(min_jobs=2), {}, PoolJobs([ONE], 1)) == 1
    assert jobs_beside(pool(min_jobs=2, is_removed=True), {}, PoolJobs()) == 0


def test_footprints_by_gpu_and_memory() -> None:
    has = pool(resources=Resources(cores=64, gpus=2, memory=4096), max_jobs=99)
    half = TaskResources(gpus_per_rank=0.5)
    assert jobs_beside(has, {(half, ""): 8}, PoolJobs()) == 2
    assert jobs_beside(has, {(TaskResources(memory=GIB), ""): 8}, PoolJobs()) == 2
    third = TaskResources(gpus_per_rank=1 / 3)
    assert jobs_beside(pool(resources=Resources(cores=3)), {(ONE, ""): 3}, PoolJobs()) == 1
    assert jobs_beside(has, {(third, ""): 6}, PoolJobs()) == 1


WHOLE = TaskResources(threads_per_rank=4)


@pytest.mark.parametrize(
    ("tasks", "wanted"),
    [
        # of two nodes of four cores
        ({ONE: 8}, 1),
        ({ONE: 9}, 2),
        ({WHOLE: 2}, 1),
        ({WHOLE: 3}, 2),
        ({TaskResources(nodes=2): 4}, 1),
        ({TaskResources(nodes=2): 5}, 2),
        ({TaskResources(nodes=2, threads_per_rank=4): 2}, 2),
        ({TaskResources(nodes=2, ranks_per_node=2, threads_per_rank=2): 3}, 3),
        # three of four cores leave one that such a task cannot use
        ({TaskResources(threads_per_rank=3): 3}, 2),
        ({TaskResources(threads_per_rank=3): 4, ONE: 4}, 2),
        ({TaskResources(threads_per_rank=3, nodes=2): 2, TaskResources(nodes=2, threads_per_rank=4): 2}, 4),
        # one GPU a node
        ({TaskResources(gpus_per_rank=1): 3}, 2),
        ({TaskResources(gpus_per_rank=0.5): 4}, 1),
        ({TaskResources(gpus_per_rank=0.4): 5}, 2),
        ({TaskResources(ranks_per_node=2, gpus_per_rank=0.5, nodes=2): 2}, 2),
        # 4 GiB a node
        ({TaskResources(memory=2 * GIB): 5}, 2),
        ({TaskResources(memory=3 * GIB): 3}, 2),
    ],
)  # fmt: skip
def test_jobs_of_several_nodes_by_footprint(tasks: dict[TaskResources, int], wanted: int) -> None:
    has = pool(resources=Resources(cores=8, nodes=2, gpus=1, memory=4096), max_jobs=99)
    assert jobs_beside(has, {(task, ""): n for task, n in tasks.items()}, PoolJobs()) == wanted
    running = [task for task, n in tasks.items() for _ in range(n)]
    free = {(running[0], ""): 1}
    assert jobs_beside(has, free, PoolJobs(running[1:])) == wanted


@given(
    st.dictionaries(
        st.builds(
            TaskResources, nodes=st.integers(1, 3), threads_per_rank=st.integers(1, 5),
            ranks_per_node=st.integers(1, 2), gpus_per_rank=st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0]),
            memory=st.one_of(st.none(), st.integers(1, 8).map(lambda n: n * GIB)),
        ),
        st.integers(1, 9), max_size=4,
    )
)  # fmt: skip
def test_no_more_jobs_are_asked_for_than_it_takes_to_run_all_tasks(
    tasks: dict[TaskResources, int],
) -> None:
    """Beside a model that puts each of them into a job, the largest ones first."""
    has = pool(resources=Resources(cores=24, nodes=3, gpus=2, memory=8192), max_jobs=999)
    tasks = {task: n for task, n in tasks.items() if has.could_hold(task, "")}
    jobs: list[Inventory] = []
    for task in sorted(tasks, key=lambda one: -max(footprint(one, has.inventory))):
        for _ in range(tasks[task]):
            places = ((job, job.place(task)) for job in jobs)
            found = next(((job, place) for job, place in places if place), None)
            if found is None:
                jobs.append(Inventory(has.inventory.nodes))
                found = jobs[-1], jobs[-1].place(task)
            found[0].take(found[1] or [])
    wanted = jobs_beside(has, {(task, ""): n for task, n in tasks.items()}, PoolJobs())
    assert wanted <= len(jobs)
    if [task.nodes for task in tasks] == [1]:
        assert wanted == len(jobs)


# --------------------------------------------------------------------------- the manager


class Run:
    """A manager, a queue of jobs that a test fills, a driver."""

    def __init__(self, **timing: Any) -> None:
        config = RunConfig(
            "run", [Resources()], ["job"], "/logs", kind="task", timing=Timing(**timing)
        )
        self.clock = Clock()
        self.manager = VirtualManager([], config, self.clock)
        self.manager.state.tasks.is_open = True
        self.numbers: dict[str, int] = {}
        self.queue: dict[str, JobState] = {}
        self.cancelled: list[str] = []
        self.commands: list[Command] = []

    def ask(self, body: Any, owner: Owner = DRIVER) -> Any:
        number = self.numbers[owner.uuid] = self.numbers.get(owner.uuid, 0) + 1
        message = encode_request(owner, number, body)
        for connection, reply in self.step([(owner.uuid.encode(), message)]):
            if connection == owner.uuid.encode():
                return decode_reply(reply)[1]
        return None

    def step(self, messages: Any = (), results: Any = ()) -> list[tuple[bytes, bytes]]:
        self.sent: list[tuple[bytes, bytes]] = []
        self.manager.dispatcher.step(messages, results, self)
        return self.sent

    def send(self, connection: bytes, message: bytes) -> None:
        self.sent.append((connection, message))

    def send_command(self, command: Command) -> None:
        self.commands.append(command)

    def add(self, one: Pool = POOL) -> Any:
        return self.ask(AddPool(one))

    def submit(self, n: int, task: TaskResources = ONE, batch: str = "b", tag: str = "") -> Any:
        return self.ask(Submit(batch, [task], [NewTask(b"", tag=tag) for _ in range(n)]))

    def turn(self, seconds: float = 2.0) -> None:
        """Let the manager list the queue and act."""
        self.clock.advance(seconds)
        self.step()
        while self.commands:
            result = self._carry_out(self.commands.pop(0))
            self.step(results=[result])

    def _carry_out(self, command: Command) -> Any:
        match command:
            case SubmitJobs():
                first = len(self.numbers) + 100 * command.number
                names = [f"{first + n}" for n in range(command.n)]
                self.queue |= dict.fromkeys(names, JobState.PENDING)
                return JobsSubmitted(names, command.number)
            case CancelJobs():
                self.cancelled += command.jobs
                for job in command.jobs:
                    self.queue.pop(job, None)
                return CancelDone(jobs=command.jobs)
        rows = [ListedJob(JobId(job), state, state.value) for job, state in self.queue.items()]
        return QueueListing(rows)

    def jobs(self) -> list[str]:
        return list(self.queue)


class Head:
    """The head of a job, played by the test."""

    def __init__(
        self, run: Run, job: str, cores: int = 4, node: str = "n", left: float | None = None,
        memory: int | None = None,
    ) -> None:  # fmt: skip
        self.run, self.owner = run, Owner(job, 0, 0, f"head of {job}")
        run.queue[job] = JobState.RUNNING
        self.seen = self.ended = self.told = 0
        self.tokens: list[int] = []
        inventory = [NodeInventory(node, list(range(cores)), [], memory)]
        run.ask(Hello(node, 1, cores, inventory=inventory), self.owner)
        self.trade(holds=[], seconds_left=left)

    def trade(self, ends: list[End] | None = None, wait: float = 0.0, **more: Any) -> Any:
        sent = Trade(self.seen, self.told, ends or [], wait=wait, ends=self.ended, **more)
        work = self.run.ask(sent, self.owner)
        if isinstance(work, Work):
            fresh = [given.token for given in work.tasks if given.token > self.seen]
            self.tokens += fresh
            self.seen = max([self.seen, *fresh])
            self.told = max([self.told, *(order.number for order in work.orders)])
        return work

    def end(self, token: int, kind: EndKind = EndKind.VALUE, **more: Any) -> Any:
        self.ended += 1
        self.tokens.remove(token)
        return self.trade([End(self.ended, token, kind, **more)])

    def end_all(self) -> None:
        while self.tokens:
            self.end(self.tokens[0])


def test_jobs_are_submitted_for_tasks_and_cancelled_when_none_is_left() -> None:
    run = Run()
    assert run.add() == Ok()
    run.turn()
    assert run.jobs() == []
    run.submit(6)
    run.turn()
    assert len(run.jobs()) == 2
    first, second = run.jobs()
    head = Head(run, first)
    assert len(head.tokens) == 4
    head.end_all()
    assert run.manager.items.unfinished == 0
    run.turn(31)
    assert run.cancelled == [second]  # the one that still waited


def test_no_job_is_cancelled_in_which_a_task_has_begun() -> None:
    run = Run()
    run.add()
    run.submit(8)
    run.turn()
    heads = [Head(run, job) for job in run.jobs()]
    assert [len(head.tokens) for head in heads] == [4, 4]
    for head in heads:
        for token in head.tokens[1:]:
            head.end(token)
    run.turn(31)
    assert run.cancelled == []
    assert run.ask(RemovePool("p")) == Ok()
    run.turn(31)
    assert run.cancelled == []
    assert not any(head.trade().leave for head in heads)
    assert heads[0].end(heads[0].tokens[0]).leave


def test_jobs_that_wait_are_cancelled_when_all_that_is_left_runs() -> None:
    run = Run()
    run.add()
    run.submit(12)
    run.turn()
    first, *others = run.jobs()
    assert len(others) == 2
    head = Head(run, first)
    while len(head.tokens) == 4 and run.manager.items.phases[QUEUED]:
        head.end(head.tokens[0])
    run.turn(31)
    assert sorted(run.cancelled) == sorted(others)
    assert run.jobs() == [first]
    assert not head.trade().leave


@pytest.mark.parametrize("is_new_manager", [False, True])
def test_no_job_with_a_task_is_cancelled_though_the_queue_still_shows_it_as_waiting(
    is_new_manager: bool,
) -> None:
    """Listings lag behind, and a new manager does not know yet what heads hold."""
    run = Run()
    run.add()
    run.submit(8)
    run.turn()
    heads = [Head(run, job) for job in run.jobs()]
    for head in heads:
        for token in head.tokens[1:]:
            head.end(token)
    run.queue |= dict.fromkeys(run.queue, JobState.PENDING)
    if is_new_manager:
        run.manager.restart()
    for _ in range(3):
        run.turn(2.5)
    assert run.cancelled == []


def test_demand_is_a_footprint_and_no_number_of_tasks() -> None:
    """Tasks of two cores in jobs of four; those that run count too."""
    two = TaskResources(threads_per_rank=2)
    run = Run()
    run.add(pool(max_jobs=9))
    run.submit(6, two)
    run.turn()
    assert len(run.jobs()) == 3
    head = Head(run, run.jobs()[0])
    assert len(head.tokens) == 2
    run.turn(31)
    assert len(run.jobs()) == 3
    run.submit(1, two, "c")
    run.turn(31)
    assert len(run.jobs()) == 4  # 2 run, 5 wait: 3.5 jobs
    run.submit(1, two, "d")
    run.turn(31)
    assert len(run.jobs()) == 4


def test_the_settings_of_a_pool_may_change_but_not_its_jobs() -> None:
    run = Run()
    assert run.add() == run.add() == run.add(pool(max_jobs=1)) == Ok()
    refused = run.add(pool(resources=Resources(cores=8)))
    assert isinstance(refused, Refused)
    assert "other resources" in refused.reason
    run.submit(100)
    run.turn()
    assert len(run.jobs()) == 1
    assert isinstance(run.add(pool(name="a b")), Refused)
    assert isinstance(run.ask(RemovePool("q")), Refused)
    assert run.ask(RemovePool("p")) == run.ask(RemovePool("p")) == Ok()


def test_pools_outlive_their_manager() -> None:
    run = Run()
    run.add()
    run.add(pool(name="q", accepts=["a"]))
    run.ask(RemovePool("q"))
    run.manager.restart()
    listed = run.ask(Pools())
    assert isinstance(listed, PoolList)
    assert [(one.pool.name, one.pool.is_removed) for one in listed.pools] == [
        ("p", False), ("q", True),
    ]  # fmt: skip
    run.submit(1)
    run.turn()
    assert len(run.jobs()) == 1
    (job,) = run.jobs()
    Head(run, job)
    listed = run.ask(Pools())
    one = listed.pools[0]
    assert (one.running, one.cores, one.used, one.tasks) == (1, 4, 1, 1)


def test_a_pool_takes_only_tasks_of_its_tags() -> None:
    run = Run()
    run.add(pool(accepts=["a"]))
    run.add(pool(name="q"))
    run.submit(2, tag="a")
    run.submit(2, batch="c")
    run.turn()
    assert len(run.jobs()) == 2  # the tagged ones could run in either, and the others in q alone
    shapes = {job: run.manager.state.jobs.records[job].shape for job in run.jobs()}
    tagged = next(job for job, shape in shapes.items() if shape == 1)
    assert len(Head(run, tagged).tokens) == 2
    rows = run.manager.items.rows
    assert {row.tag for row in rows if row.phase is not QUEUED} == {"a"}


def test_what_no_pool_can_hold_is_refused_at_submit_or_fails_with_the_last_pool() -> None:
    run = Run()
    run.add()
    run.add(pool(name="large", resources=Resources(cores=16)))
    answer = run.submit(1, TaskResources(threads_per_rank=17))
    (refused,) = answer.refused
    assert (answer.items, refused.code) == ([-1], "unplaceable")
    assert "17 cores" in refused.reason
    assert "large (16 cores)" in refused.reason
    assert isinstance(run.submit(2, TaskResources(threads_per_rank=16)), TasksSubmitted)
    assert isinstance(run.submit(1, batch="small"), TasksSubmitted)
    run.ask(RemovePool("large"))
    phases = [row.phase for row in run.manager.items.rows]
    assert phases == [FAILED, FAILED, QUEUED]
    assert "16 cores" in run.manager.items.rows[0].reason
    run.ask(RemovePool("p"))
    assert run.manager.items.rows[2].phase is FAILED


def test_a_partly_bad_message_harms_only_what_is_bad() -> None:
    run = Run()
    run.add()
    needs = [ONE, TaskResources(threads_per_rank=99)]
    bad = [
        NewTask(b"", resources=1), NewTask(b"", resources=7), NewTask(b"", after=[5]),
        NewTask(b"", priority=float("nan")), NewTask(b"", function="0" * 32),
    ]  # fmt: skip
    calls = [NewTask(b"0"), *bad, NewTask(b"1")]
    answer = run.ask(Submit("b", needs, calls))
    assert answer.items == [0, -1, -1, -1, -1, -1, 1]
    codes = [(one.place, one.code) for one in answer.refused]
    assert codes == [
        (1, "unplaceable"), (2, "bad_request"), (3, "no_such_item"), (4, "bad_request"),
        (5, "unknown_function"),
    ]  # fmt: skip
    run.manager.restart()
    assert run.ask(Submit("b", needs, calls)) == answer  # its answer was lost
    run.add(pool(name="large", resources=Resources(cores=99)))
    again = run.ask(Submit("b", needs, calls))
    assert (again.items, again.refused[0].code) == (answer.items, "refused_before")
    assert len(run.manager.items) == 2


def test_tasks_fail_with_the_numbers_when_jobs_turn_out_to_be_smaller() -> None:
    run = Run()
    run.add(pool(resources=Resources(cores=8)))
    run.submit(1, TaskResources(threads_per_rank=8))
    run.submit(1, batch="small")
    run.turn()
    Head(run, run.jobs()[0], cores=2)
    large, small = run.manager.items.rows
    assert (large.phase, small.phase) == (FAILED, RUNNING)
    assert "8 cores" in large.reason
    assert "turned out to have 2 cores" in large.reason
    (refused,) = run.submit(1, TaskResources(threads_per_rank=3), "later").refused
    assert refused.code == "unplaceable"


def test_a_pool_whose_jobs_are_too_small_is_wanted_no_more_for_what_another_runs() -> None:
    """They came, could run nothing, left, and were submitted again."""
    run = Run()
    run.add(pool(idle=5.0))
    run.add(pool(name="q", max_jobs=1))
    run.submit(8, TaskResources(threads_per_rank=3))
    run.turn()
    records = run.manager.state.jobs.records
    small = [job for job in run.jobs() if records[job].shape == 1]
    assert len(small) == 3
    Head(run, small[0], cores=2)
    run.turn(31)
    assert sorted(run.cancelled) == sorted(small[1:])
    assert run.manager.items.phases[QUEUED] == 8, "they wait for the other pool"


def test_where_no_pool_can_come_the_heads_that_are_there_decide() -> None:
    """A run of this machine: before its head is there, a task waits."""
    run = Run()
    run.manager.state.pools.takes_more = False
    wide = TaskResources(threads_per_rank=64)
    assert run.submit(1, wide).items == [0]
    run.submit(1, batch="small")
    head = Head(run, "here:vm:1", cores=2)
    assert run.manager.items.rows[0].phase is FAILED
    assert "64 cores" in run.manager.items.rows[0].reason
    assert "(2 cores)" in run.manager.items.rows[0].reason
    assert len(head.tokens) == 1
    assert run.submit(1, wide, "again").refused[0].code == "unplaceable"
    Head(run, "here:vm:2", cores=64)  # a larger machine joins
    assert run.submit(1, wide, "third").items == [2]


def test_what_waits_is_kept_when_the_only_head_ends() -> None:
    """Its program was interrupted: whoever goes on with the run has these tasks again."""
    run = Run(lease=30.0)
    run.manager.state.pools.takes_more = False
    head = Head(run, "here:host:1", left=1000.0)
    assert run.submit(1, TaskResources(walltime=1001.0), batch="long").items == [-1]
    run.submit(2, TaskResources(walltime=100.0, threads_per_rank=4))
    head.trade(seconds_left=900.0)
    head.trade(seconds_left=0.0)
    run.turn(29)
    assert [row.phase for row in run.manager.items.rows] == [RUNNING, QUEUED]


def test_a_task_that_comes_back_after_its_pool_was_removed_fails() -> None:
    run = Run()
    run.add()
    run.submit(1)
    run.turn()
    head = Head(run, run.jobs()[0])
    run.ask(RemovePool("p"))
    head.end(head.tokens[0], EndKind.CUT)
    run.turn(31)
    assert run.manager.items.rows[0].phase is FAILED


def test_without_any_pool_tasks_wait_for_one() -> None:
    run = Run()
    assert isinstance(run.submit(1, TaskResources(threads_per_rank=99)), TasksSubmitted)
    run.turn(31)
    assert run.manager.items.rows[0].phase is QUEUED


# --------------------------------------------------------------------------- heads


def test_an_idle_head_is_told_to_leave_and_given_nothing_more() -> None:
    run = Run(beat=5.0)
    run.add(pool(idle=10.0))
    run.submit(1)
    run.turn()
    head = Head(run, run.jobs()[0])
    head.end_all()
    assert not head.trade().leave
    run.clock.advance(9)
    assert not head.trade().leave
    run.clock.advance(2)
    assert head.trade().leave
    run.submit(1, batch="c")
    assert head.trade().leave  # and nothing was given to it
    assert head.tokens == []


def test_an_empty_queue_is_not_the_end_of_warm_heads() -> None:
    run = Run()
    run.add(pool(idle=120.0))
    run.submit(4)
    run.turn()
    (job,) = run.jobs()
    head = Head(run, job)
    head.end_all()
    for _ in range(20):
        run.turn(4)
        assert not head.trade().leave
    assert (run.cancelled, run.jobs()) == ([], [job])
    run.submit(4, batch="c")
    head.trade()
    assert len(head.tokens) == 4


def test_eight_rows_of_one_job_stay_its_own_in_a_new_manager_and_end_one_by_one() -> None:
    run = Run()
    run.add(pool(resources=Resources(cores=8)))
    run.submit(8)
    run.turn()
    head = Head(run, run.jobs()[0], cores=8)
    run.manager.restart()
    rows = run.manager.items.rows
    assert [(row.phase, row.job) for row in rows] == [(RUNNING, head.owner.job)] * 8
    run.ask(Hello("n", 1, 8, inventory=[NodeInventory("n", list(range(8)))]), head.owner)
    assert head.trade().tell
    head.trade(holds=[Held(token, [NodePlace(0, [n])]) for n, token in enumerate(head.tokens)])
    head.end_all()
    assert {row.phase for row in rows} == {DONE}
    assert {row.attempts for row in rows} == {1}


def test_a_head_that_works_now_and_then_stays() -> None:
    run = Run()
    run.add(pool(idle=10.0))
    for n in range(4):
        run.submit(1, batch=str(n))
        if not n:
            run.turn()
            head = Head(run, run.jobs()[0])
        else:
            head.trade()
        head.end_all()
        run.clock.advance(7)
        assert not head.trade().leave


def test_as_many_heads_stay_as_the_pool_is_to_have() -> None:
    run = Run()
    run.add(pool(min_jobs=1, idle=5.0))
    run.submit(8)
    run.turn()
    heads = [Head(run, job) for job in run.jobs()]
    for head in heads:
        head.end_all()
    run.clock.advance(6)
    assert [head.trade().leave for head in heads] == [True, False]
    # one whose walltime is over all but a little is none of them
    assert [head.trade(seconds_left=0.0).leave for head in heads] == [True, True]


def test_a_head_gets_no_task_for_which_no_time_is_left() -> None:
    run = Run()
    run.add()
    head = Head(run, "j")
    run.submit(1, TaskResources(walltime=100.0))
    head.trade(seconds_left=99.0)
    assert head.tokens == []
    head.trade(seconds_left=101.0)
    assert len(head.tokens) == 1
    head.end_all()
    run.submit(1, batch="c")
    head.trade(seconds_left=0.0)
    assert head.tokens == []  # it begins nothing more


def test_a_task_of_a_whole_walltime_is_begun_where_a_job_is_new() -> None:
    """A job never has its whole walltime left: such a task was taken, and waited for ever."""
    run = Run()
    run.add(pool(resources=Resources(cores=4, walltime=3600)))
    run.add(pool(name="long", resources=Resources(cores=4, walltime=7200)))
    run.submit(1, TaskResources(walltime=3601.0), batch="longer")
    run.submit(2, TaskResources(walltime=3600.0, threads_per_rank=3))
    run.turn()
    records = run.manager.state.jobs.records
    first, late = (job for job in run.jobs() if records[job].shape == 1)
    head = Head(run, first, left=3500.0)
    assert len(head.tokens) == 1, "not that of the pool of longer jobs"
    head.end_all()
    run.submit(1, TaskResources(walltime=3600.0), batch="second")
    run.clock.advance(300)
    head.trade(seconds_left=3200.0)
    assert head.tokens == [], "a new job has more time for it"
    assert Head(run, late, node="m", left=2600.0).tokens == [], "it is not new, this manager is"


def test_a_task_cut_by_two_whole_walltimes_has_failed() -> None:
    run = Run()
    run.add(pool(resources=Resources(cores=4, walltime=100)))
    run.submit(1)
    run.turn()
    head = Head(run, run.jobs()[0])
    head.end(head.tokens[0], EndKind.CUT, seconds=10.0)
    for _ in range(2):
        assert run.manager.items.rows[0].phase is not FAILED
        head.end(head.tokens[0], EndKind.CUT, seconds=90.0)
    assert run.manager.items.rows[0].phase is FAILED
    assert "longer" in run.manager.items.rows[0].reason


def test_a_head_that_died_gives_its_tasks_back() -> None:
    run = Run(lease=30.0)
    run.add()
    run.submit(2)
    run.turn()
    head = Head(run, run.jobs()[0])
    del run.queue[head.owner.job]
    for _ in range(3):
        run.turn(31)
    assert [row.phase for row in run.manager.items.rows] == [QUEUED, QUEUED]
    assert len(run.jobs()) == 1  # another one


def test_a_head_of_this_machine_is_dead_when_its_lease_is_over() -> None:
    run = Run(lease=30.0)
    run.submit(1)
    head = Head(run, "here:host:1")
    assert len(head.tokens) == 1
    run.turn(29)
    assert run.manager.items.rows[0].phase is not QUEUED
    run.turn(31)
    assert run.manager.items.rows[0].phase is QUEUED


# --------------------------------------------------------------------------- bad jobs


def test_jobs_that_die_before_they_ask_hold_the_run() -> None:
    run = Run(grace=10.0)
    run.add()
    run.submit(100)
    run.turn()
    assert len(run.jobs()) == 3
    for _ in range(12):
        run.queue.clear()
        run.turn(31)
        run.turn(31)
    assert "died before" in run.manager.state.stops.held


WORDS = "ModuleNotFoundError: No module named 'solver'"


def test_a_held_pool_quotes_the_output_of_its_jobs() -> None:
    run = Run(grace=10.0)
    run.manager.dispatcher.submit_jobs(run.manager.config, "virtual", 100, lambda _: WORDS)
    run.add()
    run.submit(100)
    run.turn()
    for _ in range(12):
        run.queue.clear()
        run.turn(31)
        run.turn(31)
    assert WORDS in run.manager.state.stops.held
    run.turn(3600)
    assert run.jobs() == []


def test_a_held_pool_quotes_what_its_heads_said() -> None:
    run = Run(grace=10.0)
    run.add()
    run.submit(100)
    run.turn()
    for _ in range(12):
        for job in run.jobs():
            run.ask(Hello("n", 1, 4), Owner(job, 0, 0, f"head of {job}"))
            run.ask(Goodbye(WORDS, broken=True), Owner(job, 0, 0, f"head of {job}"))
        run.queue.clear()
        run.turn(31)
        run.turn(31)
    held = run.manager.state.stops.held
    assert "died before" in held
    assert WORDS in held


def test_a_pool_whose_jobs_bring_nothing_is_held_with_what_the_last_one_said() -> None:
    run = Run()
    run.add()
    run.submit(100)
    run.turn()
    for _ in range(200):
        if run.manager.state.stops.held:
            break
        pending = [job for job, state in run.queue.items() if state is JobState.PENDING]
        for job in pending[:1]:
            head = Head(run, job)
            del run.queue[job]
            run.ask(Goodbye(WORDS), head.owner)
        run.turn(301)
    held = run.manager.state.stops.held
    assert "before one task" in held
    assert WORDS in held


def test_jobs_without_one_end_are_barren() -> None:
    run = Run()
    run.add()
    run.submit(100)
    run.turn()
    for n in range(10):
        assert run.manager.state.stops.barren_runs == n
        job = next(job for job, state in run.queue.items() if state is JobState.PENDING)
        head = Head(run, job)
        assert head.tokens
        del run.queue[job]
        run.ask(Goodbye("its walltime ends"), head.owner)
        run.turn(31)
        run.turn(31)
    assert "before one task" in run.manager.state.backoff_reason
    head = Head(run, next(iter(run.queue)))
    head.end(head.tokens[0])
    assert run.manager.state.stops.barren_runs == 0


@pytest.mark.parametrize(("kind", "begun"), [(EndKind.EXIT, True), (EndKind.UNABLE, False)])
def test_a_node_that_alone_fails_tasks_gets_no_more_and_is_not_submitted_to(
    kind: EndKind, begun: bool
) -> None:
    """It would fail all that is queued, one after the other: the fastest node of all."""
    run = Run()
    run.add(pool(resources=Resources(cores=1), max_jobs=3))
    run.submit(100)
    run.turn()
    good, bad = Head(run, run.jobs()[0], 1, "good"), Head(run, run.jobs()[1], 1, "bad")
    for _ in range(30):
        good.end(good.tokens[0], seconds=1.0)
    for _ in range(10):
        bad.end(bad.tokens[0], kind, seconds=1.0, begun=begun)
    assert bad.tokens == []
    assert bad.trade().leave
    assert good.tokens
    run.ask(Goodbye("it was told to leave"), bad.owner)
    del run.queue[bad.owner.job]
    run.clock.advance(31)
    run.step()
    asked = run.commands.pop(0)
    run.step(results=[run._carry_out(asked)])
    (submit,) = [one for one in run.commands if isinstance(one, SubmitJobs)]
    assert submit.excluded_nodes == ("bad",)


def test_a_job_that_had_nothing_to_do_is_not_barren() -> None:
    run = Run()
    run.add(pool(idle=1.0))
    run.submit(1)
    run.turn()
    head = Head(run, run.jobs()[0])
    head.end_all()
    other = Head(run, "late")
    for one in (head, other):
        run.ask(Goodbye("idle"), one.owner)
    assert run.manager.state.stops.barren_runs == 0


# --------------------------------------------------------------------------- the end of a run


def is_over(run: Run) -> bool:
    run.manager.dispatcher.is_over()
    run.clock.advance(2)
    return run.manager.dispatcher.is_over()


def test_a_run_is_over_when_all_has_ended_and_its_driver_closed_it() -> None:
    run = Run()
    run.add()
    run.submit(1)
    run.turn()
    head = Head(run, run.jobs()[0])
    head.end_all()
    assert not is_over(run)
    assert run.ask(CloseRun()) == Ok()
    assert head.trade().leave
    assert not is_over(run)  # its job is still there
    run.ask(Goodbye("over"), head.owner)
    run.queue.clear()
    run.turn(31)
    assert is_over(run)


@pytest.mark.parametrize("end", [CloseRun(), Cancel()])
def test_a_head_that_waits_is_told_at_once_that_the_run_is_over(end: Any) -> None:
    run = Run()
    run.add()
    run.submit(1)
    run.turn()
    head = Head(run, run.jobs()[0])
    head.end_all()
    assert head.trade(wait=5.0) is None
    message = encode_request(DRIVER, 99, end)
    replies = dict(run.step([(b"driver", message)]))
    work = decode_reply(replies[head.owner.uuid.encode()])[1]
    assert isinstance(work, Work)
    assert work.leave


def test_a_run_that_was_over_a_moment_ago_is_opened_by_its_next_driver() -> None:
    """Its heads are not sent away, and its tasks are not refused because its pools are removed."""
    run = Run()
    run.add()
    assert run.ask(CloseRun()) == Ok()
    run.manager.dispatcher.is_over()
    assert run.ask(OpenRun()) == Ok()
    assert not is_over(run)
    head = Head(run, "here:host:1")
    run.ask(RemovePool("p"))
    assert not head.trade().leave
    assert run.submit(1).items == [0]
    assert head.trade().tasks
    assert run.ask(CloseRun()) == Ok()
    head.end_all()
    assert head.trade().leave


def test_a_job_of_a_former_run_of_the_folder_is_sent_away_and_leaves_nothing_behind() -> None:
    """It was welcomed, was given a task, and its job stood in the new run."""
    run = Run()
    run.add()
    run.submit(1)
    former = Owner("1", 0, 0, "head of 1", "former")
    hello = Hello("n", 1, 4, inventory=[NodeInventory("n", [0])])
    for request in (Trade(holds=[]), hello, Claim(), Beat(3), Goodbye("signal")):
        reply = run.ask(request, former)
        assert isinstance(reply, Refused)
        assert reply.code == "other_run"
        assert "job 1 works for run former, and this is run run" in reply.reason
    assert not run.manager.state.jobs.records
    assert not run.manager.state.tasks.heads
    for known in ("run", ""):
        owner = Owner(f"here:{known}", 0, 0, f"head {known}", known)
        assert isinstance(run.ask(hello, owner), Welcome)


def test_nothing_is_refused_while_a_head_that_was_joined_is_away_for_a_moment() -> None:
    """As one that is started anew after a Ctrl-C: the pools of an earlier driver are removed."""
    run = Run()
    run.add()
    head = Head(run, "here:host:1")
    run.ask(RemovePool("p"))
    run.ask(Goodbye("signal"), head.owner)
    large = TaskResources(threads_per_rank=5)
    assert run.submit(1, large).items == [0]
    run.turn(31)
    assert run.manager.items.rows[0].phase is QUEUED
    Head(run, "here:host:2")  # with four cores
    assert run.manager.items.rows[0].phase is FAILED


def test_nothing_is_refused_until_heads_that_were_joined_have_met_a_new_manager() -> None:
    run = Run()
    run.add()
    head = Head(run, "here:host:1", cores=8)
    large = TaskResources(threads_per_rank=5)
    assert run.submit(1, large).items == [0]
    run.manager.restart()
    assert run.submit(1, large, batch="c").items == [1]
    run.turn(1)
    assert not run.manager.items.phases[FAILED]
    run.turn(60)  # it is gone
    assert run.submit(1, large, batch="d").items == [-1]
    assert head.owner.job not in run.manager.state.jobs.live


def test_a_run_whose_driver_is_gone_for_long_is_over() -> None:
    run = Run(driver_patience=100.0)
    run.submit(1)
    head = Head(run, "here:host:1")
    run.clock.advance(200)
    run.step()
    assert run.manager.state.tasks.is_open  # a task has not ended
    run.ask(Collect(0))
    head.end_all()
    run.clock.advance(99)
    run.step()
    assert run.manager.state.tasks.is_open
    run.clock.advance(2)
    run.step()
    assert not run.manager.state.tasks.is_open
    assert head.trade().leave
    run.submit(1, batch="c")  # a driver came back in time
    assert run.manager.state.tasks.is_open


def test_a_manager_whose_driver_is_gone_ends_if_its_tasks_have_nothing_to_run_on() -> None:
    """Not while a head is there, or a pool; and its tasks stay for whoever comes back."""
    run = Run(driver_patience=100.0)
    run.submit(1)
    head = Head(run, "here:host:1")
    run.clock.advance(101)
    run.step()
    assert not run.manager.is_stopped
    run.ask(Goodbye("who started it has ended"), head.owner)
    run.turn()
    assert run.manager.is_stopped
    assert run.manager.state.tasks.is_open
    run.manager.is_stopped = False
    run.ask(CloseRun())  # another driver has come and gone; that task still has nothing to run on
    run.clock.advance(101)
    run.step()
    assert run.manager.is_stopped
    run.manager.is_stopped = False
    run.add()
    run.clock.advance(101)
    run.step()
    assert not run.manager.is_stopped


class Unread(list[Any]):
    """Rows of which nobody looks at all."""

    def __iter__(self) -> Any:
        raise AssertionError("all rows are looked at")


@pytest.mark.parametrize("rows", ["none", "active", "all"])
def test_a_status_does_not_look_at_all_tasks(rows: Any) -> None:
    """There may be a million, and meanwhile nobody is answered."""
    run = Run()
    run.submit(5)
    run.manager.state.items.rows = Unread(run.manager.state.items.rows)
    assert isinstance(run.ask(Status(rows)), Picture)


def test_a_run_that_was_cancelled_takes_no_tasks() -> None:
    run = Run()
    run.add()
    run.submit(1)
    run.turn()
    run.ask(Cancel())
    run.turn(31)
    assert run.jobs() == []
    assert isinstance(run.submit(1, batch="c"), Refused)


def test_a_node_of_several_that_alone_fails_tasks_is_avoided_and_its_job_goes_on() -> None:
    run = Run()
    run.add(pool(resources=Resources(cores=2, nodes=2), max_jobs=1))
    run.submit(100)
    run.turn()
    owner = Owner(run.jobs()[0], 0, 0, "head")
    run.queue[owner.job] = JobState.RUNNING
    nodes = [NodeInventory("good", [0]), NodeInventory("bad", [0])]
    run.ask(Hello("good", 1, 2, inventory=nodes), owner)
    work = run.ask(Trade(holds=[]), owner)
    number = seen = begun_on_bad = 0
    for _ in range(60):
        ends = []
        for one in work.tasks:
            number += 1
            is_bad = one.place[0].node == 1
            begun_on_bad += is_bad
            kind = EndKind.EXIT if is_bad else EndKind.VALUE
            ends.append(End(number, one.token, kind, seconds=1.0))
        seen = max([seen, *(one.token for one in work.tasks)])
        work = run.ask(Trade(seen=seen, ended=ends, ends=number), owner)
    assert begun_on_bad < 20, "it would have failed half of them"
    assert not work.leave
    assert run.manager.items.phases[DONE] >= 50


@pytest.mark.parametrize(("part", "blamed"), [(1, {"m"}), (0, {"n"}), (-1, set()), (7, set())])
def test_a_task_over_nodes_blames_the_node_on_which_it_has_failed(
    part: int, blamed: set[str]
) -> None:
    """The first one of its nodes was blamed; and another one was never good."""
    run = Run()
    run.add(pool(resources=Resources(cores=4, nodes=2), max_jobs=1))
    run.submit(200, TaskResources(nodes=2))
    run.turn()
    head = HeadOfTwo(run, run.jobs()[0])
    head.trade(nodes=[NodeChange(1, 1, NodeInventory("m", [0, 1]))])
    health = run.manager.state.stops.nodes
    health.add(["k", "l"])  # not more than half are avoided
    for _ in range(30):
        head.end(head.tokens[0], seconds=1.0)
        head.end(head.tokens[0], EndKind.EXIT, seconds=1.0, part=part)
    assert not health.failing_tasks(run.clock.monotonic)
    for n in range(20):
        health.on_task_end("k", n, 1.0, run.clock.monotonic, good=True)
    for _ in range(TASK_FAILURES):
        head.end(head.tokens[0], EndKind.EXIT, seconds=1.0, part=part)
    assert set(health.failing_tasks(run.clock.monotonic)) == blamed
    assert run.manager.state.jobs.live


@pytest.mark.parametrize("kind", [EndKind.VALUE, EndKind.EXIT])
def test_a_task_of_which_nobody_knows_where_it_has_failed_was_on_its_own_node(
    kind: EndKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job's first node was named, where it had nothing; and its own was not blamed."""
    run = Run()
    run.add(pool(resources=Resources(cores=4, nodes=2), max_jobs=1))
    run.submit(2, TaskResources(ranks_per_node=2))
    run.turn()
    head = HeadOfTwo(run, run.jobs()[0])
    head.trade(nodes=[NodeChange(1, 1, NodeInventory("m", [0, 1]))])
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        run.manager.state.stops.nodes, "on_task_end",
        lambda node, *_, good: told.append((node, good)),
    )  # fmt: skip
    for token in list(head.tokens):
        head.end(token, kind, seconds=1.0, part=-1)
    times = [run.manager.state.tasks.facts.fact("times", item) or b"" for item in (0, 1)]
    assert {msgspec.msgpack.decode(one, type=LastTry).node for one in times} == {"n", "m"}
    assert sorted(told) == [(node, kind is EndKind.VALUE) for node in ("m", "n")]


# --------------------------------------------------------------------------- jobs that lack nodes


class HeadOfTwo(Head):
    """The head of a job of two nodes, of which the second one is away."""

    def __init__(self, run: Run, job: str) -> None:
        self.run, self.owner = run, Owner(job, 0, 0, f"head of {job}")
        run.queue[job] = JobState.RUNNING
        self.seen = self.ended = self.told = 0
        self.tokens = []
        nodes = [NodeInventory("n", [0, 1]), NodeInventory("m", [])]
        run.ask(Hello("n", 1, 4, inventory=nodes), self.owner)
        self.trade(holds=[])


def run_of_two(max_jobs: int, **more: Any) -> Run:
    run = Run(lease=1000.0)
    run.add(pool(resources=Resources(cores=4, nodes=2), max_jobs=max_jobs, **more))
    return run


TWO_OF_ONE = TaskResources(nodes=2)


def test_a_job_that_lacks_a_node_for_long_is_no_room_for_a_task_that_needs_it() -> None:
    run = run_of_two(max_jobs=2, idle=10_000.0)
    run.submit(1, TWO_OF_ONE)
    run.turn()
    head = HeadOfTwo(run, run.jobs()[0])
    run.turn(NODE_PATIENCE - 5)
    assert len(run.jobs()) == 1, "its other node may still come"
    run.turn(31)
    assert len(run.jobs()) == 2
    assert not head.trade().leave


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_task_fails_when_a_node_of_what_was_joined_does_not_come_any_more(is_lost: bool) -> None:
    """It waited for ever for a node that had been given up."""
    run = Run(lease=10_000.0)
    run.manager.state.pools.takes_more = False
    assert run.submit(1, TWO_OF_ONE).items == [0]
    head = HeadOfTwo(run, "here:host:1")
    if is_lost:
        head.trade(nodes=[NodeChange(1, 1, NodeInventory("m", [0, 1]))])
        head.end_all()
        head.trade(nodes=[NodeChange(2, 1, None)])
        assert run.submit(1, TWO_OF_ONE, batch="c").items == [1]
    run.turn(NODES_GIVEN_UP - 5)
    row = run.manager.items.rows[-1]
    assert row.phase is QUEUED
    assert run.submit(1, TWO_OF_ONE, batch="d").items == [row.id + 1], "it may still come"
    run.turn(10)
    assert {one.phase for one in run.manager.items.rows[row.id :]} == {FAILED}
    assert "joined by hand (2 nodes with 2 cores each, 1 of them away)" in (
        run.manager.items.rows[-1].reason
    )
    assert run.submit(1, TWO_OF_ONE, batch="e").items == [-1]


def test_a_job_that_comes_whole_in_time_is_room() -> None:
    run = run_of_two(max_jobs=2)
    run.submit(1, TWO_OF_ONE)
    run.turn()
    head = HeadOfTwo(run, run.jobs()[0])
    head.trade(nodes=[NodeChange(1, 1, NodeInventory("m", [0, 1]))])
    assert len(head.tokens) == 1
    run.turn(NODE_PATIENCE + 5)
    assert len(run.jobs()) == 1


def test_a_job_whose_nodes_are_still_to_come_is_not_idle_while_tasks_wait_for_them() -> None:
    """It was told to leave before its second node had come, and so the next one, for ever."""
    run = run_of_two(max_jobs=1, idle=0.5)
    run.submit(1, TWO_OF_ONE)
    run.turn()
    head = HeadOfTwo(run, run.jobs()[0])
    for _ in range(10):
        run.clock.advance(2)
        assert not head.trade().leave
    run.clock.advance(
        2
    )  # more than `idle`: it was told to leave in the turn in which its node came
    head.trade(nodes=[NodeChange(1, 1, NodeInventory("m", [0, 1]))])
    assert len(head.tokens) == 1
    head.end_all()
    run.clock.advance(1)
    assert head.trade().leave


@pytest.mark.parametrize("min_jobs", [0, 1])
def test_a_job_that_lacks_a_node_makes_room_for_another_one(min_jobs: int) -> None:
    """It is the only one that there may be, and is busy: it is given nothing more, and leaves."""
    run = run_of_two(max_jobs=1, min_jobs=min_jobs, idle=10_000.0)
    run.submit(8)
    run.submit(1, TWO_OF_ONE, batch="two")
    run.turn()
    head = HeadOfTwo(run, run.jobs()[0])
    assert len(head.tokens) == 2
    run.turn(NODE_PATIENCE + 5)
    head.end(head.tokens[0])
    assert len(head.tokens) == 1, "it is given nothing more"
    assert head.end(head.tokens[0]).leave
    run.ask(Goodbye("it was told to leave"), head.owner)
    run.queue.clear()
    run.turn(31)
    run.turn(31)
    assert len(run.jobs()) == 1


def test_a_job_that_lacks_a_node_goes_on_if_nothing_waits_for_that_node() -> None:
    run = run_of_two(max_jobs=1)
    run.submit(8)
    run.turn()
    head = HeadOfTwo(run, run.jobs()[0])
    run.turn(NODE_PATIENCE + 5)
    while head.tokens:
        head.end(head.tokens[0])
    assert run.manager.items.phases[DONE] == 8


def test_an_idle_head_whose_walltime_is_nearly_over_is_no_room() -> None:
    run = Run(lease=1000.0)
    run.add(pool(resources=Resources(cores=4, walltime=1000), min_jobs=1))
    run.turn()
    head = Head(run, run.jobs()[0], left=900.0)
    run.turn(5)
    assert len(run.jobs()) == 1
    head.trade(seconds_left=90.0, wait=5.0)
    run.submit(1, TaskResources(walltime=600.0))
    run.turn(5)
    assert len(run.jobs()) == 2
