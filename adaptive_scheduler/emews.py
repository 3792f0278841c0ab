"""Files of EMEWS workflows: what is in them, as pools and tasks of this package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adaptive_scheduler.runs.emews.workflow import Workflow

__all__ = ["read_config"]


def __dir__() -> list[str]:
    return sorted(__all__)


def read_config(path: str | os.PathLike[str]) -> Workflow:
    """Read the YAML file of an EMEWS workflow, and check all of it; nothing is started.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Workflow
        With ``file`` (its numbers), ``tag`` (of its tasks), ``notes``, and the methods ``executor``,
        ``add_pool`` and ``refit``.

    Raises
    ------
    InputError
        Names the file, the key, what is wrong and what to write.

    Examples
    --------
    >>> workflow = read_config("config.yaml")  # doctest: +SKIP
    >>> with workflow.executor("experiment1") as executor: ...  # doctest: +SKIP
    """
    from adaptive_scheduler.runs.emews.workflow import read_workflow

    return read_workflow(path)
