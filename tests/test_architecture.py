"""The limits that keep the house liveable (DESIGN 10). Raising one needs a reason in its commit."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import walks

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "adaptive_scheduler"
MODULES = sorted(PACKAGE.rglob("*.py"))

MODULE_LINES, FOLDER_FILES, BODY_LINES, PARAMETERS = 500, 12, 40, 6
#: Attributes that a class sets; fields of a record, each with its line in the docstring.
ATTRIBUTES, RECORD_FIELDS = 10, 24

#: Public functions whose keywords the field's users expect, or that are a command line.
MANY_PARAMETERS = {
    "optimizers/ranking/learner.py:RankingLearner.__init__",
    "commandline/doctor.py:doctor",
    "commandline/run.py:run",
    "commandline/sweep.py:sweep",
    "runs/driver/commands/command.py:Command.__init__",
    "runs/driver/executor.py:Executor.__init__",
    "runs/driver/executor.py:Executor.add_pool",
    "runs/driver/executor.py:Executor.options",
    "runs/run_manager.py:RunManager.__init__",
    "runs/compat/learners/slurm_run.py:slurm_run",
    "runs/search/search.py:Search.__init__",
    "runs/runner/runner.py:Runner.__init__",
    "server_support.py:manage_jobs",
    "client_support.py:run",
    "schedulers/base.py:Scheduler.__init__",
    "schedulers/local.py:LocalScheduler.__init__",
    "schedulers/pbs/scheduler.py:PBS.__init__",
}

#: Classes with more attributes, and why: threads, sockets or the user's learner meet in them.
MANY_ATTRIBUTES = {
    "Asker": "a thread and its conversation",
    "Client": "the process in a job: it owns what the others are given",
    "ClaimLoop": "shared by two threads: the item that runs, and each reason to end",
    "ControlApi": "what `status` shows and nothing else keeps",
    "Dispatcher": "the parts of a manager, and what their steps leave for the next one",
    "Engine": "the manager's process: it owns socket, lock, log and threads",
    "ItemTable": "the rows and an index for each question asked ten thousand times",
    "PointRunner": "adds to adaptive's own runner, whose attributes it has as well",
    "PoolEvaluator": "points on their way, those that are back, and figures of both",
    "Session": "the state of one conversation, without I/O: each is in the protocol",
    "TaskFuture": "the slots of its base class, and what is known of a task",
    "VirtualBatchSystem": "a fake: what its user may read and set",
    "VirtualClient": "a fake: what its user may read and set",
    "World": "a fake: what its user may read and set",
}

#: Where everything is caught and not raised again: borders to the user's code (anybody's
#: function, goal, class, pickle) and tops of processes and threads. Each says why in its line.
BROAD = ("Exception", "BaseException", "USER_RAISES")
CATCH_ALL = {
    "evaluation/async_evaluator.py": 1,
    "evaluation/learners/store.py": 1,
    "evaluation/pool_evaluator.py": 2,
    "client/main.py": 1,
    "client/tasks/head/head_link.py": 1,
    "client/tasks/node/worker.py": 1,
    "evaluation/learners/data_file.py": 1,
    "evaluation/point_goals.py": 1,
    "evaluation/refits.py": 1,
    "evaluation/runner.py": 5,
    "evaluation/learners/progress.py": 1,
    "client/claim_loop.py": 1,
    "evaluation/messages.py": 2,
    "executors/worker.py": 4,
    "io/learner_data/adaptive_load.py": 1,
    "io/pickling/diagnose.py": 1,
    "io/pickling/by_value.py": 1,
    "io/learner_data/point_journal.py": 1,
    "manager/batch_worker.py": 1,
    "runs/driver/driver.py": 1,
    "runs/driver/commands/command.py": 1,
    "runs/sites/far_end.py": 1,
    "runs/driver/encoding.py": 2,
    "runs/driver/task_book.py": 1,
    "runs/search/asker.py": 1,
    "runs/start/changes.py": 1,
    "runs/start/goal_check.py": 1,
    "manager/in_process.py": 1,
    "runs/compat/frame_files.py": 1,
    "runs/compat/learners/frames.py": 1,
    "runs/compat/learners/one_by_one.py": 1,
    "runs/compat/load_save.py": 1,
    "runs/compat/logs/watchers.py": 1,
    "runs/load_data.py": 2,
    "runs/report/collect.py": 1,
    "runs/runner/runner.py": 1,
    "runs/web/browser_talk.py": 1,
    "runs/web/in_thread.py": 1,
    "runs/task_details.py": 3,
    "runs/views/drawing/background.py": 1,
    "runs/views/drawing/drawings.py": 1,
    "runs/views/drawing/program.py": 3,
    "runs/views/widget.py": 1,
    "runs/views/page/session.py": 1,
}

#: Records with more fields, and why.
MANY_FIELDS = {
    "Item": "the columns of the database, which older versions read as well",
    "SlurmExecutor": "those of adaptive-scheduler 2, which subclasses of it have as well",
}

FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name, node  # type: ignore[misc]
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


# Read by the first test that asks, not on import: every process that collects tests would pay.
@functools.cache
def sources() -> dict[Path, str]:
    return {path: path.read_text() for path in MODULES}


@functools.cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(text) for path, text in sources().items()}


@functools.cache
def nodes() -> dict[Path, list[ast.AST]]:
    return {path: list(ast.walk(tree)) for path, tree in trees().items()}


@functools.cache
def all_functions() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{name_of(path)}:{name}", node)
        for path, tree in trees().items()
        for name, node in functions(tree)
    ]


def test_modules_are_short() -> None:
    lines = {name_of(path): text.count("\n") for path, text in sources().items()}
    assert {name: n for name, n in lines.items() if n > MODULE_LINES} == {}


def test_folders_have_few_files() -> None:
    folders = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {str(folder): n for folder, n in folders.items() if n > FOLDER_FILES} == {}


def test_each_class_name_stands_once() -> None:
    names = Counter(node.name for node in classes())
    assert {name for name, n in names.items() if n > 1} == set()


def test_function_bodies_are_short() -> None:
    def length(node: ast.FunctionDef) -> int:
        body = node.body[1:] if ast.get_docstring(node) else node.body
        return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0

    assert {name: length(node) for name, node in all_functions() if length(node) > BODY_LINES} == {}


def test_functions_have_few_parameters() -> None:
    def count(node: ast.FunctionDef) -> int:
        names = [a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        return len([name for name in names if name not in ("self", "cls")])

    many = {name for name, node in all_functions() if count(node) > PARAMETERS}
    assert many - MANY_PARAMETERS == set()
    assert MANY_PARAMETERS - many == set(), "not needed any more"


def classes() -> Iterator[ast.ClassDef]:
    for found in nodes().values():
        yield from (node for node in found if isinstance(node, ast.ClassDef))


def fields(node: ast.ClassDef) -> set[str]:
    """What a record declares."""
    return {
        part.target.id
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }


def attributes(node: ast.ClassDef) -> set[str]:
    """What the methods of a class set on `self`."""
    return {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and isinstance(part.value, ast.Name)
        and part.value.id == "self"
    }


def test_classes_have_few_attributes() -> None:
    found = {node.name: len(attributes(node) - fields(node)) for node in classes()}
    many = {name for name, n in found.items() if n > ATTRIBUTES}
    assert many - MANY_ATTRIBUTES.keys() == set()
    assert MANY_ATTRIBUTES.keys() - many == set(), "not needed any more"


def test_records_have_few_fields() -> None:
    found = {node.name: len(fields(node)) for node in classes()}
    assert {name for name, n in found.items() if n > RECORD_FIELDS} == MANY_FIELDS.keys()


def test_everything_is_caught_only_at_borders() -> None:
    def is_broad(node: ast.ExceptHandler) -> bool:
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        return any(
            kind is None or (isinstance(kind, ast.Name) and kind.id in BROAD) for kind in kinds
        )

    def reraises(node: ast.ExceptHandler) -> bool:
        return any(isinstance(part, ast.Raise) for part in ast.walk(node))

    found: dict[str, int] = {}
    for path, inside in nodes().items():
        for node in inside:
            if isinstance(node, ast.ExceptHandler) and is_broad(node) and not reraises(node):
                found[name_of(path)] = found.get(name_of(path), 0) + 1
    assert found == CATCH_ALL, "catch what you expect; a new border goes into the table"


def test_adaptives_private_parts_are_touched_in_two_modules() -> None:
    """The second holds what is adaptive's own code done in less time, which is room of its own."""
    private = re.compile(
        r"\b(learner|adaptive|runner)\w*\._(?!_)\w+|from adaptive\.\w+ import .*\b_\w+|"
        r"adaptive\.(runner|learner)\.\w*\._\w+"
    )
    touched = {
        name_of(path): [match.group() for match in private.finditer(text)]
        for path, text in sources().items()
        if name_of(path).startswith(("client/", "client_support", "evaluation/", "manager/", "io/"))
        and name_of(path)
        not in ("io/learner_data/adaptive_private.py", "io/learner_data/adaptive_load.py")
        and private.search(text)
    }
    assert touched == {}


#: Who may use what touches the world.
TOUCHING = {
    "subprocess": ("io/", "localbatch/", "client/tasks/node/"),
    "zmq": ("io/",),
    "tinydb": ("io/",),
}


def calls(inside: list[ast.AST]) -> set[str]:
    """Modules whose functions are called as ``module.function(...)``."""
    functions_called = [node.func for node in inside if isinstance(node, ast.Call)]
    return {
        function.value.id
        for function in functions_called
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    }


def imports(inside: list[ast.AST]) -> set[str]:
    found = set()
    for node in inside:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("module", sorted(TOUCHING))
def test_only_io_uses_subprocess_zmq_and_tinydb(module: str) -> None:
    # subprocess.Popen may stand in an annotation anywhere
    used = calls if module == "subprocess" else imports
    users = {name_of(path) for path, inside in nodes().items() if module in used(inside)}
    assert {user for user in users if not user.startswith(TOUCHING[module])} == set()


def test_core_imports_no_clock_socket_thread_or_adaptive() -> None:
    world = {"time", "socket", "subprocess", "threading", "structlog", "zmq", "adaptive", "logging"}
    users = {
        name_of(path): imports(inside) & world
        for path, inside in nodes().items()
        if name_of(path).startswith("core/")
    }
    assert {name: found for name, found in users.items() if found} == {}


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, json, adaptive_scheduler; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    heavy = {"adaptive", "zmq", "pandas", "numpy", "structlog"}
    assert heavy & set(json.loads(output.stdout)) == set()


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, json, adaptive_scheduler.cli; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    heavy = {"adaptive", "zmq", "pandas", "numpy", "structlog", "tinydb", "mpi4py"}
    assert heavy & set(json.loads(output.stdout)) == set()


def test_every_module_has_a_name_that_says_something() -> None:
    parts = {part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert parts & FORBIDDEN_NAMES == {"utils"}  # the name of adaptive-scheduler 2


def test_every_module_says_one_thing() -> None:
    first = {
        name_of(path): (ast.get_docstring(tree) or "").partition("\n")[0]
        for path, tree in trees().items()
    }
    assert {name for name, line in first.items() if not line} == set()


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".scheduler",
        ".server_support",
        ".client_support",
        ".sweeps",
        ".emews",
        ".utils",
        ".widgets",
    ],
)
def test_public_names_exist_and_are_described(module: str) -> None:
    public = importlib.import_module(f"adaptive_scheduler{module}")
    names = [name for name in public.__all__ if not name.startswith("__")]
    assert names
    undescribed = [name for name in names if not (getattr(public, name).__doc__ or "").strip()]
    assert undescribed == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not by imports within functions."""
    names = [name_of(path) for path in MODULES]
    left = {name: walks.imports(name) - {name} for name in names}
    while ends := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in ends:
            del left[name]
    assert left == {}, "each of these imports another of them"


def test_import_layers() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_room_or_the_one_around_it_is_in_the_table_of_rooms() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("## Where is what")[2].partition("\n## ")[0]
    named = {
        one
        for row in table.splitlines()
        for one in re.findall(r"`([\w/]+)`", row[1:].partition("|")[0])
    }
    assert {one for one in named if not (PACKAGE / one).is_dir()} == set()
    rooms = {
        path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE
    }
    around = {room for room in rooms if len(room.parts) > 1 and room.parent.as_posix() in named}
    assert {room.as_posix() for room in rooms - around} - named - {
        "core",
        "io",
        "client/tasks",
    } == set()


def test_the_documented_transitions_are_those_of_the_code() -> None:
    from docs import transitions

    text = transitions.DOCUMENT.read_text()
    assert transitions.table() in text, "run: python -m docs.transitions"


def test_the_walks_through_the_files_are_true() -> None:
    found = walks.walks(walks.DOCUMENT.read_text())
    assert set(found) >= {"item", "point", "submit"}
    assert {name: faults for name, walk in found.items() if (faults := walks.faults(walk))} == {}


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        ("`client/session.py` `next()`", None),
        ("`client/conversation.py` decides", "there is no file client/conversation.py"),
        ("`client/session.py` `converse()`", "client/session.py has no function converse()"),
        ("`manager/engine.py` loops", "neither of client/link.py and manager/engine.py imports"),
        ("`manager/engine.py` (by the wire) loops", None),
        ("`client/deadline.py` (through `client/main.py`) ends it", None),
        (
            "`evaluation/learners/store.py` (through `client/main.py`) ends it",
            "client/main.py does not import",
        ),
        ("then it is sent", "there is no file at its beginning"),
    ],
)
def test_a_walk_that_is_not_true_is_refused(second: str, fault: str | None) -> None:
    text = f"<!-- walk: it -->\n\n1. `client/link.py` sends\n2. {second}\n\n<!-- end of walk -->"
    (walk,) = walks.walks(text).values()
    found = walks.faults(walk)
    assert bool(found) == (fault is not None)
    assert fault is None or fault in found[0]


#: Methods of playwright that tell how a page is now, which a slow page is not yet; of the second line, those without
#: arguments: other things have methods of these names.
SHOWN_NOW = {
    "all_inner_texts", "all_text_contents", "bounding_box", "get_attribute", "inner_html", "inner_text", "input_value",
    "is_checked", "is_disabled", "is_editable", "is_enabled", "is_hidden", "is_visible", "text_content",
}  # fmt: skip
SHOWN_NOW_WITHOUT_ARGUMENTS = {"count", "title"}
#: It has what waits, and may ask so.
WAITS = "browsers.py"


def tells_how_a_page_is_now(node: ast.AST, is_asserted: bool) -> bool:
    """Whether a node of a test is a call that may come too early."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    name, is_bare = node.func.attr, not (node.args or node.keywords)
    early = name in SHOWN_NOW or (name in SHOWN_NOW_WITHOUT_ARGUMENTS and is_bare)
    return early or (name == "evaluate" and is_asserted)


def test_no_test_asks_how_a_page_is_before_it_is_so() -> None:
    """Else it fails on a machine on which that is slow; see tests/faces/browsers.py for what waits."""
    early = set()
    for path in (ROOT / "tests" / "faces").glob("*.py"):
        if path.name == WAITS or "playwright" not in path.read_text():
            continue
        tree = ast.parse(path.read_text())
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        asserted = {id(node) for one in asserts for node in ast.walk(one)}
        for node in ast.walk(tree):
            if tells_how_a_page_is_now(node, id(node) in asserted):
                early.add(f"{path.name}:{node.lineno}")  # type: ignore[attr-defined]
    assert early == set()
