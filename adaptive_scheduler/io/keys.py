"""CURVE keys of a run: made once, kept in its run folder, readable by its user only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import zmq

from adaptive_scheduler.errors import PermissionsError
from adaptive_scheduler.io import files


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, Z85-encoded as zmq wants it (40 bytes each)."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Never show a secret: representations end up in logs and notebooks."""
        return f"KeyPair(public={self.public.decode()!r}, secret=…)"


def load_or_make(folder: Path, name: str) -> KeyPair:
    """Load the key pair `name` from a private folder, or make it.

    Parameters
    ----------
    folder : Path
        Made with mode 0700; an existing one that is open to others is refused.
    name : str
        ``server`` or ``client``.

    Raises
    ------
    PermissionsError
        The folder or the file is open to others, or belongs to somebody else.
    """
    files.private_folder(folder)
    path = folder / f"{name}.key"
    if not path.exists():
        public, secret = zmq.curve_keypair()
        text = msgspec.json.encode({"public": public.decode(), "secret": secret.decode()})
        files.write_atomically(path, text, mode=0o600)
    return load(folder, name)


def load(folder: Path, name: str) -> KeyPair:
    """Load the key pair `name`; PermissionsError if others could have read or changed it."""
    path = folder / f"{name}.key"
    try:
        pair = msgspec.json.decode(files.read_private(path), type=dict[str, str])
        return KeyPair(pair["public"].encode(), pair["secret"].encode())
    except (msgspec.MsgspecError, KeyError) as error:
        raise PermissionsError(
            path,
            f"is not a key of ours ({error}). Remove it while no manager runs; it is made anew.",
        ) from error
