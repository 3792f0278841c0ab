"""The manager of a run there, as connections here find it: behind a socket that leads to its port."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.errors import ManagerUnreachableError
from adaptive_scheduler.io.ssh.far_place import FarPlace
from adaptive_scheduler.io.ssh.tunnel import Tunnel, socket_folder
from adaptive_scheduler.io.transport.addresses import Address
from adaptive_scheduler.io.transport.keys import KeyPair


class Seen(msgspec.Struct, frozen=True):
    """What was read there.

    Attributes
    ----------
    identity : list
        Of ``manager.json``; an other one has other content.
    address : Address
    keys : (str, str)
        Public and secret one of a client.
    to : list of (str, int)
        Hosts and ports of the manager, as the host there may reach it.
    """

    identity: list[Any]
    address: Address
    keys: tuple[str, str]
    to: list[tuple[str, int]]


class FarManager:
    """Where the manager is at the moment. Any thread may ask; one keeps the tunnel.

    Parameters
    ----------
    place : FarPlace
    database : Path
        For errors.
    """

    def __init__(self, place: FarPlace) -> None:
        self._place = place
        self.database = Path(place.path)
        self._folder = socket_folder()
        self._names = (Path(self._folder.name, str(n)) for n in itertools.count())
        self._looking = threading.Lock()
        self._seen: Seen | None = None
        self._tunnel: Tunnel | None = None

    def look(self, ask: Callable[[list[Any] | None], msgspec.Raw]) -> None:
        """Find the manager again if it has moved, or if the tunnel has ended.

        Parameters
        ----------
        ask : callable
            Given the identity of what was read last; returns a `Seen`, or None if that is still so.

        Raises
        ------
        FarHostError
        """
        with self._looking:
            before = self._seen
            found = msgspec.msgpack.decode(
                ask(None if before is None else before.identity), type=Seen | None
            )
            seen = found or before
            has_tunnel = self._tunnel is not None and self._tunnel.is_alive
            if seen is None or (seen is before and has_tunnel):
                return
            old, new = self._tunnel, Tunnel(self._place, os.environ, next(self._names), seen.to)
            self._seen, self._tunnel = seen, new
            if old is not None:
                old.end()

    def identity(self) -> object:
        """What changes when connections must be made anew."""
        return self._tunnel, self._tunnel and self._tunnel.failures

    def read_address(self) -> Address:
        """Where it is found from here; ManagerUnreachableError if nothing leads there now."""
        tunnel, seen = self._tunnel, self._seen
        if tunnel is None or seen is None or not tunnel.is_alive:
            raise ManagerUnreachableError(
                f"there is no connection to the manager of {self._place}."
            )
        if tunnel.is_forbidden:
            raise ManagerUnreachableError(
                f"{self._place.host} lets no port through ssh, so the manager there cannot be reached. "
                "AllowTcpForwarding must be on in its sshd_config: take another login node, or run this "
                "program there."
            )
        return msgspec.structs.replace(
            seen.address, urls=[f"ipc://{path}" for path in tunnel.paths]
        )

    def client_keys(self) -> KeyPair:
        """The keys of a client of this run."""
        assert self._seen is not None
        public, secret = self._seen.keys
        return KeyPair(public.encode(), secret.encode())

    def close(self) -> None:
        """End the tunnel."""
        with self._looking:
            if self._tunnel is not None:
                self._tunnel.end()
            self._folder.cleanup()
