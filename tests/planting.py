"""Change the package's code as it is imported: planted bugs, addressed by names, not by text.

A `Change` names a function, class or constant, and one node of its syntax tree. Formatting,
comments, line breaks and the file a function stands in do not matter. What is not found any more,
or found twice, is a `PlantError` that says what is missing.
"""

from __future__ import annotations

import ast
import builtins
import copy
import difflib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "adaptive_scheduler"
#: Stands for the node itself in the code that replaces it.
ITSELF = "IT"


class PlantError(Exception):
    """The code has changed: a change does not fit it any more."""


@dataclass(frozen=True)
class Change:
    """One wrong node.

    Parameters
    ----------
    where : str
        ``function``, ``Class.method`` or ``CONSTANT``; with ``module:`` before it where
        several modules have one so named.
    what : str
        A kind of node (see `KINDS`) and words: the innermost node of that kind in which all of
        them occur as names, attributes, keywords or texts, and none with a ``-`` before it. There must
        be one. After ``>`` come the kind and the words of a node within that one.
    becomes : str
        Code that replaces it, in which `IT` is the node as it was; "" takes it away.
    """

    where: str
    what: str
    becomes: str = ""

    def __str__(self) -> str:
        return f"`{self.what}` in {self.where}"


# -------------------------------------------------------------------- finding the function


@dataclass(frozen=True)
class _Source:
    """A module as it is written."""

    name: str  # as in `import`
    path: Path
    tree: ast.Module


@functools.cache
def _sources() -> tuple[_Source, ...]:
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(_Source(name, path, ast.parse(path.read_text())))
    return tuple(found)


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Functions, classes and constants by their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield prefix + node.name, node
            yield from _definitions(node, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((prefix + t.id, node) for t in targets if isinstance(t, ast.Name))


@functools.cache
def _index() -> dict[str, list[tuple[_Source, ast.AST]]]:
    index: dict[str, list[tuple[_Source, ast.AST]]] = {}
    for source in _sources():
        for name, node in _definitions(source.tree):
            index.setdefault(name, []).append((source, node))
    return index


def _locate(where: str) -> tuple[_Source, str]:
    """The module that has it, and its name there."""
    module, _, name = where.rpartition(":")
    found = [
        source
        for source, _ in _index().get(name, ())
        if not module or f".{source.name}".endswith(f".{module}")
    ]
    if len(found) == 1:
        return found[0], name
    if found:
        places = ", ".join(source.name.removeprefix(f"{PACKAGE}.") for source in found)
        raise PlantError(f"several modules have a `{name}`: {places}; write `module:{name}`")
    similar = difflib.get_close_matches(name, _index(), 3, 0.5)
    elsewhere = [source.name for source, _ in _index().get(name, ())]
    hint = ", ".join(elsewhere or similar)
    raise PlantError(f"the package has no `{where}`" + (f" (but {hint})" if hint else ""))


# ------------------------------------------------------------------------ finding the node


def _words(node: ast.AST) -> Iterator[str]:
    """What stands in a node, its children's words too."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, (ast.keyword, ast.arg)) and part.arg:
            yield part.arg
        elif isinstance(part, ast.Constant):
            yield str(part.value)


def _tests(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        return [node.test]
    return list(node.ifs) if isinstance(node, ast.comprehension) else []


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is(*types: type[ast.AST]) -> Callable[[ast.AST, str], list[ast.AST]]:
    return lambda node, _: [node] if isinstance(node, types) else []


#: Kind -> the nodes of it that a node is or has, given the first word.
KINDS: dict[str, Callable[[ast.AST, str], list[ast.AST]]] = {
    # the condition of an if, while or comprehension
    "test": lambda node, _: _tests(node),
    # any statement, simple or with a body
    "statement": _is(ast.stmt),
    "return": _is(ast.Return),
    # x + y, x and y, x < y, -x
    "operation": _is(ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp),
    # a call of a function or method with this name
    "call": lambda node, name: (
        [node] if isinstance(node, ast.Call) and _called(node) == name else []
    ),
    # a variable, or an attribute with what it is of
    "name": lambda node, name: (
        [node] if name in (getattr(node, "id", ""), getattr(node, "attr", "")) else []
    ),
    # the value of a keyword of a call
    "keyword": lambda node, name: (
        [node.value] if isinstance(node, ast.keyword) and node.arg == name else []
    ),
    # what a constant is
    "value": lambda node, _: (
        [node.value] if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value else []
    ),
    # the key of an entry of a dict; replaced by nothing, the entry is gone
    "entry": lambda node, _: [key for key in node.keys if key] if isinstance(node, ast.Dict) else [],
}  # fmt: skip


def _find(scope: ast.AST, what: str) -> ast.AST:
    node = scope
    for step in what.split(">"):
        node = _find_one(node, step.strip())
    return node


def _find_one(scope: ast.AST, what: str) -> ast.AST:
    kind, *words = what.split()
    wanted = [word for word in words if not word.startswith("-")]
    unwanted = {word[1:] for word in words if word.startswith("-")}
    first = wanted[0] if wanted else ""
    of_kind = [node for part in ast.walk(scope) for node in KINDS[kind](part, first)]
    if kind == "keyword":
        wanted = wanted[1:]  # the first one is not in the value
    fitting = []
    for node in of_kind:
        there = set(_words(node))
        if node is not scope and there.issuperset(wanted) and not unwanted & there:
            fitting.append(node)
    inner = [n for n in fitting if not any(m is not n and m in fitting for m in ast.walk(n))]
    if len(inner) == 1:
        return inner[0]
    if inner:
        texts = "; ".join(ast.unparse(node).splitlines()[0] for node in inner)
        raise PlantError(f"`{what}` is there {len(inner)} times: {texts}")
    present = {word for node in of_kind for word in _words(node)}
    missing = ", ".join(word for word in wanted if word not in present)
    raise PlantError(f"`{what}` is not there" + (f" (no {kind} has: {missing})" if missing else ""))


# --------------------------------------------------------------------- replacing the node


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.expr | Sequence[ast.stmt] | None) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST | Sequence[ast.stmt] | None:
        return self._new if node is self._old else super().visit(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        if self._new is None:
            pairs = list(zip(node.keys, node.values, strict=True))
            left = [pair for pair in pairs if pair[0] is not self._old]
            node.keys, node.values = [k for k, _ in left], [v for _, v in left]
        return self.generic_visit(node)


class _Itself(ast.NodeTransformer):
    """Puts the node for `IT`."""

    def __init__(self, node: ast.AST) -> None:
        self._node = node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        is_it = isinstance(node.value, ast.Name) and node.value.id == ITSELF
        is_it = is_it and isinstance(self._node, ast.stmt)
        return copy.deepcopy(self._node) if is_it else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return copy.deepcopy(self._node) if node.id == ITSELF else node


def _replacement(node: ast.AST, becomes: str) -> ast.expr | Sequence[ast.stmt] | None:
    if isinstance(node, ast.stmt):
        body = [_Itself(node).visit(line) for line in ast.parse(becomes or "pass").body]
        return [ast.fix_missing_locations(ast.copy_location(line, node)) for line in body]
    if not becomes:
        return None
    new = _Itself(node).visit(ast.parse(becomes, mode="eval").body)
    return ast.fix_missing_locations(ast.copy_location(new, node))  # type: ignore[no-any-return]


@functools.cache
def _attributes() -> frozenset[str]:
    """Every attribute, method and field that the package speaks of."""
    found = {part for name in _index() for part in name.split(".")}
    for source in _sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return frozenset(found)


def _own_attributes(module: ast.Module, where: str) -> frozenset[str]:
    """What a method may find on `self`: all that the package speaks of, if its class inherits any."""
    found = dict(_definitions(module)).get(where.rpartition(".")[0])
    if not isinstance(found, ast.ClassDef) or found.bases:
        return _attributes()
    names = {node.attr for node in ast.walk(found) if isinstance(node, ast.Attribute)}
    return frozenset(names | {name for name, _ in _definitions(found)})


def _check_names(becomes: str, module: ast.Module, name: str) -> None:
    """Names of the new code must be known where it is put: a NameError would seem to be found."""
    code = [node for line in ast.parse(becomes).body for node in ast.walk(line)]
    names = {node.id for node in code if isinstance(node, ast.Name)}
    names -= {
        node.id for node in code if isinstance(node, ast.Name) and type(node.ctx) is ast.Store
    }
    definitions = dict(_definitions(module))
    known = {ITSELF, *dir(builtins), *_words(definitions[name]), *definitions}
    for node in ast.walk(module):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            known |= {alias.asname or alias.name for alias in node.names}
    attributes = [node for node in code if isinstance(node, ast.Attribute)]
    own = {
        node.attr
        for node in attributes
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    strange = names - known | own - _own_attributes(module, name)
    strange |= {node.attr for node in attributes} - _attributes()
    if strange:
        said = ", ".join(sorted(strange))
        raise PlantError(f"its new code speaks of {said}, which is not known there")


def planted(changes: Iterable[Change]) -> dict[str, ast.Module]:
    """The changed modules by name; PlantError where one does not fit the code."""
    trees: dict[str, ast.Module] = {}
    for change in changes:
        _plant_into(trees, change)
    return trees


def _plant_into(trees: dict[str, ast.Module], change: Change) -> None:
    try:
        source, name = _locate(change.where)
        tree = copy.deepcopy(trees.get(source.name, source.tree))
        scope = dict(_definitions(tree))[name]
        _check_names(change.becomes, tree, name)
        node = _find(scope, change.what)
        before = ast.dump(tree)
        _Replace(node, _replacement(node, change.becomes)).visit(tree)
    except PlantError as error:
        raise PlantError(f"{change}: {error}") from None
    if ast.dump(tree) == before:
        raise PlantError(f"{change}: the code is as it was")
    trees[source.name] = tree


# ------------------------------------------------------------ while it is imported


class _Loader(SourceFileLoader):
    """Compiles a changed tree, and never reads or writes bytecode on disk."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._tree, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self._trees = trees

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._trees:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin, self._trees[fullname])
        return spec


def install(trees: dict[str, ast.Module]) -> None:
    """Let this process import changed modules from here on; none may be imported already."""
    early = sorted(name for name in trees if name in sys.modules)
    if early:
        raise PlantError(f"imported already: {', '.join(early)}")
    sys.meta_path.insert(0, _Finder(trees))
