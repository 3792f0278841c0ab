"""Removes the file that MPICH's launcher leaves behind when it is killed.

On each node hydra's proxy writes ``/tmp/hydra_hwloc_xmlfile_XXXXXX``, which the ranks read in
``MPI_Init``, and removes it at a normal end (mpich, src/pm/hydra/proxy). Its name is not published,
so the file of a world is identified by its time. Only files of this user are considered.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

_FOLDER = Path("/tmp")  # noqa: S108  fixed in the launcher
_NAMES = "hydra_hwloc_xmlfile_*"
_PROXY = "hydra_pmi_proxy"
#: Environment variable with the number of a rank on its node, set by hydra.
_LOCAL_RANK = "MPI_LOCALRANKID"
#: Seconds after its start within which another world may write its file.
_STARTING = 60.0
#: Seconds by which file times may be early: the kernel uses the time of its last tick.
_TICK = 0.05


def remove() -> list[str]:
    """Remove the file of this world, in the first rank of a node; call it after ``MPI_Init``.

    Returns
    -------
    list of str
        Candidates, if other worlds of this user started at the same time: to be removed when
        this world has ended.
    """
    me = psutil.Process()
    with suppress(psutil.Error, OSError):
        proxy = me.parent()
        if proxy is None or proxy.name() != _PROXY or os.environ.get(_LOCAL_RANK) != "0":
            return []
        ours = _written(me.create_time() - _TICK, time.time() + _TICK)
        if len(ours) == 1 and not _others_start(proxy, me.create_time()):
            ours[0].unlink(missing_ok=True)
            return []
        return [os.fspath(path) for path in ours]
    return []


def _written(begin: float, end: float) -> list[Path]:
    """Files of this user that were written between two times."""
    found = []
    for path in _FOLDER.glob(_NAMES):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.getuid() and begin <= status.st_mtime <= end:
                found.append(path)
    return sorted(found)


def _others_start(proxy: psutil.Process, began: float) -> bool:
    """Whether another world of this user may be starting."""
    return any(
        process.pid != proxy.pid
        and process.info["name"] == _PROXY
        and process.info["create_time"] > began - _STARTING
        for process in psutil.process_iter(["name", "create_time"])
    )
