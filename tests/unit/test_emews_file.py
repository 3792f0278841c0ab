"""The file of an EMEWS workflow: read as it is documented, and refused by name where it makes no sense."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adaptive_scheduler import emews
from adaptive_scheduler.core.emews.arithmetic import LARGEST, LONGEST, compute
from adaptive_scheduler.core.emews.pools import KEYS as POOL_KEYS
from adaptive_scheduler.core.emews.pools import read_pool
from adaptive_scheduler.core.emews.settings import REFUSED
from adaptive_scheduler.core.emews.workflow_file import (
    KEYS,
    QUEUE_KEYS,
    TASK_KEYS,
    TUNNEL_KEYS,
    EmewsFile,
    check_file,
)
from adaptive_scheduler.core.sweeps.yaml_text import read_documents
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.ssh.commands import SSH_VARIABLE
from adaptive_scheduler.runs.emews.workflow import Workflow, _folder
from adaptive_scheduler.schedulers.here import Here
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm import SLURM
from tests.quick import usually

ROOT = Path(__file__).resolve().parents[2]
#: As the authors of that workflow run it on one machine, with its comments left out.
LOCAL = """
task_queues:
  sim:
    db: local_db
    type: local
tasks:
  - type: 0
    pools:
      - local_pool
    db: local_db
search_space_size: 750
sample_dimensions: 4
runtime: 2
runtime_var: 1
num_guesses: 750
retrain_after: 50
pools:
  local_pool:
    type: local
    start_pool_script: /home/me/swift/local_worker_pool.sh
    CFG_NODES: 4
    CFG_PPN: 1
    CFG_PROCS: $(( CFG_NODES * CFG_PPN ))
    CFG_BATCH_SIZE: $(( CFG_PROCS - 2 ))
    CFG_BATCH_THRESHOLD: 1
dbs:
  local_db:
    type: local
    db_host: localhost
    db_port: 5433
"""
#: As they run it on a cluster, with what is refused replaced.
CLUSTER = """
task_queues:
  sim:
    type: emews_service
    host: 127.0.0.1
    port: 11218
    folder: /scratch/me/osprey runs
    python: /home/me/venv/bin/python
    tunnel: {config_key: me@Bebop, ssh_config: ~/.ssh/other, port: 11219}
tasks:
  - {type: 0, pools: [bebop1, bebop2]}
  - {type: big, pools: bebop2}
reprioritize_endpoint: fit
search_space_size: 750
sample_dimensions: 4
num_guesses: 100
retrain_after: 50
pools:
  bebop1: &bebop
    type: local
    scheduler: {name: slurm, memory: 4GB, extra_scheduler: [--qos=fast]}
    CFG_NODES: 2
    CFG_PPN: 36
    CFG_BATCH_SIZE: $(( (CFG_NODES * CFG_PPN) - 3 ))
    CFG_BATCH_THRESHOLD: 15
    CFG_WALLTIME: 01:00:00
    CFG_QUEUE: dis
    CFG_PROJECT: CONDO
  bebop2: *bebop
  fit: {scheduler: slurm, CFG_PROCS: 1, CFG_WALLTIME: 1:00:00}
"""
POOL = {"type": "local", "CFG_PROCS": 4}
FILE: dict[str, Any] = {
    "tasks": [{"type": 0, "pools": ["one"]}], "pools": {"one": POOL}, "search_space_size": 10,
    "sample_dimensions": 4, "num_guesses": 10, "retrain_after": 5,
}  # fmt: skip


def read(text: str) -> EmewsFile:
    return check_file(read_documents(text, "cfg.yaml"), "cfg.yaml")


def changed(**changes: Any) -> dict[str, Any]:
    return {**FILE, **changes}


def with_pool(**settings: Any) -> dict[str, Any]:
    return changed(pools={"one": {**POOL, **settings}})


# ------------------------------------------------------------------- what it means


def test_the_file_of_one_machine_is_read_as_it_stands() -> None:
    file = read(LOCAL)
    (pool,) = file.pools
    assert (pool.name, pool.scheduler, pool.slots) == ("local_pool", "local", 4)
    assert (pool.batch_size, pool.threshold) == (2, 1)
    assert (file.types, file.accepts) == (["0"], {"local_pool": ["0"]})
    assert (file.search_space_size, file.sample_dimensions) == (750, 4)
    assert (file.runtime, file.runtime_var, file.num_guesses, file.retrain_after) == (2, 1, 750, 50)
    assert (file.queue.host, file.reprioritize_endpoint) == (None, None)
    told = "\n".join(file.notes)
    assert "no database is needed" in told
    assert "start_pool_script is not run: `scheduler: local` starts the pool" in told
    assert "write `scheduler: slurm`" in told
    assert "2 of its 4 slots stay idle" in told
    made = Workflow(file)._places["local_pool"]
    assert isinstance(made, LocalScheduler)
    assert (made.max_cores, made.shapes(1)[0][0].cores) == (4, 4)


def test_the_file_of_a_cluster_says_what_each_job_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SSH_VARIABLE, raising=False)
    file = read(CLUSTER)
    assert file.accepts == {
        "bebop1": ["0"], "bebop2": ["0", "big"], "fit": ["reprioritize"],
    }  # fmt: skip
    workflow = Workflow(file)
    assert workflow.tag == "0"
    assert "ssh_config" not in "".join(workflow.notes)
    made = workflow._places["bebop2"]
    assert isinstance(made, SLURM)
    ((shape,), _) = made.shapes(1)
    assert (shape.cores, shape.nodes, shape.walltime, shape.memory) == (72, 2, 3600, 4096)
    assert (shape.partition, shape.extra_scheduler) == ("dis", ("--qos=fast", "--account=CONDO"))
    assert (file.pools[0].batch_size, file.pools[0].threshold) == (69, 15)
    assert file.pools[2].walltime == 3600, "YAML reads 1:00:00 as a number"
    assert _folder(file.queue, "e1") == "ssh://me@Bebop/scratch/me/osprey%20runs/e1"
    assert os.environ[SSH_VARIABLE].startswith("ssh -F /")
    monkeypatch.setenv(SSH_VARIABLE, "my ssh")
    _folder(file.queue, "e1")
    assert os.environ[SSH_VARIABLE] == "my ssh"
    notes = "\n".join(workflow.notes)
    assert notes.count("host, port: not needed") == 1
    assert "sim: tunnel: port: not needed" in notes
    assert f"~/.ssh/other is not used: {SSH_VARIABLE} says" in notes


def test_processes_that_are_not_those_of_all_nodes_are_told() -> None:
    file = check_file([with_pool(CFG_NODES=2, CFG_PPN=3, scheduler="slurm")], "f")
    assert "CFG_PROCS is 4, but CFG_NODES times CFG_PPN would be 6" in file.notes[0]
    assert check_file([with_pool(CFG_NODES=2, CFG_PPN=2)], "f").notes == []


def test_an_account_of_pbs_is_a_line_of_its_own() -> None:
    job = {"scheduler": "PBS", "CFG_QUEUE": "work", "CFG_PROJECT": "p1", "CFG_NODES": 2}
    made = Workflow(check_file([with_pool(**job)], "f"))._places["one"]
    assert isinstance(made, PBS)
    ((shape,), _) = made.shapes(1)
    assert (shape.partition, shape.extra_scheduler, shape.nodes) == ("work", ("-A p1",), 2)


def test_pools_of_one_machine_run_beside_each_other() -> None:
    pools = {"a": POOL, "b": {"CFG_NODES": 2, "CFG_PPN": 3}}
    file = check_file([changed(pools=pools, tasks=[{"type": "t", "pools": ["b", "a"]}])], "f")
    assert [pool.name for pool in file.pools] == ["b", "a"], "in the order of tasks"
    made = Workflow(file)._places["a"]
    assert isinstance(made, LocalScheduler)
    assert made.max_cores == 10


def test_here_has_the_slots_of_the_pool() -> None:
    file = check_file([with_pool(scheduler="here", CFG_BATCH_SIZE=2)], "f")
    workflow = Workflow(file)
    made = workflow._places["one"]
    assert isinstance(made, Here)
    assert (made.slots, workflow._settings(file.pools[0])["batch_size"]) == (4, None)
    assert "not used with scheduler: here" in file.notes[0]


def test_a_pool_that_refits_and_has_tasks_takes_both() -> None:
    file = check_file([changed(reprioritize_endpoint="one")], "f")
    assert file.accepts == {"one": ["0", "reprioritize"]}


def test_a_queue_that_is_far_has_a_folder_in_the_home_there() -> None:
    queue = {"sim": {"type": "emews_service", "tunnel": {"config_key": "bebop"}}}
    file = check_file([changed(task_queues=queue)], "f")
    assert _folder(file.queue, "e1") == "ssh://bebop/~/e1"
    there = {"sim": {**queue["sim"], "folder": "~/runs"}}
    file = check_file([changed(task_queues=there)], "f")
    assert _folder(file.queue, "e1") == "ssh://bebop/~/runs/e1"


def test_the_example_is_as_documented() -> None:
    workflow = emews.read_config(ROOT / "examples" / "ranked_queue" / "config.yaml")
    assert [pool.name for pool in workflow.file.pools] == ["pool1", "pool2", "pool3"]
    assert workflow.notes == []


def test_the_page_has_each_key_and_its_file_is_read() -> None:
    page = (ROOT / "docs" / "ranked.md").read_text()
    for key in [*KEYS, *POOL_KEYS, *TASK_KEYS, *QUEUE_KEYS, *TUNNEL_KEYS, *REFUSED]:
        assert f"`{key}`" in page or key.startswith("CFG_") or key == "port", key
    (text,) = re.findall(r"```yaml\n(task_queues:.*?)```", page, re.DOTALL)
    assert [pool.slots for pool in read(text).pools] == [36] * 3


# ------------------------------------------------------------------- arithmetic

#: Of whole numbers, as bash writes them.
EXPRESSIONS = st.recursive(
    st.integers(0, 9).map(str) | st.sampled_from(["CFG_NODES", "CFG_PPN"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/%"), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"- {text}"),
    ),
    max_leaves=5,  # which stay short and small
)


@settings(max_examples=usually(40, quick=15))
@given(EXPRESSIONS)
@example("- 7 / 2")
@example("- 7 % 3")
@example("7 / - 2")
def test_arithmetic_is_that_of_a_shell(text: str) -> None:
    numbers = {"CFG_NODES": 4, "CFG_PPN": 36}
    script = f"CFG_NODES=4; CFG_PPN=36; echo $(( {text} ))"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    if "division by 0" in done.stderr:
        with pytest.raises(InputError, match="divides by zero"):
            compute(f"$(( {text} ))", numbers.__getitem__)
    else:
        assert compute(f"$(( {text} ))", numbers.__getitem__) == int(done.stdout)


@pytest.mark.parametrize(
    "inner",
    [
        "2 ** 99999999", "9 << 9", "len('a')", "__import__('os').system('x')", "CFG_NODES.real", "1.5", "'a' * 3",
        "CFG_NODES if 1 else 2", "[1]", "f'{1}'", "1; rm -rf x", "$(id)", "`id`", "lambda: 1", "x := 1",
        "True", "1, 2", "", "1 )) ; echo $(( 1", "(" * 150, "\0", "CFG_NODES and 1", "~1", "1 == 1", "-" * 150 + "1)",
        "010", "0x10 @ 2", "0x10", "0b11", "0o7", "1_0", "9 # 2", "9 // 2", "a" * 150 + "!", "1j", "...", "$CFG_NODES", "\n\n",
    ],
)  # fmt: skip
def test_more_than_arithmetic_is_refused(inner: str) -> None:
    with pytest.raises(InputError, match="more than arithmetic"):
        compute(f"$(( {inner} ))", {"CFG_NODES": 4}.__getitem__)


@given(st.text(max_size=LONGEST + 10))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    def number_of(name: str) -> int:
        raise InputError(f"no {name}")

    with contextlib.suppress(InputError):
        assert abs(compute(f"$(( {text} ))", number_of)) <= LARGEST


def test_numbers_cannot_grow() -> None:
    with pytest.raises(InputError, match="numbers of more than"):
        compute("$(( 99999 * 99999 * 99999 ))", {}.__getitem__)
    with pytest.raises(InputError, match="numbers of more than"):
        compute(f"$(( {'9' * 150} ))", {}.__getitem__)


def test_nothing_of_a_file_reaches_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("$(touch x)", "`touch x`", "$(( $(touch x) ))", "$((\\`touch x\\`))"):
        for key in ("CFG_PROCS", "CFG_QUEUE", "CFG_PROJECT", "CFG_WALLTIME"):
            with pytest.raises(InputError, match=key):
                Workflow(check_file([with_pool(scheduler="slurm", **{key: value})], "f"))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------- bad input

BAD = {
    "unknown key": (changed(retrain_aftr=5), "no key 'retrain_aftr'. Did you mean retrain_after?"),
    "key of a pool": (with_pool(CFG_BATCHSIZE=5), "'CFG_BATCHSIZE'. Did you mean CFG_BATCH_SIZE"),
    "key of tasks": (changed(tasks=[{"typ": 0, "pools": ["one"]}]), "'typ'. Did you mean type"),
    "funcx pool": (with_pool(type="funcx", fx_endpoint="b"), "one: type: funcx: there is no funcX"),
    "fx_endpoint": (with_pool(fx_endpoint="b"), "one: fx_endpoint: there is no funcX"),
    "refused": (
        changed(fx_endpoints={}, proxystore={}, funcx=1),
        "fx_endpoints, funcx: there is no funcX here: ",
    ),
    "funcx queue": (changed(task_queues={"s": {"type": "funcx"}}), "s: type: funcx: there is no funcX"),
    "no scheduler": (
        with_pool(CFG_WALLTIME="1h", start_pool_script="x.sh"),
        "start_pool_script is never run; its jobs are submitted by this package. Write `scheduler: slurm`",
    ),
    "scheduler": (with_pool(scheduler="slum"), "there is no slum. Did you mean slurm"),
    "scheduler's type": (with_pool(scheduler=3), "scheduler: 3 must be a name, or a mapping"),
    "scheduler's option": (
        with_pool(scheduler={"name": "slurm", "memroy": "4GB"}), "Did you mean 'memory'",
    ),
    "here's option": (with_pool(scheduler={"name": "here", "memory": "4GB"}), "pools: one: "),
    "scheduler's cores": (
        with_pool(scheduler={"name": "slurm", "cores": 3}), "scheduler: cores: write CFG_PROCS",
    ),
    "memory": (with_pool(scheduler={"name": "slurm", "memory": "much"}), "pools: one: memory='much'"),
    "queue of local": (with_pool(scheduler="local", CFG_QUEUE="q"), "CFG_QUEUE has no meaning"),
    "walltime of here": (with_pool(scheduler="here", CFG_WALLTIME="1h"), "CFG_WALLTIME has no meaning"),
    "walltime": (with_pool(scheduler="slurm", CFG_WALLTIME="soon"), "CFG_WALLTIME='soon'"),
    "negative walltime": (with_pool(scheduler="slurm", CFG_WALLTIME=-1), "longer than zero"),
    "project": (with_pool(scheduler="slurm", CFG_PROJECT="a b"), "CFG_PROJECT: 'a b' must be"),
    "project of a list": (with_pool(scheduler="slurm", CFG_PROJECT=["a"]), "CFG_PROJECT: ['a']"),
    "negative": (with_pool(CFG_PROCS=-4), "CFG_PROCS: -4 must be a whole number of at least 1"),
    "text": (with_pool(CFG_PROCS="many"), "CFG_PROCS: 'many' must be a whole number"),
    "fraction": (with_pool(CFG_PROCS=1.5), "CFG_PROCS: 1.5 must be a whole number"),
    "truth value": (with_pool(CFG_PROCS=True), "CFG_PROCS: True must be a whole number"),
    "computed": (with_pool(CFG_PROCS="$(( 2 - 2 ))"), "$(( 2 - 2 )) is 0, and must be at least 1"),
    "power": (with_pool(CFG_PROCS="$(( 2 ** 9 ))"), "one: CFG_PROCS: '$(( 2 ** 9 ))' is more than"),
    "name": (with_pool(CFG_PROCS="$(( CFG_NODE ))", CFG_NODES=1), "CFG_NODE in this pool. Did you mean CFG_NODES"),
    "circle": (
        with_pool(CFG_PROCS="$(( CFG_PPN ))", CFG_PPN="$(( CFG_PROCS ))"), "worked out from itself",
    ),
    "no slots": (changed(pools={"one": {"type": "local", "CFG_NODES": 2}}), "Write CFG_PROCS, or"),
    "uneven": (with_pool(scheduler="slurm", CFG_NODES=3), "3 nodes"),
    "threshold": (with_pool(CFG_BATCH_SIZE=2, CFG_BATCH_THRESHOLD=3), "more than CFG_BATCH_SIZE"),
    "pool's name": (
        changed(pools={"a b": POOL}, tasks=[{"type": 0, "pools": ["a b"]}]), "name='a b' of a pool",
    ),
    "pool without tasks": (changed(pools={"one": POOL, "two": POOL}), "two holds no task"),
    "no such pool": (changed(tasks=[{"type": 0, "pools": ["on"]}]), "there is no on. Did you mean one"),
    "pool twice": (changed(tasks=[{"type": 0, "pools": ["one", "one"]}]), "one is there twice"),
    "type twice": (changed(tasks=FILE["tasks"] * 2), "type 0 is there twice"),
    "no pools in a task": (changed(tasks=[{"type": 0, "pools": []}]), "type 0: pools: there is none"),
    "task without type": (changed(tasks=[{"pools": ["one"]}]), "one of them has no type"),
    "no tasks": (changed(tasks=[]), "tasks: [] must be a list"),
    "a task is a text": (changed(tasks=["one"]), "tasks: 'one' must be a mapping"),
    "no pools": (changed(pools={}), "pools: {} must be a mapping that is not empty"),
    "a pool is empty": (changed(pools={"one": None}), "pools: one: None must be a mapping"),
    "pools of one name": (changed(pools={1: POOL, "1": POOL}), "two of them have one name"),
    "two schedulers": (
        changed(pools={"one": POOL, "two": {**POOL, "scheduler": "here"}}, tasks=[{"type": 0, "pools": ["one", "two"]}]),
        "all pools of a run have the same one",
    ),
    "endpoint": (changed(reprioritize_endpoint="theta"), "reprioritize_endpoint is the pool on which to refit: there is no theta"),
    "points": (changed(num_guesses=11), "more than there are points"),
    "no points": (changed(search_space_size=0), "search_space_size: 0 must be a whole number"),
    "retrain": (changed(retrain_after=0), "retrain_after: 0 must be a whole number of at least 1"),
    "dimensions": (changed(sample_dimensions="four"), "sample_dimensions: 'four' must be"),
    "runtime": (changed(runtime=-1), "runtime: -1 must be a number of seconds"),
    "endless": (changed(runtime=float("inf")), "runtime: inf must be"),
    "no number": (changed(runtime_var=float("nan")), "runtime_var: nan must be"),
    "two queues": (changed(task_queues={"a": {}, "b": {}}), "a run has one queue"),
    "queue's key": (changed(task_queues={"a": {"tunel": 1}}), "'tunel'. Did you mean tunnel"),
    "no tunnel": (changed(task_queues={"a": {"type": "emews_service"}}), "needs `tunnel:"),
    "tunnel of a local one": (changed(task_queues={"a": {"type": "local", "tunnel": 1}}), "tunnel is for"),
    "host": (
        changed(task_queues={"a": {"type": "emews_service", "tunnel": {"config_key": "-oProxy=x"}}}), "must be a host",
    ),
    "folder there": (
        changed(task_queues={"a": {"type": "emews_service", "folder": "x", "tunnel": {"config_key": "h"}}}),
        "must be a path there",
    ),
    "here and far": (
        changed(task_queues={"a": {"type": "emews_service", "tunnel": {"config_key": "h"}}}, pools={"one": {**POOL, "scheduler": "here"}}),
        "this machine, but the queue is on another host",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_file_key_and_remedy(case: str) -> None:
    file, words = BAD[case]
    with pytest.raises(InputError) as caught:
        Workflow(check_file([file], "cfg.yaml"))
    assert str(caught.value).startswith("cfg.yaml: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["pools", "tasks", "search_space_size", "sample_dimensions", "num_guesses"]
)
def test_what_is_missing_is_named(key: str) -> None:
    with pytest.raises(InputError, match=f"there is no {key}"):
        check_file([{k: v for k, v in FILE.items() if k != key}], "f")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has 0 documents"),
        ("# nothing\n---\n", "it has 0 documents"),
        ("- 1\n", "must have one, which is a mapping"),
        ("just a text", "must have one, which is a mapping"),
        ("a: 1\n---\nb: 2\n", "it has 2 documents"),
        ("a: [", "line 1, column"),
        ("pools:\n  p: {CFG_PROCS: 1}\n  p: {CFG_PROCS: 2}\n", "line 3, column 3 is no YAML: the key 'p' is there twice"),
        ("!!python/object/apply:os.system [true]", "is no YAML"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "cfg.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        emews.read_config(tmp_path / "cfg.yaml")
    assert words in str(caught.value)
    assert "cfg.yaml" in str(caught.value)


def test_a_file_may_end_with_the_line_of_another_document() -> None:
    assert len(read(f"---\n{yaml.safe_dump(FILE)}---\n# nothing\n").pools) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml cannot be read: No such file"):
        emews.read_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        emews.read_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(InputError, match=r"latin.yaml is no YAML: it is not UTF-8"):
        emews.read_config(tmp_path / "latin.yaml")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "a b", "é", "-x"])
def test_an_experiment_names_a_folder(name: str) -> None:
    with pytest.raises(InputError, match="names a folder"):
        _folder(check_file([FILE], "f").queue, name)


#: Anything that YAML can say, with words of such files in it.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
    | st.sampled_from(["local", "funcx", "one", "slurm", "$(( CFG_PPN ))", "emews_service"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*POOL, "scheduler", "name", "CFG_PPN", "one", "tunnel", "config_key", "pools", "db"]) | st.integers(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from([*FILE, "task_queues", "reprioritize_endpoint", "dbs", "runtime"]), VALUES
    )
)
def test_any_file_is_read_or_refused_by_name(changes: dict[str, Any]) -> None:
    with contextlib.suppress(InputError):  # and no other error
        Workflow(check_file([changed(**changes)], "cfg.yaml"))


def test_settings_of_a_pool_that_yaml_has_written_are_read_again() -> None:
    pool = {**POOL, "CFG_BATCH_SIZE": "$(( CFG_PROCS ))"}
    assert read_pool("a", yaml.safe_load(yaml.safe_dump(pool))).batch_size == 4
