"""The file of an EMEWS workflow, checked: pools, tasks, the queue, and the numbers of the exploration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adaptive_scheduler.core.emews.pools import HERE, EmewsPool, read_pool
from adaptive_scheduler.core.emews.settings import (
    kind,
    mapping,
    names,
    number,
    one_of,
    refuse_unknown,
    whole,
    word,
)
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError

#: Numbers of the exploration.
COUNTS = ("search_space_size", "sample_dimensions", "num_guesses", "retrain_after")
KEYS = ("task_queues", "tasks", "pools", *COUNTS, "runtime", "runtime_var", "reprioritize_endpoint", "dbs")  # fmt: skip
TASK_KEYS = ("type", "pools", "db")
QUEUE_KEYS = ("type", "tunnel", "folder", "python", "host", "port", "db")
TUNNEL_KEYS = ("config_key", "ssh_config", "port")
#: The tag of the task that fits the model again, if a pool does that.
REFIT = "reprioritize"
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]*")


class EmewsQueue(msgspec.Struct, frozen=True):
    """Where the run lies: on this machine, or on one behind ssh.

    Attributes
    ----------
    host : str, optional
        As ssh knows it; None: here.
    ssh_config : str, optional
        In place of ``~/.ssh/config``.
    folder : str, optional
        In which the run's folder is made; unless given, the current one, there the home.
    python : str, optional
        The Python there.
    """

    host: str | None = None
    ssh_config: str | None = None
    folder: str | None = None
    python: str | None = None


class EmewsFile(msgspec.Struct, frozen=True):
    """All that a file says.

    Attributes
    ----------
    name : str
        For errors.
    queue : EmewsQueue
    pools : list of EmewsPool
        In the order in which `tasks` names them.
    accepts : dict of str to list of str
        Pool to the types of tasks that it takes, which are their tags.
    types : list of str
        Of tasks.
    search_space_size, sample_dimensions, num_guesses, retrain_after : int
    runtime, runtime_var : float
        Mean and standard deviation of a task's delay, in seconds.
    reprioritize_endpoint : str, optional
        The pool on which the model is fitted again; None: beside the queue.
    notes : list of str
        What its user should know, and need not change.
    """

    name: str
    queue: EmewsQueue
    pools: list[EmewsPool]
    accepts: dict[str, list[str]]
    types: list[str]
    search_space_size: int
    sample_dimensions: int
    num_guesses: int
    retrain_after: int
    runtime: float
    runtime_var: float
    reprioritize_endpoint: str | None
    notes: list[str]


def check_file(documents: list[Any], name: str) -> EmewsFile:
    """Return what a file says.

    Parameters
    ----------
    documents : list
        As YAML has them.
    name : str
        Of the file, for errors.

    Raises
    ------
    InputError
        Names file and key, what is wrong, and what to write.
    """
    try:
        return _checked(documents, name)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _checked(documents: list[Any], name: str) -> EmewsFile:
    documents = [one for one in documents if one is not None]  # a file may end with ---
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise InputError(
            f"it has {counted(len(documents), 'document')}, and must have one, which is a mapping with the keys "
            f"{', '.join(KEYS[:3])}, ..., such as `num_guesses: 750` on a line."
        )
    found = documents[0]
    refuse_unknown(found, KEYS, "")
    for key in ("pools", "tasks", *COUNTS):
        if key not in found:
            raise InputError(f"there is no {key}. {_EXAMPLES.get(key, f'Write `{key}: 50`.')}")
    counts = {key: whole(found[key], key) for key in COUNTS}
    if counts["num_guesses"] > counts["search_space_size"]:
        raise InputError(
            f"num_guesses: {counts['num_guesses']} are more than there are points: search_space_size is "
            f"{counts['search_space_size']}. Write a smaller number."
        )
    pools = {one: read_pool(one, its) for one, its in _pool_settings(found["pools"]).items()}
    accepts, types = _tasks(found["tasks"], list(pools))
    endpoint = _endpoint(found, pools, accepts)
    chosen = [pools[one] for one in accepts]
    queue, told = _queue(found)
    if queue.host is not None:
        _refuse_here(chosen)
    return EmewsFile(
        name=name, queue=queue, pools=chosen, accepts=accepts, types=types, **counts,
        runtime=number(found.get("runtime", 0), "runtime"),
        runtime_var=number(found.get("runtime_var", 0), "runtime_var"),
        reprioritize_endpoint=endpoint,
        notes=[*told, *_needless(found), *(note for one in chosen for note in one.notes)],
    )  # fmt: skip


_EXAMPLES = {
    "pools": "Write `pools: {pool1: {type: local, CFG_PROCS: 4}}`.",
    "tasks": "Write `tasks: [{type: 0, pools: [pool1]}]`.",
}


def _pool_settings(found: Any) -> dict[str, Any]:
    given = mapping(found, "pools", "pools: {pool1: {type: local, CFG_PROCS: 4}}")
    named = {word(one, "pools"): its for one, its in given.items()}
    if len(named) < len(given):  # 1 and "1"
        raise InputError("pools: two of them have one name.")
    return named


def _tasks(found: Any, pools: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Which pool takes which types, and all types."""
    if not isinstance(found, list) or not found:
        raise InputError(
            f"tasks: {found!r:.80} must be a list that is not empty. {_EXAMPLES['tasks']}"
        )
    accepts: dict[str, list[str]] = {}
    types: list[str] = []
    for one in found:
        its = mapping(one, "tasks", "{type: 0, pools: [pool1]}")
        refuse_unknown(its, TASK_KEYS, "tasks: ")
        for key in ("type", "pools"):
            if key not in its:
                raise InputError(f"tasks: one of them has no {key}. {_EXAMPLES['tasks']}")
        tag = word(its["type"], "tasks: type")
        if tag in (*types, REFIT):
            raise InputError(f"tasks: type {tag} is there twice, or reserved. Write another one.")
        types.append(tag)
        for pool in names(its["pools"], f"tasks: type {tag}: pools"):
            one_of(pool, pools, f"tasks: type {tag}: pools")
            accepts.setdefault(pool, []).append(tag)
    return accepts, types


def _endpoint(
    found: Mapping[str, Any], pools: Mapping[str, EmewsPool], accepts: dict[str, list[str]]
) -> str | None:
    """The pool of refits, which then takes those too; no other pool may be without tasks."""
    endpoint = found.get("reprioritize_endpoint")
    if endpoint is not None:
        what = "reprioritize_endpoint"
        endpoint = one_of(word(endpoint, what), pools, f"{what} is the pool on which to refit")
        accepts.setdefault(endpoint, []).append(REFIT)
    for pool in pools:
        if pool not in accepts:
            raise InputError(
                f"pools: {pool} holds no task: no entry of tasks names it. Add it to `pools:` of one, or leave "
                "it out."
            )
    return endpoint


def _queue(found: Mapping[str, Any]) -> tuple[EmewsQueue, list[str]]:
    if "task_queues" not in found:
        return EmewsQueue(), []
    queues = mapping(found["task_queues"], "task_queues", "task_queues: {sim: {type: local}}")
    if len(queues) > 1:
        raise InputError(
            f"task_queues: {', '.join(map(str, queues))}: a run has one queue, for tasks of all types. Leave one."
        )
    (name, its), = queues.items()  # fmt: skip
    what = f"task_queues: {name}"
    given = mapping(its, what, "sim: {type: local}")
    if given.get("type") == "funcx":
        kind("funcx", (), f"{what}: type")
    refuse_unknown(given, QUEUE_KEYS, f"{what}: ")
    chosen = kind(given.get("type", "local"), ("local", "emews_service"), f"{what}: type")
    if chosen == "emews_service":
        queue = _far_queue(given, what)
        told = _unused(given["tunnel"], ("port",), f"{what}: tunnel")
        return queue, [*_unused(given, ("host", "port"), what), *told]
    for key in ("tunnel", "python"):
        if key in given:
            raise InputError(
                f"{what}: {key} is for `type: emews_service`. Write that, or leave it out."
            )
    return EmewsQueue(folder=_text(given, "folder", what)), _unused(given, ("host", "port"), what)


def _far_queue(given: Mapping[str, Any], what: str) -> EmewsQueue:
    if "tunnel" not in given:
        raise InputError(
            f"{what}: an emews_service needs `tunnel: {{config_key: HOST}}`: the host, as ssh knows it, on "
            "which the run is to be."
        )
    tunnel = mapping(given["tunnel"], f"{what}: tunnel", "tunnel: {config_key: bebop}")
    refuse_unknown(tunnel, TUNNEL_KEYS, f"{what}: tunnel: ")
    host = word(tunnel.get("config_key"), f"{what}: tunnel: config_key")
    if not _HOST.fullmatch(host):
        raise InputError(
            f"{what}: tunnel: config_key: {host!r:.80} must be a host, as ssh knows it: HOST or USER@HOST."
        )
    folder = _text(given, "folder", what)
    if folder is not None and not folder.startswith(("/", "~/")):
        raise InputError(f"{what}: folder: {folder!r:.80} must be a path there: /... or ~/...")
    return EmewsQueue(
        host, _text(tunnel, "ssh_config", f"{what}: tunnel"), folder, _text(given, "python", what)
    )


def _text(given: Mapping[str, Any], key: str, what: str) -> str | None:
    return word(given[key], f"{what}: {key}") if key in given else None


def _unused(given: Mapping[str, Any], keys: tuple[str, ...], what: str) -> list[str]:
    used = [key for key in keys if key in given]
    return [f"{what}: {', '.join(used)}: not needed, and not used."] if used else []


def _needless(found: Mapping[str, Any]) -> list[str]:
    parts = [*found["tasks"], *(found.get("task_queues") or {}).values()]
    if "dbs" not in found and not any("db" in one for one in parts):
        return []
    return [
        "dbs, and `db:` of tasks and queues: no database is needed; the run's folder has all. Leave them out."
    ]


def _refuse_here(pools: list[EmewsPool]) -> None:
    for pool in pools:
        if pool.scheduler == HERE:
            raise InputError(
                f"pools: {pool.name}: scheduler: here is this machine, but the queue is on another host. Write "
                "`scheduler: slurm`, `pbs`, or `local` for that machine itself."
            )
