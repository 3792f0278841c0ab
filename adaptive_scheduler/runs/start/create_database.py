"""Creates a database for `manage_database` and `manage_jobs`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.combos import plain_values
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.errors import DatabaseError, InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.prepare import held
from adaptive_scheduler.runs.start.previous_run import former_rows


class _AnyLearner:
    """Placeholder for a learner that is not known here; its fname may be a list of any length."""

    def __init__(self, fname: Any) -> None:
        self.learners = fname


def create(
    folder: RunFolder, names: Sequence[Any], combos: Sequence[Mapping[str, Any]] | None
) -> None:
    """Create a database, and rename an old one to ``.old``; raises as `create_empty_db`."""
    given = names if isinstance(names, str) or not hasattr(names, "__len__") else list(names)
    learners = [_AnyLearner(name) for name in given] if isinstance(given, list) else []
    absolute = fnames.absolute_fnames(given, learners)
    plain_combos = None if combos is None else check_combos(combos, len(absolute))
    if not absolute:
        raise InputError("fnames is empty: there is nothing to run.")
    fnames.refuse_unwritable_folder(str(folder.home), "db_fname")
    for path in (folder.folder, folder.scripts, folder.ends):
        files.private_folder(path)
    with held(folder):
        former = former_rows(folder, overwrite=True)
        items = [
            Item(row, fname, Phase.QUEUED, token=former.token) for row, fname in enumerate(absolute)
        ]
        tables = row_codec.new_tables(items, plain_combos)
        run = read_config(folder).run if folder.config.exists() else secrets.token_hex(4)
        config = RunConfig(run, [Resources()], ["adaptive-scheduler"], str(folder.logs))
        write_config(folder, config)
        database.create(folder.database, {**tables, **former.tables})


def config_of(folder: RunFolder) -> RunConfig:
    """Read the settings of a database; DatabaseError if there is none."""
    if not folder.database.exists():
        raise DatabaseError(
            folder.database, "does not exist. Make it with create_empty_db(db_fname, fnames)."
        )
    return read_config(folder)


def check_combos(combos: Any, n: int) -> list[dict[str, Any]]:
    """Return combos as the database stores them: NumPy's scalars and arrays become Python's.

    Raises
    ------
    InputError
        Their number is not n, or one holds what cannot be stored.
    """
    if isinstance(combos, (str, Mapping)) or not hasattr(combos, "__len__") or len(combos) != n:
        count = len(combos) if hasattr(combos, "__len__") else "no"
        raise InputError(
            f"There are {n} fnames, but {count} combos: give a list with one combo (a dict) for "
            "each fname."
        )
    return [_checked(combo, f"combos[{place}]") for place, combo in enumerate(combos)]


def _checked(combo: Any, where: str) -> dict[str, Any]:
    if not isinstance(combo, Mapping):
        raise InputError(f"{where}={combo!r} is no dict of parameters.")
    for key, value in combo.items():
        try:
            msgspec.json.encode(plain_values(value))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{where}[{key!r}]={value!r} cannot be stored: {error}. Use numbers, texts, None, "
                "or lists and dicts of them."
            ) from error
    stored: dict[str, Any] = plain_values(combo)
    return stored
