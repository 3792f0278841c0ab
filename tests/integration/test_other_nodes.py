"""Other nodes of a job: real proxies, agents and tasks; on one machine the nodes are told apart by a variable."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from adaptive_scheduler.client.tasks.head import agent_link
from adaptive_scheduler.client.tasks.head.nodes import JobNodes, Nodes
from adaptive_scheduler.client.tasks.messages import Begun, TaskEnd
from adaptive_scheduler.client.tasks.node.variables import TASK_VARIABLE
from adaptive_scheduler.client.tasks.other_nodes import conversation, launch_plan, others
from adaptive_scheduler.client.tasks.other_nodes.conversation import bodies_of, read_parcel
from adaptive_scheduler.client.tasks.other_nodes.earlier_life import wait_for_earlier
from adaptive_scheduler.client.tasks.other_nodes.launchers import Commands
from adaptive_scheduler.client.tasks.other_nodes.messages import AgentLost, FromNode
from adaptive_scheduler.core.paths import JOB_VARIABLE, NODE_VARIABLE, RUN_VARIABLE, RunFolder
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.wire.tasks import EndKind, Given
from adaptive_scheduler.schedulers.node_launch import NodeLauncher
from tests.integration.agent_node import MARK, kill_all, of_test

PATIENCE = 60.0
#: Seconds of silence after which a node is lost, where a test is about that: else the usual ten, which a
#: process that stands still for a moment does not reach.
SHORT = 3.0
JOB = "job.1"
PROXY = "adaptive_scheduler.client.tasks.other_nodes.proxy"
NODE = "adaptive_scheduler.client.tasks.node."


def by_hand(nodes: Sequence[str], program: Sequence[str]) -> list[NodeLauncher]:
    """Start the program here for each node, as pbs_tmrsh does there."""
    return [NodeLauncher((node,), (*program, node), dict(os.environ)) for node in nodes]


class Head:
    """The head's nodes; plays its session."""

    def __init__(self, folder: Path, others: list[str], commands: Commands = by_hand) -> None:
        self.folder = folder
        self.ended: dict[int, list[TaskEnd]] = {}
        self.lost: list[tuple[int, str]] = []
        self.agents_lost: list[tuple[int, frozenset[int]]] = []
        self.came: list[int] = []
        self.agents: list[int] = []
        self.begun: dict[int, int] = {}
        self.selector = selectors.DefaultSelector()
        run = RunFolder(folder / "run")
        for path in (run.folder, run.values, run.functions):
            path.mkdir(parents=True, mode=0o700, exist_ok=True)
        own = NodeInventory("first", [0])
        self.nodes = Nodes(run, self.selector, self, JobNodes(own, others, 1, commands))

    def task_begun(self, node: int, begun: Begun) -> None:
        self.begun[begun.token] = begun.pid

    def task_ended(self, ended: TaskEnd) -> None:
        self.ended.setdefault(ended.token, []).append(ended)

    def ranks_ended(self, node: int, token: int) -> None:
        pass

    def agent_came(self, node: int) -> None:
        self.agents.append(node)

    def agent_lost(self, node: int, unsent: frozenset[int]) -> None:
        self.agents_lost.append((node, unsent))

    def node_came(self, node: int, inventory: NodeInventory) -> None:
        self.came.append(node)

    def node_lost(self, node: int, text: str) -> None:
        self.lost.append((node, text))

    def wait(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s: {vars(self)}"
            for key, _ in self.selector.select(0 if self.nodes.has_heard else 0.02):
                key.data()
            self.nodes.tick(time.monotonic())

    def hold_back(self, kind: type[Any]) -> list[tuple[bytes, bytes]]:
        """What comes from other nodes, until one has said this; the head has not read it."""
        decode = msgspec.msgpack.Decoder(FromNode).decode
        end = time.monotonic() + PATIENCE
        held: list[tuple[bytes, bytes]] = []
        while not any(
            isinstance(one, kind)
            for _, data in held
            for one in bodies_of(read_parcel(data), decode)
        ):
            assert time.monotonic() < end
            held += self.nodes._others._server.receive()
            time.sleep(0.02)
        return held

    def begin(self, token: int, node: int, text: str) -> None:
        spec = CommandSpec([CommandStep("", text=text)], "/", str(self.folder / f"log-{token}"))
        place = [NodePlace(node, [0])]
        self.nodes.begin(Given(token, token, 0, place, spec=msgspec.msgpack.encode(spec)), place)

    def begin_over(self, token: int, nodes: list[int], text: str) -> None:
        """Begin a program over several nodes, which starts its ranks itself."""
        log = str(self.folder / f"log-{token}")
        spec = CommandSpec([CommandStep("", text=text)], "/", log, launch_ranks=False)
        place = [NodePlace(node, [0]) for node in nodes]
        self.nodes.begin(Given(token, token, 0, place, spec=msgspec.msgpack.encode(spec)), place)

    def run(self, token: int, node: int, text: str = "true") -> TaskEnd:
        self.begin(token, node, text)
        self.wait(lambda: token in self.ended)
        (ended,) = self.ended[token]
        return ended

    def log(self, token: int) -> str:
        return (self.folder / f"log-{token}").read_text()


def processes(folder: Path, node: str, module: str) -> list[psutil.Process]:
    """Those of a module on a node."""
    found = []
    for process in of_test(folder):
        with suppress(psutil.Error):
            if module in process.cmdline() and process.environ().get(NODE_VARIABLE) == node:
                found.append(process)
    return found


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv(JOB_VARIABLE, JOB)
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))  # another session has nodes of these names, too
    monkeypatch.setenv(NODE_VARIABLE, "first")
    monkeypatch.setattr(launch_plan, "PAUSE", 0.3)
    (tmp_path / "bin").mkdir()
    for name in ("pbs_tmrsh",):  # that tasks of several nodes could use
        (tmp_path / "bin" / name).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    # of the head: longer than the bound below, which fails if it waits for what does not come
    for module in (agent_link, others):
        monkeypatch.setattr(module, "PATIENCE", 50.0)
    one = Head(tmp_path, ["second", "third"])
    try:
        one.wait(lambda: sorted(one.agents) == [0, 1, 2])
        yield one
        begin = time.monotonic()
        one.nodes.close()
        assert time.monotonic() - begin < 40
        assert of_test(tmp_path) == []
        assert list((tmp_path / "run").glob("**/invitations/*")) == []
    finally:
        kill_all(tmp_path)


def test_tasks_run_on_each_node_and_know_where_they_are(head: Head) -> None:
    for token, name in enumerate(("first", "second", "third"), 1):
        assert (
            head.run(token, token - 1, f"echo ${NODE_VARIABLE} ${JOB_VARIABLE}").kind
            is EndKind.VALUE
        )
        assert head.log(token) == f"{name} {JOB}\n"
    assert [node.name for node in head.nodes.inventory] == ["first", "second", "third"]
    assert all(len(node.cores) == 1 for node in head.nodes.inventory)


def test_tasks_on_another_node_are_stopped_and_come_back(head: Head) -> None:
    head.begin(1, 1, "sleep 100")
    head.begin(2, 1, "true")
    head.wait(lambda: 1 in head.begun)
    head.nodes.recall(2)
    head.wait(lambda: 2 in head.ended)
    assert head.ended[2][0].kind is EndKind.BACK
    head.nodes.stop(1)
    head.wait(lambda: 1 in head.ended)
    assert head.ended[1][0].kind is EndKind.CANCELLED


@pytest.mark.parametrize("nodes", [[0, 1], [1, 2]])
def test_a_task_of_several_nodes_may_save_when_its_job_ends(
    head: Head, nodes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other nodes have nothing to do then, but are needed until its end."""
    head.begin_over(
        1, nodes, "trap 'sleep 1; echo saved; exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    )
    head.begin(2, 2, "exec sleep 600")
    log = tmp_path / "log-1"
    head.wait(lambda: log.exists() and "begun" in log.read_text() and 2 in head.begun)
    head.nodes.quit(50.0)
    head.wait(lambda: 1 in head.ended and 2 in head.ended, 40.0)
    assert "saved" in log.read_text()
    assert [[one.kind for one in head.ended[token]] for token in (1, 2)] == [[EndKind.CUT]] * 2
    assert not {node for node, _ in head.lost} & set(nodes)


def test_an_agent_of_another_node_dies(head: Head, tmp_path: Path) -> None:
    head.begin(1, 1, "sleep 100")
    head.wait(lambda: 1 in head.begun)
    (agent,) = processes(tmp_path, "second", NODE + "agent")
    agent.kill()
    head.wait(lambda: head.agents_lost)
    assert head.agents_lost == [(1, frozenset())]
    assert head.run(2, 1).kind is EndKind.VALUE
    assert not head.lost


def test_tasks_that_are_sent_while_the_death_of_an_agent_is_on_its_way_were_given_to_none(
    head: Head, tmp_path: Path
) -> None:
    """The head has told that they come back: the next agent must not begin them."""
    (agent,) = processes(tmp_path, "second", NODE + "agent")
    head.run(1, 1)
    agent.kill()
    told = head.hold_back(AgentLost)  # the proxy has told it, and the head has not read it
    head.begin(2, 1, f"touch {tmp_path}/ran")
    for life, data in told:
        head.nodes._others._hear(life, data, time.monotonic())
    head.wait(lambda: head.agents_lost)
    assert head.agents_lost == [(1, frozenset({2}))]
    assert head.run(3, 1).kind is EndKind.VALUE
    assert not (tmp_path / "ran").exists()
    assert 2 not in head.ended


def test_a_supervisor_of_another_node_dies(head: Head, tmp_path: Path) -> None:
    head.begin(1, 2, "sleep 100")
    head.wait(lambda: 1 in head.begun)
    (supervisor,) = processes(tmp_path, "third", NODE + "supervisor")
    supervisor.kill()
    head.wait(lambda: head.agents_lost)
    assert head.run(2, 2).kind is EndKind.VALUE
    assert not psutil.pid_exists(head.begun[1])
    assert not head.lost


def test_a_proxy_is_killed_and_its_node_comes_again(head: Head, tmp_path: Path) -> None:
    head.begin(1, 1, "sleep 100")
    head.wait(lambda: 1 in head.begun)
    (proxy,) = processes(tmp_path, "second", PROXY)
    proxy.kill()
    head.wait(lambda: head.lost)
    assert head.lost[0][0] == 1
    assert head.run(2, 2).kind is EndKind.VALUE  # the others go on
    head.wait(lambda: head.came.count(1) == 2)
    assert not psutil.pid_exists(head.begun[1])
    assert head.run(3, 1).kind is EndKind.VALUE
    assert len(head.nodes.inventory[1].cores) == 1


def test_a_proxy_that_stands_still_is_lost_and_what_it_ran_is_gone_before_the_next_one_begins(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.begin(1, 1, "sleep 100")
    head.wait(lambda: 1 in head.begun)
    (proxy,) = processes(tmp_path, "second", PROXY)
    proxy.suspend()
    with monkeypatch.context() as patch:
        patch.setattr(conversation, "SILENCE", SHORT)
        head.wait(lambda: 1 in [node for node, _ in head.lost])
    assert psutil.pid_exists(head.begun[1])  # nobody can end it from here
    head.nodes._others._launchers._running[0].process.kill()
    # and its supervisor is executed: until then it is taken for a proxy
    head.wait(lambda: head.agents.count(1) == 2)
    assert not psutil.pid_exists(head.begun[1])
    assert len(processes(tmp_path, "second", PROXY)) == 1
    assert head.run(2, 1).kind is EndKind.VALUE


def test_a_head_that_stood_still_reads_first_what_has_come_meanwhile(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.run(1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(conversation, "SILENCE", SHORT)
        time.sleep(1.5 * SHORT)
        head.nodes.tick(time.monotonic())
    assert head.run(2, 1).kind is EndKind.VALUE
    assert head.run(3, 2).kind is EndKind.VALUE
    assert head.lost == []


def test_what_is_no_message_costs_only_the_one_that_sent_it(head: Head, tmp_path: Path) -> None:
    life = head.nodes._others[1].life
    head.nodes._others._hear(life, b"\x00nonsense", time.monotonic())
    head.nodes._others._hear(b"nobody", b"\xc1", time.monotonic())
    head.nodes._others._hear(b"nobody else", msgspec.msgpack.encode([7, []]), time.monotonic())
    assert head.lost[0][0] == 1
    assert "not a message of this version" in head.lost[0][1]
    assert head.run(1, 2).kind is EndKind.VALUE
    head.wait(lambda: head.came.count(1) == 2)
    assert head.run(2, 1).kind is EndKind.VALUE


def test_a_node_that_comes_back_with_other_gpus_is_given_up_and_the_others_go_on(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")  # of what is launched from now on
    (proxy,) = processes(tmp_path, "second", PROXY)
    proxy.kill()
    head.wait(lambda: head.lost)
    head.wait(lambda: head.nodes._others._given_up)
    assert "node second is given up: it had" in capfd.readouterr().err
    head.wait(lambda: not processes(tmp_path, "second", PROXY))
    assert head.came.count(1) == 1
    assert head.run(1, 0).kind is EndKind.VALUE
    assert head.run(2, 2).kind is EndKind.VALUE


def only(nodes: Sequence[str], program: Sequence[str], argv: tuple[str, ...]) -> list[NodeLauncher]:
    return [NodeLauncher(tuple(nodes), argv, dict(os.environ))]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("no-such-launcher",), "no-such-launcher cannot be started (No such file or directory)"),
        (("false",), "node second is given up: it was started 5 times in vain."),
    ],
)
def test_a_launcher_that_does_not_work_costs_only_its_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    argv: tuple[str, ...], says: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv(JOB_VARIABLE, JOB)
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))  # another session has nodes of these names, too
    monkeypatch.setenv(NODE_VARIABLE, "first")
    monkeypatch.setattr(launch_plan, "PAUSE", 0.05)
    one = Head(tmp_path, ["second"], lambda nodes, program: only(nodes, program, argv))
    said = ""
    try:
        end = time.monotonic() + PATIENCE
        while says not in said:
            one.wait(lambda: True)
            for _ in range(20):
                one.nodes.tick(time.monotonic())
                time.sleep(0.02)
            said += capfd.readouterr().err
            assert time.monotonic() < end, said
        assert one.run(1, 0).kind is EndKind.VALUE
        one.nodes.close()
    finally:
        kill_all(tmp_path)
    assert said.count("given up") + said.count("cannot be started") == 1


def test_only_what_an_earlier_life_of_this_job_left_on_this_node_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clusters may both have a job of this number, on nodes of the same name."""
    monkeypatch.setenv(RUN_VARIABLE, "/mine")
    mine = {JOB_VARIABLE: JOB, NODE_VARIABLE: "second", RUN_VARIABLE: "/mine", TASK_VARIABLE: "1"}
    others = [{JOB_VARIABLE: "job.2"}, {NODE_VARIABLE: "third"}, {RUN_VARIABLE: "/its"}]
    environs = [mine, *({**mine, **other} for other in others)]
    tasks = [subprocess.Popen(["sleep", "60"], env={**os.environ, **one}) for one in environs]
    try:
        wait_for_earlier(JOB, "second", 0.0)
        tasks[0].wait(PATIENCE)
        assert [task.poll() for task in tasks[1:]] == [None, None, None]
    finally:
        for task in tasks:
            task.kill()
            task.wait()


def test_a_task_that_comes_with_the_heads_word_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read together with the word that the node is accepted, and never ended."""
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv(JOB_VARIABLE, JOB)
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))  # another session has nodes of these names, too
    monkeypatch.setenv(NODE_VARIABLE, "first")
    one = Head(tmp_path, ["second"])
    monkeypatch.setattr(one, "node_came", lambda node, _: one.begin(1, node, "true"))
    try:
        one.wait(lambda: 1 in one.ended)
        assert one.ended[1][0].kind is EndKind.VALUE
        one.nodes.close()
    finally:
        kill_all(tmp_path)
