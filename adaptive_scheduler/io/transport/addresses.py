"""Addresses: where a manager listens, published in ``manager.json``."""

from __future__ import annotations

import socket

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import FileError, InputError, ManagerUnreachableError
from adaptive_scheduler.io.disk import files


class Address(msgspec.Struct, frozen=True):
    """``manager.json``: where a manager listens.

    Attributes
    ----------
    urls : list of str
        Every address to try, ``tcp://host:port``.
    server_key : str
        The manager's public CURVE key.
    host, pid, instance
        Which process it is.
    """

    urls: list[str]
    server_key: str
    host: str
    pid: int
    instance: str


def read_address(folder: RunFolder) -> Address:
    """Read ``manager.json``; ManagerUnreachableError if no manager has written it yet."""
    try:
        return msgspec.json.decode(files.read_private(folder.manager), type=Address)
    except FileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ManagerUnreachableError(f"no manager runs for {folder.database}.") from error
        raise ManagerUnreachableError(str(error)) from error
    except NOT_DECODED as error:
        raise ManagerUnreachableError(f"{folder.manager} cannot be read: {error}.") from error


def write_address(folder: RunFolder, address: Address) -> None:
    """Publish where the manager listens, after the bind; replaces the file atomically."""
    files.write_atomically(folder.manager, msgspec.json.encode(address), mode=0o600)


def host_addresses(interface: str | None = None) -> list[str]:
    """IPv4 addresses of this host, without loopback if there are others.

    Parameters
    ----------
    interface : str, optional
        Only those of this network interface, or exactly this address.
    """
    import psutil

    found = {
        name: [a.address for a in addresses if a.family == socket.AF_INET]
        for name, addresses in psutil.net_if_addrs().items()
    }
    if interface is not None:
        every = [address for addresses in found.values() for address in addresses]
        chosen = found.get(interface, [interface] if interface in every else [])
        if not chosen:
            raise InputError(
                f"interface={interface!r} is not here. Choose one of {', '.join(sorted(found))}, "
                f"or an address of {', '.join(every)}."
            )
        return chosen
    outside = [a for addresses in found.values() for a in addresses if not a.startswith("127.")]
    return outside or ["127.0.0.1"]


def free_url(interface: str | None = None, ports: str | None = None) -> str:
    """A url of this host whose port is free at the moment."""
    host = host_addresses(interface)[0]
    low, high = port_range(ports)
    for port in range(low, high + 1) if ports else [0]:
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return f"tcp://{host}:{probe.getsockname()[1]}"
    raise InputError(f"ports={ports!r}: every one of them is in use on {host}.")


def split_url(url: str) -> tuple[str, int]:
    """Host and port of ``tcp://host:port``; InputError for anything else."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    if not url.startswith("tcp://") or not host or not port.isdigit():
        raise InputError(f"url={url!r} is not of the form 'tcp://host:port'.")
    return host, int(port)


def port_range(ports: str | None) -> tuple[int, int]:
    """First and last port of ``50000-50100``; None gives the dynamic ports of RFC 6335."""
    if ports is None:
        return 49152, 65535
    low, _, high = ports.partition("-")
    if not low.isdigit() or not (high or low).isdigit() or int(low) > int(high or low):
        raise InputError(f"ports={ports!r} is not of the form '50000-50100'.")
    return int(low), int(high or low)
