"""Connects to a cluster of ipyparallel that somebody else started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.errors import EnvironmentMismatchError


def connect_to_ipyparallel(
    n: int,
    profile: str,
    timeout: int = 300,
    folder: str | None = None,
    client_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Return a client of the cluster, when so many engines are there.

    Parameters
    ----------
    n : int
        Engines to wait for.
    profile : str
        Its IPython profile.
    timeout : int
        Seconds to wait for them.
    folder : str, optional
        Is added to the path of the engines, for their imports.
    client_kwargs : mapping, optional
        Of ``ipyparallel.Client``.

    Raises
    ------
    EnvironmentMismatchError
        ipyparallel is not installed.
    TimeoutError
        There were fewer engines when the time was over.
    """
    try:
        import ipyparallel
    except ModuleNotFoundError as error:
        raise EnvironmentMismatchError(
            "ipyparallel is not installed: pip install 'adaptive-scheduler[ipyparallel]'"
        ) from error
    client = ipyparallel.Client(profile=profile, **(client_kwargs or {}))
    client.wait_for_engines(n, timeout=timeout, interactive=False)
    engines = client[:]
    engines.use_cloudpickle().get(timeout)
    if folder is not None:
        engines.apply_async(_add_to_path, os.path.expanduser(folder)).get(timeout)
    return client


def _add_to_path(folder: str) -> None:
    import sys

    sys.path.append(folder)
