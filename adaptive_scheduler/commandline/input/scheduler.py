"""The scheduler that the typed options describe."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.commandline.input.suggestions import did_you_mean
from adaptive_scheduler.commandline.input.values import parse_pairs
from adaptive_scheduler.core.options.aliases import ALIASES
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.schedulers.base import Scheduler


def make_scheduler(typed: Mapping[str, Any]) -> Scheduler:
    """Make the scheduler that the options describe.

    Raises
    ------
    InputError
        An option is wrong, or no batch system is found.
    """
    from adaptive_scheduler.schedulers.registry import detect, known_names, scheduler_class

    chosen = dict(typed)
    name = chosen.pop("scheduler", None) or detect(os.environ)
    if name not in known_names():
        known = known_names()
        raise InputError(
            f"--scheduler {name}: there is no such scheduler.{did_you_mean(name, known)} Known are "
            f"{', '.join(known)}."
        )
    if "extra_env_vars" in chosen:
        chosen["extra_env_vars"] = parse_pairs(chosen["extra_env_vars"], "--extra-env-vars")
    made = scheduler_class(name)
    _refuse_others(made, name, chosen)
    return made(**chosen)


def _refuse_others(made: type[Scheduler], name: str, chosen: Mapping[str, Any]) -> None:
    """Refuse options that this scheduler does not have, such as the queue of LocalScheduler."""
    takes = inspect.signature(made).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()):
        return
    for option in chosen:
        if not {option, ALIASES.get(option, option)} & set(takes):
            limit = " --max-jobs limits the number of jobs." if option == "max_cores" else ""
            raise InputError(
                f"--{option.replace('_', '-')} is not an option of --scheduler {name}: leave it "
                f"out.{limit}"
            )


def scheduler_of_run(folder: RunFolder, typed: Mapping[str, Any]) -> tuple[Scheduler, str]:
    """Choose the scheduler of a run that may have been started before.

    A run stays on its batch system unless another is typed: its jobs are there.

    Returns
    -------
    scheduler : Scheduler
    remark : str
        What of the last start it keeps; "" if nothing.
    """
    from adaptive_scheduler.io.pickling.callables_file import read_callable

    if "scheduler" in typed or not folder.callables.exists():
        return make_scheduler(typed), ""
    former: Scheduler = read_callable(folder.callables, "scheduler")
    if not typed:
        return former, (
            f"Scheduler and resources are those of the last start ({former.name}). For others, "
            "give --scheduler and --cores."
        )
    remark = (
        f"The scheduler is that of the last start: {former.name}. For another, give --scheduler."
    )
    return make_scheduler({"scheduler": former.name, **typed}), remark
