"""Other nodes of a job: what is said to launchers, what is said on the link, when a node is lost or given up."""

from __future__ import annotations

import os
import shlex
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.client.tasks.head.nodes import JobNodes
from adaptive_scheduler.client.tasks.messages import Quit, Slot, Start, StopTask, TaskEnd
from adaptive_scheduler.client.tasks.other_nodes import enter
from adaptive_scheduler.client.tasks.other_nodes.conversation import (
    BEAT,
    SILENCE,
    STALL,
    Conversation,
    alone,
)
from adaptive_scheduler.client.tasks.other_nodes.invitation import (
    Invitation,
    read_invitation,
    write_invitation,
)
from adaptive_scheduler.client.tasks.other_nodes.launch_plan import (
    ARRIVAL,
    MOST_VAIN_STARTS,
    PAUSE,
    LaunchPlan,
)
from adaptive_scheduler.client.tasks.other_nodes.messages import (
    Accepted,
    AgentLost,
    Arrived,
    FromNode,
    LossNoted,
    ToNode,
)
from adaptive_scheduler.client.tasks.other_nodes.other_node import OtherNode, first_word
from adaptive_scheduler.core.paths import JOB_VARIABLE, NODE_VARIABLE, RunFolder
from adaptive_scheduler.core.tasks.command_spec import CommandSpec
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import FileError, ProtocolError, RunError
from adaptive_scheduler.schedulers.node_launch import launchers, nodes_of_job

# --------------------------------------------------------------------------- launchers

SLURM = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURMD_NODENAME": "n1",
    "SLURM_MEM_PER_CPU": "100", "SLURM_CONF": "/x", "SLURM_NTASKS": "3", "MINE": "a",
    JOB_VARIABLE: "7", NODE_VARIABLE: "n1", "SLURM_CPUS_PER_TASK": "2",
}  # fmt: skip


def test_nodes_of_a_job_own_first(tmp_path: Path) -> None:
    assert nodes_of_job(SLURM) == ["n1", "n2", "n3"]
    assert nodes_of_job({**SLURM, "SLURMD_NODENAME": "n2"}) == ["n2", "n1", "n3"]
    file = tmp_path / "nodes"
    file.write_text("pbs2\npbs2\npbs1\n")
    assert nodes_of_job({"PBS_JOBID": "1.vm", "PBS_NODEFILE": str(file)}) == ["pbs2", "pbs1"]
    assert nodes_of_job({"PBS_JOBID": "1.vm", "PBS_NODEFILE": "/nowhere"}) == []
    assert nodes_of_job({}) == []
    own = NodeInventory("n1", [0, 1])
    nodes = JobNodes(own, ["n2"], 2)
    assert nodes.at_first() == [own, NodeInventory("n2", [])]


def test_one_srun_starts_all_nodes_and_takes_no_option_from_the_variables_of_the_job() -> None:
    (one,) = launchers(SLURM, ["n2", "n3"], ["python", "-m", "x"])
    assert one.nodes == ("n2", "n3")
    assert one.argv[0] == "srun"
    assert one.argv[-3:] == ("python", "-m", "x")
    assert {
        "--overlap", "--kill-on-bad-exit=0", "--nodes=2", "--ntasks-per-node=1", "--nodelist=n2,n3",
        "--cpu-bind=none", "--mem=0", "--input=none", "--jobid=7",
    } <= set(one.argv)  # fmt: skip
    assert one.environ == {
        "SLURM_JOB_ID": "7", "SLURM_CONF": "/x", "MINE": "a", JOB_VARIABLE: "7", NODE_VARIABLE: "n1",
    }  # fmt: skip


def test_pbs_starts_each_node_by_a_shell_that_takes_the_quotes_off() -> None:
    environ = {"PBS_JOBID": "1.vm", "PATH": os.environ["PATH"], "PYTHONPATH": "/a b/'c'"}
    one, two = launchers(environ, ["h1", "h2"], ["/bin/echo", "it's", "a  b"])
    assert (one.nodes, two.nodes) == (("h1",), ("h2",))
    assert one.argv[:4] == ("pbs_tmrsh", "h1", "/bin/sh", "-c")
    assert shlex.split(one.argv[4])[-4:] == ["/bin/echo", "it's", "a  b", "h1"]
    assert "PYTHONPATH='/a b/'\"'\"'c'\"'\"''" in one.argv[4]


def test_a_node_is_started_again_after_a_pause_and_given_up_after_some_vain_starts() -> None:
    plan, now = LaunchPlan(["a", "b"]), 0.0
    assert plan.due(now) == ["a", "b"]
    plan.note_started(["a", "b"], now)
    assert plan.due(now) == []
    plan.note_there("a")
    plan.note_good("a")
    for _ in range(MOST_VAIN_STARTS - 1):
        plan.note_failed(["a", "b"], now)
        assert plan.due(now + PAUSE / 2) == []
        now += PAUSE
        assert plan.due(now) == ["b"]
        assert plan.give_up(now) == []
        plan.note_started(["b"], now)
    now += ARRIVAL  # its launcher hangs
    assert plan.due(now) == []
    now += PAUSE
    assert plan.due(now) == ["b"]
    assert plan.give_up(now) == ["b"]
    assert plan.due(now) == []
    assert plan.is_there("a")
    plan.note_lost("a", now)
    assert plan.due(now + PAUSE) == ["a"]
    plan.end()
    plan.note_lost("a", now)
    assert plan.due(now + 1000) == []


def test_the_late_end_of_an_earlier_launcher_is_no_failure_of_the_one_at_work() -> None:
    """Where `srun` is slow, a second process would come, and end the first with all that it runs."""
    plan = LaunchPlan(["a", "b"])
    plan.note_started(["a", "b"], 0.0)
    for node in ("a", "b"):
        plan.note_there(node)
        plan.note_good(node)
        plan.note_lost(node, 1.0)
    plan.note_started(["a"], 5.0)
    plan.note_failed(["a", "b"], 6.0, 0.0)
    assert plan.due(6.0 + PAUSE) == ["b"]
    plan.note_failed(["a"], 20.0, 5.0)
    assert plan.due(20.0 + PAUSE) == ["a", "b"]


def test_after_a_vain_start_each_node_has_a_launcher_of_its_own() -> None:
    plan = LaunchPlan(["a", "b", "c"])
    assert plan.in_groups(["a", "b", "c"]) == [["a", "b", "c"]]
    plan.note_started(["a", "b"], 0.0)
    plan.note_failed(["a", "b"], 0.0)
    assert plan.in_groups(["a", "b", "c"]) == [["c"], ["a"], ["b"]]


# --------------------------------------------------------------------------- the link


def pair() -> tuple[Conversation, Conversation]:
    """A proxy's side and the head's."""
    return (
        Conversation(msgspec.msgpack.Decoder(ToNode), 0.0),
        Conversation(msgspec.msgpack.Decoder(FromNode), 0.0),
    )


def start(token: int) -> Start:
    return Start(token, CommandSpec([], "/", ""), Slot((0,)))


def test_what_is_said_arrives_in_order_and_a_repeated_parcel_says_nothing() -> None:
    proxy, head = pair()
    proxy.put(TaskEnd(1, EndKind.VALUE))
    proxy.put(TaskEnd(2, EndKind.VALUE))
    (first, beat) = proxy.parcels(0.0)
    assert [one.token for one in head.take(first, 0.0)] == [1, 2]
    assert head.take(first, 0.0) == []
    assert head.take(beat, 0.0) == []
    assert proxy.parcels(BEAT / 2) == []
    assert len(proxy.parcels(BEAT)) == 1


def test_a_parcel_that_was_lost_is_noticed_by_the_next_one_or_by_a_heartbeat() -> None:
    proxy, head = pair()
    for token in (1, 2):
        proxy.put(TaskEnd(token, EndKind.VALUE))
        parcels = proxy.parcels(0.0)
    with pytest.raises(ProtocolError, match="1 messages were lost"):
        head.take(parcels[0], 0.0)
    (beat,) = proxy.parcels(BEAT)
    with pytest.raises(ProtocolError, match="were lost"):
        head.take(beat, BEAT)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"nonsense", b"\x92\x01\x91\x92\xa5Other\x01", b"\x91" * 5000]
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    _, head = pair()
    with pytest.raises(ProtocolError, match="not a message of this version"):
        head.take(data, 0.0)
    with pytest.raises(ProtocolError):
        first_word(data)


def test_large_values_go_in_parcels_of_their_own_and_their_number_is_known_before() -> None:
    proxy, head = pair()
    numbers = []
    for token in range(5):
        numbers.append(proxy.next_number)
        proxy.put(TaskEnd(token, EndKind.VALUE, value=b"x" * 2**20))
    assert numbers == [1, 2, 3, 4, 5]
    for number, parcel in enumerate(proxy.parcels(0.0)[:5], 1):
        head.take(parcel, 0.0)
        assert head.taken == number


def test_silence_is_noticed_but_not_where_this_process_itself_stood_still() -> None:
    proxy, head = pair()
    now = 0.0
    while now < SILENCE:
        assert not head.is_silent(now)
        now += 1.0
    head.take(proxy.parcels(0.0)[0], now)
    assert not head.is_silent(now + 1)
    assert not head.is_silent(now + 1 + 100)  # it was suspended: what has come is to be read first
    assert not head.is_silent(now + 101 + STALL)
    later = now + 101 + STALL
    while not head.is_silent(later):
        later += 1.0
        assert later < now + 101 + SILENCE + 2


def test_who_is_no_part_of_the_job_is_sent_away_whatever_was_said_before() -> None:
    proxy, _ = pair()
    assert proxy.take(alone(Quit(grace=0.0)), 0.0) == [Quit(grace=0.0)]
    assert proxy.taken == 0


def test_what_was_under_way_when_an_agent_died_was_given_to_none() -> None:
    node, proxy = OtherNode(1, "n2"), pair()[0]
    node.start(start(9))  # nobody is there: it is said to nobody
    inventory = NodeInventory("n2", [0])
    proxy.put(Arrived(1, inventory))
    (hello, _) = proxy.parcels(0.0)
    assert first_word(hello) == Arrived(1, inventory)
    node.accept(b"life", inventory, hello, 0.0)
    node.start(start(1))
    (parcel, _) = node.parcels(0.0)
    assert [type(one) for one in proxy.take(parcel, 0.0)] == [Accepted, Start]
    taken = proxy.taken
    node.start(start(2))
    node.stop(StopTask(2))
    node.start(start(3))
    node.note_ended(3)
    assert node.lose_agent(AgentLost([1], taken)) == {1, 2}
    said = [one for parcel in node.parcels(0.0) for one in proxy.take(parcel, 0.0)]
    assert [type(one) for one in said] == [Start, StopTask, Start, LossNoted]
    node.lose()
    assert not node.is_there
    with pytest.raises(ProtocolError, match="not there"):
        node.take(hello, 0.0)


# --------------------------------------------------------------------------- the invitation


def invitation(**options: Any) -> Invitation:
    values = {
        "urls": ["tcp://h:1"], "server_key": b"s", "public": b"p", "secret": b"x", "folder": "/f",
        "job": "7[1].pbs", "nodes": ["n1", "n2"], "cores": 2, "cwd": "/",
        "environ": {b"A": b"\xff", b"CUDA_VISIBLE_DEVICES": b"0", b"SLURMD_NODENAME": b"n1"},
        **options,
    }  # fmt: skip
    return Invitation(**values)


def test_an_invitation_is_for_this_user_and_the_next_head_of_the_job_replaces_it(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path / "run")
    path = write_invitation(folder, invitation())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert read_invitation(path) == invitation()
    assert write_invitation(folder, invitation(cores=3)) == path
    assert read_invitation(path).cores == 3
    path.write_bytes(b"\x80")
    with pytest.raises(FileError, match="no invitation of this version"):
        read_invitation(path)


def test_tasks_on_another_node_have_the_heads_environment_and_what_is_of_their_node() -> None:
    own = {b"SLURM_PROCID": b"1", b"PMI_RANK": b"1", b"SLURMD_NODENAME": b"n2"}
    assert invitation().environment_of("n2", own) == {
        b"A": b"\xff", b"CUDA_VISIBLE_DEVICES": b"0", b"SLURMD_NODENAME": b"n2",
        NODE_VARIABLE.encode(): b"n2", JOB_VARIABLE.encode(): b"7[1].pbs",
    }  # fmt: skip
    own = {b"ROCR_VISIBLE_DEVICES": b"3", b"TMPDIR": b"/scratch"}
    environ = invitation().environment_of("n2", own)
    assert b"CUDA_VISIBLE_DEVICES" not in environ  # what the batch system says of this node counts
    assert environ[b"ROCR_VISIBLE_DEVICES"] == b"3"
    assert environ[b"TMPDIR"] == b"/scratch"
    heads = msgspec.structs.replace(invitation(), environ={b"HOSTNAME": b"n1"})
    assert heads.environment_of("n2", {b"HOSTNAME": b"n1"})[b"HOSTNAME"] == os.fsencode(
        socket.gethostname()
    )


def test_who_cannot_be_a_proxy_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_invitation(RunFolder(tmp_path / "run"), invitation(cwd="/nowhere"))
    with pytest.raises(RunError, match="none of the other nodes of this job: n2"):
        enter.become_proxy(path, "n1")
    with pytest.raises(RunError, match=r"/nowhere: No such file.*file system that all nodes have"):
        enter.become_proxy(path, "n2")
    assert enter.main([str(tmp_path / "gone"), "n2"]) == 1
    assert "node 'n2': " in capsys.readouterr().err
