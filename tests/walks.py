"""The walks of docs/architecture.md: lists of files in the order in which something passes them.

A walk stands between ``<!-- walk: NAME -->`` and ``<!-- end of walk -->``. Each entry is numbered
and begins with a file of the package: ``1. `manager/engine.py` reads all messages, `step()` ...``.

- The file exists, and every function that the entry names as ``name()`` or ``Class.name()`` is defined in it.
- It imports the file of the entry before, or is imported by it; or the entry says which file
  brings both together: ``(through `client/main.py`)``, which imports both.
- A file that the walk has passed already, in the same process, may follow: there the calls return to.
- ``(by the wire)``, ``(by a file)`` or ``(new process)`` says that nothing is imported: from there
  the walk goes on in another process.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "adaptive_scheduler"
DOCUMENT = ROOT / "docs" / "architecture.md"

BREAKS = ("(by the wire)", "(by a file)", "(new process)")
_WALK = re.compile(r"<!-- walk: (\w+) -->\n(.*?)<!-- end of walk -->", re.DOTALL)
_ENTRY = re.compile(r"^\d+\. ", re.MULTILINE)
_FILE = re.compile(r"`([\w/]+\.py)`")
_THROUGH = re.compile(r"\(through `([\w/]+\.py)`\)")
_FUNCTION = re.compile(r"`([\w.]+)\(\)`")


@dataclass(frozen=True)
class Entry:
    """One file of a walk.

    Attributes
    ----------
    file : str
        Below the package; "" if the entry does not begin with one.
    through : str
        The file that imports this one and the one before; "" as a rule.
    functions : tuple of str
    is_break : bool
        Another process does this.
    """

    file: str
    through: str
    functions: tuple[str, ...]
    is_break: bool


def walks(text: str) -> dict[str, list[Entry]]:
    """The walks of a document by name."""
    found = {}
    for name, body in _WALK.findall(text):
        entries = []
        for line in _ENTRY.split(body)[1:]:
            file, through = _FILE.match(line), _THROUGH.search(line)
            entries.append(
                Entry(
                    file[1] if file else "",
                    through[1] if through else "",
                    tuple(_FUNCTION.findall(line)),
                    any(mark in line for mark in BREAKS),
                )
            )
        found[name] = entries
    return found


def faults(walk: list[Entry]) -> list[str]:
    """What is not true of a walk, as texts that say what to mend."""
    found = [] if len(walk) > 1 else ["it has less than two entries"]
    passed: list[str] = []  # in this process
    for n, entry in enumerate(walk, 1):
        if not (PACKAGE / entry.file).is_file():
            found.append(f"{n}: there is no file {entry.file or 'at its beginning'}")
            continue
        missing = [name for name in entry.functions if name not in _functions(entry.file)]
        found += [f"{n}: {entry.file} has no function {name}()" for name in missing]
        passed = [] if entry.is_break else passed
        if passed and entry.file not in passed and (why := _not_joined(passed[-1], entry)):
            found.append(f"{n}: {why}")
        passed.append(entry.file)
    return found


def _not_joined(before: str, entry: Entry) -> str:
    """Why two files do not follow on each other; "" if they do."""
    if entry.through:
        joined = imports(entry.through) | {entry.through}
        missing = [file for file in (before, entry.file) if file not in joined]
        return f"{entry.through} does not import {', '.join(missing)}" if missing else ""
    if entry.file in imports(before) or before in imports(entry.file):
        return ""
    return f"neither of {before} and {entry.file} imports the other"


@functools.cache
def _tree(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text())


def _run_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING`."""
    yield node
    is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    for child in node.orelse if is_typing else ast.iter_child_nodes(node):  # type: ignore[attr-defined]
        yield from _run_nodes(child)


@functools.cache
def _functions(file: str) -> frozenset[str]:
    """Names of all functions of a file; of methods with and without the class."""
    names = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return frozenset(names)


@functools.cache
def imports(file: str) -> frozenset[str]:
    """Files that a file imports, also within functions, but not for type checkers alone.

    A package stands for what its `__init__` imports.
    """
    if not (PACKAGE / file).is_file():
        return frozenset()
    names: set[str] = set()
    for node in _run_nodes(_tree(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found: set[str] = set()
    for name in names:
        if name.startswith("adaptive_scheduler."):
            place = name.removeprefix("adaptive_scheduler.").replace(".", "/")
            found |= {f"{place}.py"}
            if place.count("/") and (PACKAGE / place / "__init__.py").is_file():
                found |= imports(f"{place}/__init__.py")
    return frozenset(found)
