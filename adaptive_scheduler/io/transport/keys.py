"""CURVE keys of a run: created once, in a place that only its user can read."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zmq

from adaptive_scheduler.core.paths import state_folder
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import PermissionsError
from adaptive_scheduler.io.disk import files

#: A file in the key folder of a run whose file system has no modes; it names a folder in the
#: user's state folder, where the keys are.
_EXTERNAL = "elsewhere"
_NAME = re.compile(rb"[0-9a-f]{32}")


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, Z85-encoded as zmq takes it (40 bytes each)."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Without the secret: representations end up in logs and notebooks."""
        return f"KeyPair(public={self.public.decode()!r}, secret=…)"


def load_or_make(folder: Path, name: str) -> KeyPair:
    """Load the key pair `name` of a run, or create it.

    Parameters
    ----------
    folder : Path
        The run's key folder, created with mode 0700. Where chmod has no effect (CIFS, FAT)
        others could read it, so the keys are put into the user's state folder.
    name : str
        ``server`` or ``client``.

    Raises
    ------
    PermissionsError
        The folder or the file is open to others, or belongs to another user.
    """
    files.private_folder(folder)
    place = _external_folder(folder)
    if place is None:
        place = _make_external(folder) if files.is_open_to_others(folder) else folder
    path = place / f"{name}.key"
    if not path.exists():
        public, secret = zmq.curve_keypair()
        text = msgspec.json.encode({"public": public.decode(), "secret": secret.decode()})
        files.write_atomically(path, text, mode=0o600)
    return _read(path)


def load(folder: Path, name: str) -> KeyPair:
    """Load the key pair `name`; PermissionsError if others could have read or changed it."""
    if folder.exists():
        files.private_folder(folder)
    return _read((_external_folder(folder) or folder) / f"{name}.key")


def remove_external(folder: Path) -> None:
    """Delete the keys of a finished run from the user's state folder; created again if needed."""
    place = _external_folder(folder) if folder.exists() else None
    if place is not None:
        (folder / _EXTERNAL).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)


def _external_folder(folder: Path) -> Path | None:
    """The folder in the user's state folder that holds the keys of this key folder, if any."""
    note = folder / _EXTERNAL
    if not note.exists():
        return None
    name = files.read_private(note)
    if not _NAME.fullmatch(name):
        raise PermissionsError(
            note, "is not of the expected form. Remove it while no manager runs."
        )
    return files.private_folder(state_folder(os.environ) / "keys" / name.decode())


def _make_external(folder: Path) -> Path:
    name = secrets.token_hex(16)
    files.private_folder(state_folder(os.environ))
    parent = files.private_folder(state_folder(os.environ) / "keys")
    if files.is_open_to_others(parent):
        raise PermissionsError(
            folder,
            f"chmod has no effect here, nor in {parent}: there is no place for keys that others "
            "cannot read. Choose a folder on another file system, or set XDG_STATE_HOME to one.",
        )
    files.private_folder(parent / name)
    files.write_atomically(folder / _EXTERNAL, name.encode(), mode=0o600)
    return parent / name


def _read(path: Path) -> KeyPair:
    if path.exists() and files.is_open_to_others(path):
        raise PermissionsError(
            path, f"is a key that other users can read. Mend it with: chmod 600 {shlex.quote(str(path))}"
        )  # fmt: skip
    try:
        pair = msgspec.json.decode(files.read_private(path), type=dict[str, str])
        return KeyPair(pair["public"].encode(), pair["secret"].encode())
    except (*NOT_DECODED, KeyError) as error:
        raise PermissionsError(
            path,
            f"is not a key file ({error}). Remove it while no manager runs; a new one is created.",
        ) from error
