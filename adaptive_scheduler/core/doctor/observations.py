"""What was observed of a machine, a node or a run: plain data, which a job writes to a file."""

from __future__ import annotations

import msgspec


class FolderSeen(msgspec.Struct, frozen=True):
    """A folder in which files were tried.

    Attributes
    ----------
    step : str
        What failed: ``write``, ``read`` or ``lock``; "" if nothing did.
    number, words : int, str
        Of the error (errno), if there was one.
    free, free_files : int, optional
        Bytes and files that may still be made; None if the file system does not say.
    """

    folder: str
    host: str
    step: str = ""
    number: int = 0
    words: str = ""
    free: int | None = None
    free_files: int | None = None


class UrlTried(msgspec.Struct, frozen=True):
    """An address of a manager: ``outcome`` is answered, silent, refused, unreachable or mute.

    ``silent``: no answer to the first packet; ``mute``: connected, but no reply to a request.
    """

    url: str
    outcome: str
    words: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """Something that was tried: what it gave, or the error.

    Attributes
    ----------
    found : str
    kind : str
        The error's class; "" if it worked.
    words : str
        The error's text.
    """

    found: str = ""
    kind: str = ""
    words: str = ""


class Exchange(msgspec.Struct, frozen=True):
    """A question and its answer, by a clock: seconds since 1970."""

    asked: float
    answered: float


class NodeReport(msgspec.Struct, frozen=True):
    """What a job saw on its node.

    Attributes
    ----------
    job : str
        Which process of the job wrote it.
    python, work : Attempt
        Packages; workers, or what tasks would have (`kind`).
    urls : list of UrlTried
    clock : Exchange, optional
        Of the first address that answered.
    """

    host: str
    job: str
    kind: str
    python: Attempt
    work: Attempt
    urls: list[UrlTried]
    folders: list[FolderSeen]
    clock: Exchange | None = None


class ProfileSeen(msgspec.Struct, frozen=True):
    """What a login shell did: its exit status (None: it hung), and what it printed of its own."""

    status: int | None
    reached: bool
    printed: str
    seconds: float


class HostSeen(msgspec.Struct, frozen=True):
    """Limits of a host for processes of this user.

    Attributes
    ----------
    cpu_seconds : float, optional
        None: no limit.
    files : int, optional
        None: no limit.
    kills_in : str
        The file that has ``KillUserProcesses=yes``; "" if none has, or if the user lingers.
    """

    cpu_seconds: float | None
    files: int | None
    kills_in: str


class LauncherSeen(msgspec.Struct, frozen=True):
    """An MPI launcher and the MPI of a Python.

    Attributes
    ----------
    name : str
        As it was given, or its path.
    version : str, optional
        What it prints of itself; None if it is not here.
    library : str
        Of mpi4py; "" if nobody knows.
    plugin : str
        Of ``srun --mpi=PLUGIN``; "" if none was given.
    plugins : list of str
        That srun has; empty if nobody knows.
    """

    name: str
    version: str | None
    library: str
    plugin: str = ""
    plugins: list[str] = []


class FileSeen(msgspec.Struct, frozen=True):
    """Owner and mode of a private file or folder; ``mode`` None: there is none."""

    path: str
    owner: int
    mode: int | None
    is_folder: bool = False


class LockSeen(msgspec.Struct, frozen=True):
    """Who holds a run's lock, and which managers live on this host.

    Attributes
    ----------
    holder : (str, int), optional
        Host and process; None if nobody holds it.
    alive : bool
    here : str
        This host.
    managers : list of int
        Processes on this host that serve this run.
    over : bool
        Nothing is left to be done.
    """

    holder: tuple[str, int] | None
    alive: bool
    here: str
    managers: list[int]
    over: bool
