"""Changes a run of learners: its manager does it, or, if there is none, it is done on disk."""

from __future__ import annotations

from collections.abc import Sequence

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import CANCELLED, LEARNER
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs import offline
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.start.launch import start_and_wait


def cancel(client: ManagerClient) -> int:
    """End the run; returns how many of its items had not ended."""
    return client.change(client.cancel, lambda: _cancel_on_disk(client))


def _cancel_on_disk(client: ManagerClient) -> int:
    n = offline.cancel(client.folder)
    if n is not None:
        return n
    start_and_wait(client.folder, client)  # a manager must cancel the jobs
    return client.cancel()


def cancel_items(client: ManagerClient, rows: Sequence[int]) -> int:
    """End these rows alone; returns how many had not ended before."""
    return client.change(
        lambda: client.cancel_items(rows), lambda: offline.cancel_items(client.folder, rows)
    )


def resume(client: ManagerClient) -> int:
    """Go on; returns how many cancelled rows are queued again.

    Raises
    ------
    RunError
        The file of its learners is missing.
    """
    refuse_without_learners(client.folder)
    return client.change(
        lambda: _let_resume(client),
        lambda: start_if_needed(client, offline.resume(client.folder)),
    )


def _let_resume(client: ManagerClient) -> int:
    cancelled = [row.id for row in client.snapshot("all").items if row.phase is CANCELLED]
    n = client.retry(cancelled) if cancelled else 0
    client.resume()
    return n


def refuse_without_learners(folder: RunFolder) -> None:
    """Refuse to go on with a run whose jobs would all die, as they find no learners.

    Those of a user's own script make theirs, and a run without callables has been given none.
    """
    if folder.learners.exists() or not folder.callables.exists():
        return
    config = read_config(folder)
    if config.kind == LEARNER and config.run_script is None:
        raise RunError(
            f"{folder.learners} is missing: jobs would have no learners to run. Put it back, or call "
            "start() with the same learners and fnames again, in the same place; what is done stays done."
        )


def start_if_needed(client: ManagerClient, n: int) -> int:
    """Start a manager unless all learners have ended; returns `n`."""
    if n or not client.snapshot("none").over:
        start_and_wait(client.folder, client)
    return n


def retry(client: ManagerClient, rows: Sequence[int]) -> int:
    """Queue these rows again, also those that are done; returns how many.

    Raises
    ------
    RunError
        The file of its learners is missing.
    """
    refuse_without_learners(client.folder)
    return client.change(
        lambda: _let_retry(client, rows),
        lambda: start_if_needed(client, offline.retry(client.folder, rows)),
    )


def _let_retry(client: ManagerClient, rows: Sequence[int]) -> int:
    n = client.retry(rows, reopen=True)
    client.resume()
    return n
