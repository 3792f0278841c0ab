"""Nothing from a socket is ever unpickled: by the source, by the imports, and by trying it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "adaptive_scheduler"
TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}

#: What makes objects, or code, of bytes.
DANGEROUS = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle",
    "yaml", "multiprocessing",
}  # fmt: skip
#: Modules that see bytes from the socket, and those that see what was decoded.
DECODING = [
    "core.wire.messages",
    "core.wire.progress",
    "core.wire.tasks",
    "io.transport.server",
    "io.transport.connection_limit",
    "io.transport.connection",
]
HANDLING = [
    "manager.dispatch",
    "manager.control",
    "manager.clients",
    "manager.tasks.heads",
    "manager.tasks.drivers",
    "manager.tasks.parked",
    "manager.tasks.pools",
    "manager.tasks.request_order",
    "io.storage.fact_files",
    "io.storage.fact_line",
    "io.storage.facts",
    "core.tasks.hand_out",
    "core.tasks.head_mirror",
    "core.tasks.task_state",
    "core.rows.item_table",
    "core.rows.items",
]
#: zmq's ways to pickle, to evaluate or to receive objects.
CALLS = {"recv_pyobj", "send_pyobj", "recv_serialized", "eval", "exec", "compile", "__import__"}


def imported(tree: ast.AST) -> set[str]:
    """First parts of all that is imported, also within functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
            found |= {alias.name for alias in node.names if alias.name in DANGEROUS | {"pickles"}}
    return found


def called(tree: ast.AST) -> set[str]:
    """Names of functions and methods that are called."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        for function in functions
    }


def path_of(module: str) -> Path:
    return PACKAGE / f"{module.replace('.', '/')}.py"


@pytest.mark.parametrize("module", [*DECODING, *HANDLING])
def test_modules_that_decode_and_handle_cannot_unpickle(module: str) -> None:
    tree = TREES[path_of(module)]
    assert imported(tree) & (DANGEROUS | {"pickles"}) == set()
    methods = {
        node.func.attr for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re")
    }  # fmt: skip
    plain = {
        node.func.id for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }  # fmt: skip
    assert (methods | plain) & CALLS == set()


def test_no_module_of_ours_asks_zmq_for_objects() -> None:
    zmqs_own = {"recv_pyobj", "send_pyobj", "recv_serialized"}
    assert {path.name for path, tree in TREES.items() if called(tree) & zmqs_own} == set()


def test_only_these_modules_receive() -> None:
    """A new socket must come here, to be looked at."""
    receiving = {"recv", "recv_multipart", "recv_string", "recv_json", "recvfrom", "recv_into"}
    found = {
        path.relative_to(PACKAGE).as_posix() for path, tree in TREES.items() if called(tree) & receiving
    }  # fmt: skip
    asked_by_libzmq = {
        "io/transport/authenticator.py",
        "io/transport/connection_limit.py",
    }  # both hear frames that it makes
    within_a_job = {
        "client/tasks/frames.py",  # head and agent, of one user, by an address that only they know
        "io/transport/node_link.py",  # head and other nodes: CURVE, with keys that live as long as the head
    }
    of_the_wire = {"io/transport/server.py", "io/transport/connection.py"}
    assert found == of_the_wire | asked_by_libzmq | within_a_job


@cache
def _modules_after(module: str) -> set[str]:
    code = f"import sys, json, adaptive_scheduler.{module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["core.wire.messages", "core.wire.progress", "core.wire.tasks"])
def test_a_fresh_interpreter_that_decodes_has_no_pickle(module: str) -> None:
    already = {"marshal"}  # how every Python reads its own compiled modules
    assert _modules_after(module) & DANGEROUS == already


def test_what_the_wire_imports_of_ours_has_no_pickle() -> None:
    """Zmq itself imports pickle for `recv_pyobj`, which nobody here calls."""
    ours = {
        name for one in DECODING for name in _modules_after(one) if "adaptive_scheduler." in name
    }
    paths = {
        path for path in TREES if ".".join(path.relative_to(ROOT).with_suffix("").parts) in ours
    }
    assert len(paths) > 8
    guilty = {path.name for path in paths if imported(TREES[path]) & (DANGEROUS | {"pickles"})}
    assert guilty == set()
    for module in DECODING:
        assert "cloudpickle" not in _modules_after(module)


#: Python tells an audit hook of every class or function that an unpickling looks up.
LISTENS = """
import pickle, sys
from pathlib import Path
events = []
sys.addaudithook(lambda event, args: events.append(event) if event == "pickle.find_class" else None)
sys.path.insert(0, sys.argv[1])
from adaptive_scheduler.core.wire.messages import Claim, encode_request
from adaptive_scheduler.core.wire.tasks import Collect, NewTask, PutFunction, Submit
from adaptive_scheduler.core.tasks.resources import TaskResources
from hashlib import blake2b
from tests.unit.frames import Fuzzer
from tests.unit.test_fuzz_frames import OWNERS
from adaptive_scheduler.io.transport.connection import Connection
from tests.integration.client_runs import ClientRun
run = ClientRun(Path(sys.argv[2]), 3, interface="127.0.0.1")
run.fill([], ["/nowhere/0"])
class Trap:
    def __reduce__(self):
        return (print, ("unpickled",))
trap = pickle.dumps(Trap())
before = len(events)
with run.manage():
    me, connection = OWNERS[0], Connection(run.folder)
    assert connection.ask(me, 1, Claim(), 10)
    fuzzer = Fuzzer(1, OWNERS[1:])
    key = blake2b(trap, digest_size=16).hexdigest()
    assert connection.ask(me, 2, PutFunction(key, 0, 1, trap), 10)
    task = NewTask(trap, function=key)
    connection.ask(me, 3, Submit("b", [TaskResources()], [task]), 10)
    connection.ask(me, 4, Collect(0), 10)
    for n in range(2000):
        valid = encode_request(me, n + 5, Claim())
        frame = (trap, trap + valid, valid[:9] + trap, fuzzer.frame([]))[n % 4]
        connection._socket.send(frame)
        while connection._socket.poll(0):
            connection._socket.recv()
    assert connection.ask(me, 5000, Claim(), 10)
    connection.close()
print("looked up:", len(events) - before)
pickle.loads(trap)
print("and with pickle:", len(events) - before)
"""


def test_a_manager_that_is_sent_pickles_unpickles_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTENS, str(ROOT), str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["looked up: 0", "unpickled", "and with pickle: 1"], (
        done.stderr
    )
