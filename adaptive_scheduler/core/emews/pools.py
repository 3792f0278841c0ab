"""The pools of an EMEWS file: what each of its settings means here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adaptive_scheduler.core.emews.arithmetic import compute, is_arithmetic
from adaptive_scheduler.core.emews.settings import kind, mapping, refuse_unknown, whole, word
from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.core.times import seconds
from adaptive_scheduler.errors import InputError

#: Whole numbers, in which arithmetic may stand.
NUMBERS = ("CFG_NODES", "CFG_PPN", "CFG_PROCS", "CFG_BATCH_SIZE", "CFG_BATCH_THRESHOLD")
#: What the batch system is told.
OF_JOBS = ("CFG_WALLTIME", "CFG_QUEUE", "CFG_PROJECT")
#: What a pool's script was told, and no job needs here.
UNNEEDED = ("CFG_DB_HOST", "CFG_DB_PORT", "CFG_DB_USER", "CFG_DB_NAME", "CFG_DB_RETRY_THRESHOLD",
            "CFG_TASK_TYPE", "CFG_POOL_ID")  # fmt: skip
KEYS = ("type", "scheduler", "start_pool_script", *NUMBERS, *OF_JOBS, *UNNEEDED)
#: A word of the line by which a job script names its account.
_PROJECT = re.compile(r"[\w.@:/+][\w.@:/+-]*")
#: Schedulers whose jobs have no queue and no account.
HERE, LOCAL = "here", "local"
#: Options of a scheduler that have another name in the file.
ELSEWHERE = {
    "cores": "CFG_PROCS", "slots": "CFG_PROCS", "nodes": "CFG_NODES", "cores_per_node": "CFG_PPN",
    "walltime": "CFG_WALLTIME", "partition": "CFG_QUEUE", "queue": "CFG_QUEUE",
}  # fmt: skip


class EmewsPool(msgspec.Struct, frozen=True):
    """One pool: one job at a time, which is replaced when its walltime ends.

    Attributes
    ----------
    name : str
    scheduler : str
        ``"slurm"``, ``"pbs"``, ``"local"``, ``"here"``, or one that another package adds.
    options : dict
        Of the scheduler, besides those that follow.
    nodes : int, optional
    slots : int
        Tasks at a time, on all its nodes.
    batch_size : int, optional
    threshold : int
    walltime : float, optional
        Seconds.
    queue, project : str, optional
    notes : list of str
        What its user should know.
    """

    name: str
    scheduler: str
    options: dict[str, Any]
    nodes: int | None
    slots: int
    batch_size: int | None
    threshold: int
    walltime: float | None
    queue: str | None
    project: str | None
    notes: list[str]


def read_pool(name: str, found: Any) -> EmewsPool:
    """Return what a pool's settings mean.

    Raises
    ------
    InputError
        Names the pool, the setting, what is wrong and what to write.
    """
    what = f"pools: {name}"
    given = mapping(found, what, f"{name}: {{type: local, CFG_PROCS: 4}}")
    if given.get("type") == "funcx":  # before its fx_endpoint, for which this is the reason
        kind("funcx", ("local",), f"{what}: type")
    refuse_unknown(given, KEYS, f"{what}: ")
    kind(given.get("type", "local"), ("local",), f"{what}: type")
    scheduler, options = _scheduler(given, what)
    numbers = PoolNumbers(given, what)
    walltime = given.get("CFG_WALLTIME")
    batch_size, threshold = numbers.get("CFG_BATCH_SIZE"), numbers.get("CFG_BATCH_THRESHOLD") or 1
    if batch_size is not None and threshold > batch_size:
        raise InputError(
            f"{what}: CFG_BATCH_THRESHOLD: {threshold} is more than CFG_BATCH_SIZE, which is {batch_size}: "
            "so many can never be missing. Write a smaller one."
        )
    slots = numbers.slots()
    return EmewsPool(
        name=name, scheduler=scheduler, options=options, nodes=numbers.get("CFG_NODES"), slots=slots,
        batch_size=batch_size, threshold=threshold,
        walltime=None if walltime is None else seconds(walltime, f"{what}: CFG_WALLTIME"),
        queue=_word(given, "CFG_QUEUE", what), project=_project(given, what),
        notes=_notes(given, what, scheduler, (batch_size, slots)) + _unlike(numbers, slots, what),
    )  # fmt: skip


class PoolNumbers:
    """The whole numbers of a pool, each worked out when it is needed.

    Parameters
    ----------
    given : mapping
        The pool's settings.
    what : str
        The pool, for errors.
    """

    def __init__(self, given: Mapping[str, Any], what: str) -> None:
        self._given, self._what = given, what
        self._found: dict[str, int] = {}
        self._under_way: list[str] = []

    def get(self, name: str) -> int | None:
        """Return a number; None if it is not given."""
        return self._number(name) if name in self._given else None

    def slots(self) -> int:
        """Return how many tasks run at a time: CFG_PROCS, else nodes times processes on each."""
        if (given := self.get("CFG_PROCS")) is not None:
            return given
        per_node = self.get("CFG_PPN")
        if per_node is None:
            raise InputError(
                f"{self._what}: nothing says how many tasks run at a time. Write CFG_PROCS, or CFG_NODES and "
                "CFG_PPN."
            )
        return (self.get("CFG_NODES") or 1) * per_node

    def _number(self, name: str) -> int:
        if name in self._found:
            return self._found[name]
        what = f"{self._what}: {name}"
        if name in self._under_way:
            raise InputError(f"{what}: it is worked out from itself. Write a number.")
        given = self._given[name]
        self._under_way.append(name)
        found = self._computed(given, what) if is_arithmetic(given) else whole(given, what)
        self._under_way.pop()
        self._found[name] = found
        return found

    def _computed(self, text: str, what: str) -> int:
        try:
            found = compute(text, self._named)
        except InputError as error:
            raise (
                error if str(error).startswith(self._what) else InputError(f"{what}: {error}")
            ) from error
        if found < 1:
            raise InputError(f"{what}: {text} is {found}, and must be at least 1.")
        return found

    def _named(self, name: str) -> int:
        if name not in NUMBERS or name not in self._given:
            known = [one for one in NUMBERS if one in self._given]
            raise InputError(
                f"there is no number {name} in this pool.{did_you_mean(name, known)} There are: "
                f"{', '.join(known)}."
            )
        return self._number(name)


def _scheduler(given: Mapping[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    """What submits a pool's jobs, and its own options."""
    found = given.get("scheduler")
    if found is None:
        return _scheduler_left_out(given, what), {}
    if isinstance(found, str):
        found = {"name": found}
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise InputError(
            f"{what}: scheduler: {found!r:.80} must be a name, or a mapping such as "
            "`{name: slurm, memory: 4GB}`."
        )
    options = {str(key): value for key, value in found.items() if key != "name"}
    for key in options:
        if key in ELSEWHERE:
            raise InputError(f"{what}: scheduler: {key}: write {ELSEWHERE[key]} of the pool.")
    name = found["name"].lower()
    _refuse_jobs_own(given, name, what)
    return name, options


def _scheduler_left_out(given: Mapping[str, Any], what: str) -> str:
    told = [key for key in OF_JOBS if key in given]
    if told:
        raise InputError(
            f"{what}: {', '.join(told)} are for a batch system, but nothing says for which one. "
            f"{_SCRIPT if 'start_pool_script' in given else ''}Write `scheduler: slurm` or `scheduler: pbs`."
        )
    return LOCAL


_SCRIPT = "start_pool_script is never run; its jobs are submitted by this package. "


def _refuse_jobs_own(given: Mapping[str, Any], scheduler: str, what: str) -> None:
    meaningless = {LOCAL: OF_JOBS[1:], HERE: OF_JOBS}.get(scheduler, ())
    for key in meaningless:
        if key in given:
            raise InputError(
                f"{what}: {key} has no meaning with scheduler: {scheduler}. Leave it out, or write "
                "`scheduler: slurm` or `scheduler: pbs`."
            )


def _project(given: Mapping[str, Any], what: str) -> str | None:
    found = _word(given, "CFG_PROJECT", what)
    if found is not None and not _PROJECT.fullmatch(found):
        raise InputError(
            f"{what}: CFG_PROJECT: {found!r:.80} must be the name of an account, without blanks."
        )
    return found


def _word(given: Mapping[str, Any], key: str, what: str) -> str | None:
    return word(given[key], f"{what}: {key}") if key in given else None


def _notes(
    given: Mapping[str, Any], what: str, scheduler: str, batch: tuple[int | None, int]
) -> list[str]:
    notes = []
    if "start_pool_script" in given:
        chosen = f"`scheduler: {scheduler}`"
        notes.append(
            f"{what}: start_pool_script is not run: {chosen} starts the pool"
            + ("." if "scheduler" in given else
               ", on this machine. For a cluster write `scheduler: slurm` or `scheduler: pbs`.")
        )  # fmt: skip
    if unneeded := [key for key in UNNEEDED if key in given]:
        notes.append(f"{what}: {', '.join(unneeded)}: not needed, and not used.")
    size, slots = batch
    if scheduler == HERE and ("CFG_BATCH_SIZE" in given or "CFG_BATCH_THRESHOLD" in given):
        notes.append(
            f"{what}: CFG_BATCH_SIZE and CFG_BATCH_THRESHOLD are not used with scheduler: here."
        )
    elif size is not None and size < slots:
        notes.append(
            f"{what}: CFG_BATCH_SIZE is {size}, so that {slots - size} of its {slots} slots stay idle. No slot "
            "is taken by the pool itself, as it is in EMEWS: leave CFG_BATCH_SIZE out, or write as "
            "many as CFG_PROCS."
        )
    return notes


def _unlike(numbers: PoolNumbers, slots: int, what: str) -> list[str]:
    """Say that CFG_PROCS is another number than nodes and processes make; nothing if it is not."""
    per_node, nodes = numbers.get("CFG_PPN"), numbers.get("CFG_NODES") or 1
    if per_node is None or per_node * nodes == slots:
        return []
    return [
        f"{what}: CFG_PPN is not used: CFG_PROCS is {slots}, but CFG_NODES times CFG_PPN would be {per_node * nodes}."
    ]
