"""Where connections find the manager of a run, and the keys for it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.transport import keys
from adaptive_scheduler.io.transport.addresses import Address, read_address


class Whereabouts(Protocol):
    """Says where a manager listens.

    Attributes
    ----------
    database : Path
        Of the run, for errors.
    """

    database: Path

    def identity(self) -> object:
        """Return what changes when the manager has moved; called often."""

    def read_address(self) -> Address:
        """Return where it listens; ManagerUnreachableError if nobody knows."""

    def client_keys(self) -> keys.KeyPair:
        """Return the keys of a client."""


class InFolder:
    """The folder of a run on this machine's disks.

    Parameters
    ----------
    folder : RunFolder
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.database = folder.database

    def identity(self) -> object:
        """That of ``manager.json``."""
        try:
            return files.identity(self._folder.manager)
        except OSError:  # the file system is away: there is nothing new to read
            return None

    def read_address(self) -> Address:
        """As ``manager.json`` has it."""
        return read_address(self._folder)

    def client_keys(self) -> keys.KeyPair:
        """Those of the run's folder."""
        return keys.load(self._folder.keys, "client")
