"""Small things for scripts: names of files, splitting, loading, tables, goals, a shared cache.

Each is in a room of `adaptive_scheduler.runs.compat`, and is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.runs.compat.atomic_writes import atomic_write
    from adaptive_scheduler.runs.compat.combo_names import (
        add_constant_to_fname,
        combo2fname,
        combo_to_fname,
        maybe_round,
        round_sigfigs,
    )
    from adaptive_scheduler.runs.compat.content import hash_anything
    from adaptive_scheduler.runs.compat.frame_files import (
        expand_dict_columns,
        fname_to_dataframe,
        load_dataframes,
        save_dataframe,
    )
    from adaptive_scheduler.runs.compat.load_save import load_parallel, save_parallel
    from adaptive_scheduler.runs.compat.logs.job_log import log_exception
    from adaptive_scheduler.runs.compat.objects.ipyparallel_client import connect_to_ipyparallel
    from adaptive_scheduler.runs.compat.objects.learner_pickles import (
        cloudpickle_learners,
        fname_to_learner,
        fname_to_learner_fname,
    )
    from adaptive_scheduler.runs.compat.objects.timed_methods import add_timing_to_object
    from adaptive_scheduler.runs.compat.objects.wrapped_function import WrappedFunction
    from adaptive_scheduler.runs.compat.sequences import (
        combine_sequence_learners,
        copy_from_sequence_learner,
        shuffle_list,
        split,
        split_in_balancing_learners,
        split_sequence_in_sequence_learners,
        split_sequence_learner,
    )
    from adaptive_scheduler.runs.compat.shared_cache import LRUCachedCallable, shared_memory_cache
    from adaptive_scheduler.runs.compat.smart_goals import smart_goal
    from adaptive_scheduler.runs.compat.waiting import (
        sleep_unless_task_is_done,
        track_file_creation_progress,
    )

__all__ = [
    "LRUCachedCallable",
    "WrappedFunction",
    "add_constant_to_fname",
    "add_timing_to_object",
    "atomic_write",
    "cloudpickle_learners",
    "combine_sequence_learners",
    "combo2fname",
    "combo_to_fname",
    "connect_to_ipyparallel",
    "copy_from_sequence_learner",
    "expand_dict_columns",
    "fname_to_dataframe",
    "fname_to_learner",
    "fname_to_learner_fname",
    "hash_anything",
    "load_dataframes",
    "load_parallel",
    "log_exception",
    "maybe_round",
    "round_sigfigs",
    "save_dataframe",
    "save_parallel",
    "shared_memory_cache",
    "shuffle_list",
    "sleep_unless_task_is_done",
    "smart_goal",
    "split",
    "split_in_balancing_learners",
    "split_sequence_in_sequence_learners",
    "split_sequence_learner",
    "track_file_creation_progress",
]

_ROOMS = {
    "atomic_writes": ("atomic_write",),
    "combo_names": (
        "add_constant_to_fname", "combo2fname", "combo_to_fname", "maybe_round", "round_sigfigs",
    ),
    "content": ("hash_anything",),
    "frame_files": (
        "expand_dict_columns", "fname_to_dataframe", "load_dataframes", "save_dataframe",
    ),
    "load_save": ("load_parallel", "save_parallel"),
    "logs.job_log": ("log_exception",),
    "objects.ipyparallel_client": ("connect_to_ipyparallel",),
    "objects.learner_pickles": ("cloudpickle_learners", "fname_to_learner", "fname_to_learner_fname"),
    "objects.timed_methods": ("add_timing_to_object",),
    "objects.wrapped_function": ("WrappedFunction",),
    "sequences": (
        "combine_sequence_learners", "copy_from_sequence_learner", "shuffle_list", "split",
        "split_in_balancing_learners", "split_sequence_in_sequence_learners",
        "split_sequence_learner",
    ),
    "shared_cache": ("LRUCachedCallable", "shared_memory_cache"),
    "smart_goals": ("smart_goal",),
    "waiting": ("sleep_unless_task_is_done", "track_file_creation_progress"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            module = importlib.import_module(f"adaptive_scheduler.runs.compat.{room}")
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
