"""What starts the pools of an EMEWS file: a scheduler for each, made before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adaptive_scheduler.core.emews.pools import HERE, LOCAL, EmewsPool
from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.here import Here
from adaptive_scheduler.schedulers.registry import known_names, scheduler_class

#: How a batch system is told whose account pays (sbatch(1), qsub(1)).
ACCOUNT = {"slurm": "--account={}", "pbs": "-A {}"}


def places_of(pools: Sequence[EmewsPool]) -> dict[str, Here | Scheduler]:
    """Return where the tasks of each pool run, by its name.

    Raises
    ------
    InputError
        There is no such scheduler, it refuses a setting, or pools have different ones.
    """
    first = pools[0]
    for pool in pools:
        if pool.scheduler != first.scheduler:
            raise InputError(
                f"pools: {pool.name} has scheduler: {pool.scheduler}, but {first.name} has {first.scheduler}: all "
                "pools of a run have the same one."
            )
    cores = sum(pool.slots for pool in pools)
    return {pool.name: _place(pool, cores) for pool in pools}


def _place(pool: EmewsPool, all_cores: int) -> Here | Scheduler:
    what = f"pools: {pool.name}"
    known = [*known_names(), HERE]
    if pool.scheduler not in known:
        raise InputError(
            f"{what}: scheduler: there is no {pool.scheduler}.{did_you_mean(pool.scheduler, known)} There are: "
            f"{', '.join(known)}."
        )
    try:
        return _made(pool, all_cores)
    except (InputError, TypeError) as error:  # of `Here`, which is no scheduler
        raise InputError(f"{what}: {error}") from error


def _made(pool: EmewsPool, all_cores: int) -> Here | Scheduler:
    if pool.scheduler == HERE:
        return Here(pool.slots, **pool.options)
    given: dict[str, Any] = {"cores": pool.slots, "walltime": pool.walltime, **pool.options}
    if pool.scheduler == LOCAL:
        # on one machine; its pools run beside each other, as they would on a cluster
        return scheduler_class(LOCAL)(**{"max_cores": all_cores, **given})
    given |= {"nodes": pool.nodes, "partition": pool.queue}
    if pool.project is not None:
        own = given.pop("extra_scheduler", [])
        account = ACCOUNT.get(pool.scheduler, ACCOUNT["slurm"]).format(pool.project)
        given["extra_scheduler"] = [*([own] if isinstance(own, str) else own), account]
    return scheduler_class(pool.scheduler)(**{k: v for k, v in given.items() if v is not None})
