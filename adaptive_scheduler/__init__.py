"""Run many `adaptive` learners on many cores of a SLURM or PBS cluster.

The public names are imported on first use (PEP 562): importing this package
costs milliseconds, because it is imported on every node of every job.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler import (
        client_support,
        emews,
        errors,
        scheduler,
        server_support,
        sweeps,
        utils,
        widgets,
    )
    from adaptive_scheduler.core.options.run_options import Limits, Network, Saving
    from adaptive_scheduler.core.searches.space import Choices, Range
    from adaptive_scheduler.core.tasks.resources import TaskResources
    from adaptive_scheduler.optimizers.learner import OptimizerLearner
    from adaptive_scheduler.optimizers.ranking.learner import RankingLearner
    from adaptive_scheduler.optimizers.ranking.model import RankingModel, expected_improvement
    from adaptive_scheduler.runs.compat.learners.one_by_one import start_one_by_one
    from adaptive_scheduler.runs.compat.learners.several_runs import MultiRunManager
    from adaptive_scheduler.runs.compat.learners.slurm_run import slurm_run
    from adaptive_scheduler.runs.compat.tasks.slurm_executor import SlurmExecutor
    from adaptive_scheduler.runs.compat.tasks.slurm_task import SlurmTask
    from adaptive_scheduler.runs.driver.commands.command import Command
    from adaptive_scheduler.runs.driver.commands.value_rules import (
        exit_code,
        float_file,
        json_value,
        regex_value,
    )
    from adaptive_scheduler.runs.driver.executor import Executor
    from adaptive_scheduler.runs.run_manager import RunManager
    from adaptive_scheduler.runs.runner.runner import Runner
    from adaptive_scheduler.runs.search.search import Search
    from adaptive_scheduler.scheduler import PBS, SLURM, LocalScheduler

__all__ = [
    "PBS",
    "SLURM",
    "Choices",
    "Command",
    "Executor",
    "Limits",
    "LocalScheduler",
    "MultiRunManager",
    "Network",
    "OptimizerLearner",
    "Range",
    "RankingLearner",
    "RankingModel",
    "RunManager",
    "Runner",
    "Saving",
    "Search",
    "SlurmExecutor",
    "SlurmTask",
    "TaskResources",
    "__version__",
    "client_support",
    "emews",
    "errors",
    "exit_code",
    "expected_improvement",
    "float_file",
    "json_value",
    "regex_value",
    "scheduler",
    "server_support",
    "slurm_run",
    "start_one_by_one",
    "sweeps",
    "utils",
    "widgets",
]
__version__ = "3.0.0"

# What installs this package over its own former distribution leaves both, with files in common: pip cannot know.
_FORMER = f"{__path__[0]}/../adaptive_scheduler_mpi-{{}}.dist-info"
if any(os.path.exists(_FORMER.format(version)) for version in ("0.1.0", "0.2.0")):  # noqa: PTH110
    raise ImportError(
        "adaptive-scheduler-mpi, which is this package by its former name, is installed beside adaptive-scheduler, "
        "with files of the same names. Remove both, and install again: "
        "pip uninstall -y adaptive-scheduler-mpi adaptive-scheduler, then pip install adaptive-scheduler as before."
    )

_MODULES = (
    "client_support", "emews", "errors", "scheduler", "server_support", "sweeps", "utils", "widgets",
)  # fmt: skip
_NAMES = {
    "PBS": "scheduler",
    "SLURM": "scheduler",
    "Choices": "core.searches.space",
    "Command": "runs.driver.commands.command",
    "Executor": "runs.driver.executor",
    "Limits": "core.options.run_options",
    "LocalScheduler": "scheduler",
    "MultiRunManager": "runs.compat.learners.several_runs",
    "Network": "core.options.run_options",
    "OptimizerLearner": "optimizers.learner",
    "Range": "core.searches.space",
    "RankingLearner": "optimizers.ranking.learner",
    "RankingModel": "optimizers.ranking.model",
    "RunManager": "runs.run_manager",
    "Runner": "runs.runner.runner",
    "Saving": "core.options.run_options",
    "Search": "runs.search.search",
    "SlurmExecutor": "runs.compat.tasks.slurm_executor",
    "SlurmTask": "runs.compat.tasks.slurm_task",
    "TaskResources": "core.tasks.resources",
    "exit_code": "runs.driver.commands.value_rules",
    "expected_improvement": "optimizers.ranking.model",
    "float_file": "runs.driver.commands.value_rules",
    "json_value": "runs.driver.commands.value_rules",
    "regex_value": "runs.driver.commands.value_rules",
    "slurm_run": "runs.compat.learners.slurm_run",
    "start_one_by_one": "runs.compat.learners.one_by_one",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
