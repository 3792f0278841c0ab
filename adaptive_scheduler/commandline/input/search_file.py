"""The file of a search: what it may say, and what it means."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from adaptive_scheduler.commandline.input.learners_file import as_user_code
from adaptive_scheduler.commandline.input.suggestions import did_you_mean
from adaptive_scheduler.core.tasks.resources import TaskResources, check_resources
from adaptive_scheduler.errors import InputError

#: ``module:attribute``; everything else is a command.
_PLUG_IN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
#: Other names of keys: as programs of this kind call them.
_ALIASES = {"points_init": "initial", "points_max": "max_tasks"}


@dataclass(frozen=True)
class SearchFile:
    """What a file of a search says; each is described in docs/search.md."""

    task: Any = None
    problem: str | None = None
    space: Any = None
    value: Any = None
    method: str = "random"
    options: Any = None
    seed: int = 0
    maximize: bool = False
    initial: int | None = None
    max_tasks: int | None = None
    concurrency: int | None = None
    nodes: int | None = None
    parallelism: int | None = None
    on_failure: str = "drain"
    penalty: float | None = None
    output: str | None = None
    name: str | None = None
    log: str = "{_index:04d}.txt"
    ahead: int | None = None
    timeout: Any = None
    retries: int = 0
    resources: Any = None
    slots: int | None = None
    gpus: Any = ()


def read_search_file(path: Path) -> tuple[SearchFile, dict[str, Any]]:
    """Read the file of a search.

    Returns
    -------
    SearchFile
    dict
        What it says of jobs.

    Raises
    ------
    InputError
        It is no YAML, no mapping, or has a key that is not known.
    """
    found = _read(path)
    if not isinstance(found, dict):
        raise InputError(
            f"{path} must be a mapping, such as `task: ./task.sh {{_json}}` on a line, not {found!r:.80}."
        )
    found = {_ALIASES.get(key, key): value for key, value in found.items()}
    job = found.pop("job", None)
    known = [field.name for field in fields(SearchFile)]
    for key in found:
        if key not in known:
            near = did_you_mean(str(key), [*known, *_ALIASES, "job"])
            raise InputError(
                f"{path}: there is no key {key!r}.{near} There are: {', '.join(known)}, job."
            )
    if job is not None and not isinstance(job, dict):
        raise InputError(
            f"{path}: job={job!r} must be a mapping, such as {{scheduler: slurm, cores: 8}}."
        )
    for needed in ("task", "max_tasks"):
        if found.get(needed) is None:
            other = " (or points_max)" if needed == "max_tasks" else ""
            raise InputError(f"{path} has no {needed}{other}.")
    return SearchFile(**found), job or {}


def _read(path: Path) -> Any:
    try:
        text = path.read_text()
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_twice(path, node)
        return yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Give the file of a search.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


def _refuse_twice(path: Path, node: Any) -> None:
    """Refuse a key that is there twice, of which YAML takes the last one."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            raise InputError(
                f"{path}, line {key.start_mark.line + 1}: {key.value!r} is there twice."
            )
        seen.add(key.value)
        _refuse_twice(path, value)


def space_of(file: SearchFile, path: Path) -> Any:
    """Return the space: of the file, or of the object that `problem` names."""
    if (file.space is None) == (file.problem is None):
        raise InputError(f"{path}: give either space or problem (module:attribute).")
    if file.problem is None:
        return file.space
    if not isinstance(file.problem, str) or not _PLUG_IN.fullmatch(file.problem):
        raise InputError(f"{path}: problem={file.problem!r} must be module:attribute.")
    return _plug_in(file.problem, "problem", path)


def task_of(file: SearchFile, path: Path, *, launch_ranks: bool = True) -> Callable[..., Any]:
    """Return the function or command that is run; `launch_ranks` as `Command` takes it."""
    from adaptive_scheduler.runs.driver.commands.command import Command

    if isinstance(file.task, str) and _PLUG_IN.fullmatch(file.task.strip()):
        if file.value is not None:
            raise InputError(f"{path}: value is for a command; {file.task} returns its own.")
        found = _plug_in(file.task.strip(), "task", path)
        if not callable(found):
            raise InputError(f"{path}: task {file.task} is {found!r:.80}, which cannot be called.")
        return found  # type: ignore[no-any-return]
    if not isinstance(file.task, str | list | dict):
        raise InputError(f"{path}: task={file.task!r} must be a command, or module:function.")
    if file.value is None:
        raise InputError(
            f"{path} has no value: where is the result of the command? For example value: {{float_file: "
            "'loss-{_index:04d}.txt'}."
        )
    return Command(file.task, value=_rule(file.value, path), launch_ranks=launch_ranks)


def _rule(given: Any, path: Path) -> Any:
    from adaptive_scheduler.runs.driver.commands import value_rules

    rules = {"float_file": value_rules.float_file, "json_value": value_rules.json_value,
             "regex_value": value_rules.regex_value}  # fmt: skip
    if given == "exit_code":
        return value_rules.exit_code
    if isinstance(given, str) and _PLUG_IN.fullmatch(given):
        return _plug_in(given, "value", path)
    if isinstance(given, dict) and len(given) == 1:
        ((name, arguments),) = given.items()
        arguments = arguments if isinstance(arguments, list) else [arguments]
        if (
            name in rules
            and 1 <= len(arguments) <= 2
            and all(isinstance(a, str) for a in arguments)
        ):
            if name == "float_file" and len(arguments) > 1:
                raise InputError(f"{path}: float_file takes one name, not {arguments!r}.")
            return rules[name](*arguments)
    raise InputError(
        f"{path}: value={given!r} must be {{float_file: NAME}}, {{json_value: [NAME, KEY]}}, {{regex_value: "
        "PATTERN}, exit_code, or module:function."
    )


def _plug_in(text: str, key: str, path: Path) -> Any:
    """Return what ``module:attribute`` names; the file's folder is looked through first."""
    where, _, attribute = text.partition(":")
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = importlib.util.find_spec(where)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise InputError(
            f"{path}: {key} {text}: there is no module {where} in {folder} or installed. "
            f"Write {where}.py there, or correct the name."
        )
    with as_user_code(f"module {where}"):
        module = importlib.import_module(where)
    if not hasattr(module, attribute):
        near = did_you_mean(attribute, vars(module))
        raise InputError(f"{path}: {key} {text}: {where} has no {attribute}.{near}")
    return getattr(module, attribute)


def starts_own_ranks(file: SearchFile, job: Mapping[str, Any]) -> bool:
    """Whether each task has nodes of a job for what it starts itself there: `parallelism` of them."""
    given = file.resources if isinstance(file.resources, Mapping) else {}
    of_engine = {"nodes", "ranks_per_node"} & set(given)
    return "scheduler" in job and (file.parallelism or 1) > 1 and not of_engine


def resources_of(file: SearchFile, path: Path, nodes: int = 1) -> TaskResources:
    """Return what each task occupies; `nodes`, unless the file says how many."""
    given = file.resources or {}
    known = TaskResources.__struct_fields__
    if not isinstance(given, Mapping):
        raise InputError(f"{path}: resources={given!r} must be a mapping: {', '.join(known)}.")
    for key in given:
        if key not in known:
            near = did_you_mean(str(key), known)
            raise InputError(
                f"{path}: resources has no {key!r}.{near} There are: {', '.join(known)}."
            )
    return check_resources(**{"nodes": nodes, **given})
