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
    "add_constant_to_fname",
    "atomic_write",
    "combine_sequence_learners",
    "combo2fname",
    "combo_to_fname",
    "copy_from_sequence_learner",
    "expand_dict_columns",
    "fname_to_dataframe",
    "hash_anything",
    "load_dataframes",
    "load_parallel",
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
