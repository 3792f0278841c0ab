"""Run many `adaptive` learners on many cores of a SLURM or PBS cluster.

The public names are imported on first use (PEP 562): importing this package
costs milliseconds, because it is imported on every node of every job.
"""

from __future__ import annotations

import importlib
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
    )
    from adaptive_scheduler.core.options.run_options import Limits, Network, Saving
    from adaptive_scheduler.core.searches.space import Choices, Range
    from adaptive_scheduler.core.tasks.resources import TaskResources
    from adaptive_scheduler.optimizers.learner import OptimizerLearner
    from adaptive_scheduler.optimizers.ranking.learner import RankingLearner
    from adaptive_scheduler.optimizers.ranking.model import RankingModel, expected_improvement
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

__all__ = [
    "Choices",
    "Command",
    "Executor",
    "Limits",
    "Network",
    "OptimizerLearner",
    "Range",
    "RankingLearner",
    "RankingModel",
    "RunManager",
    "Runner",
    "Saving",
    "Search",
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
    "sweeps",
    "utils",
]
__version__ = "0.2.0"

_MODULES = ("client_support", "emews", "errors", "scheduler", "server_support", "sweeps", "utils")
_NAMES = {
    "Choices": "core.searches.space",
    "Command": "runs.driver.commands.command",
    "Executor": "runs.driver.executor",
    "Limits": "core.options.run_options",
    "Network": "core.options.run_options",
    "OptimizerLearner": "optimizers.learner",
    "Range": "core.searches.space",
    "RankingLearner": "optimizers.ranking.learner",
    "RankingModel": "optimizers.ranking.model",
    "RunManager": "runs.run_manager",
    "Runner": "runs.runner.runner",
    "Saving": "core.options.run_options",
    "Search": "runs.search.search",
    "TaskResources": "core.tasks.resources",
    "exit_code": "runs.driver.commands.value_rules",
    "expected_improvement": "optimizers.ranking.model",
    "float_file": "runs.driver.commands.value_rules",
    "json_value": "runs.driver.commands.value_rules",
    "regex_value": "runs.driver.commands.value_rules",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
