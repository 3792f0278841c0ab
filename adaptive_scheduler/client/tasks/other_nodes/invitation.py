"""The file by which a head tells the other nodes of its job where it is, and what they need to begin."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adaptive_scheduler.client.tasks.head.allocation import GPU_VARIABLES, OF_NODE
from adaptive_scheduler.core.paths import JOB_VARIABLE, NODE_VARIABLE, RunFolder
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import FileError, PermissionsError
from adaptive_scheduler.io.disk import files


class Invitation(msgspec.Struct, frozen=True):
    """To the proxies of one head.

    Attributes
    ----------
    urls : list of str
        Where the head listens.
    server_key, public, secret : bytes
        The head's public key, and the pair of keys that it lets in.
    folder : str
        Of the run.
    job : str
        Its name for the manager.
    nodes : list of str
        All of the job, the head's own first.
    cores : int
        That were asked for on each.
    cwd : str
        Working directory of the head.
    environ : dict of bytes to bytes
        The head's.
    """

    urls: list[str]
    server_key: bytes
    public: bytes
    secret: bytes
    folder: str
    job: str
    nodes: list[str]
    cores: int
    cwd: str
    environ: dict[bytes, bytes]

    def environment_of(self, node: str, own: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the environment of a node's proxy, agent and tasks: the head's, but what is of the node.

        Parameters
        ----------
        node : str
            Its name.
        own : mapping of bytes to bytes
            What the launcher has started the process with.
        """
        gpus = [name.encode() for name in GPU_VARIABLES]
        # a node of which nobody says anything has the GPUs that the user named for the job
        replaced = gpus if any(name in own for name in gpus) else []
        environ = {name: value for name, value in self.environ.items() if name not in replaced}
        names = [*replaced, *(name.encode() for name in OF_NODE)]
        environ |= {name: own[name] for name in names if name in own}
        # as exported by a login profile; launchers pass on the head's
        environ |= (
            {b"HOSTNAME": os.fsencode(socket.gethostname())} if b"HOSTNAME" in environ else {}
        )
        environ[NODE_VARIABLE.encode()] = os.fsencode(node)
        environ[JOB_VARIABLE.encode()] = os.fsencode(self.job)
        return environ


def write_invitation(folder: RunFolder, invitation: Invitation) -> Path:
    """Write it where only this user can read it, in place of that of an earlier head of this job.

    Returns its path. PermissionsError where others could read it: it has keys, and the environment.
    """
    if files.is_open_to_others(files.private_folder(folder.invitations)):
        raise PermissionsError(
            folder.invitations,
            "chmod has no effect here, so others could read what the nodes of a job are told. Choose a "
            "folder on another file system, or give nodes=1.",
        )
    path = folder.invitations / files.short_hash(invitation.job)
    files.write_atomically(path, msgspec.msgpack.encode(invitation), mode=0o600)
    return path


def read_invitation(path: Path) -> Invitation:
    """Read it. FileError if it is gone, open to others, or of another version."""
    try:
        return msgspec.msgpack.decode(files.read_private(path), type=Invitation)
    except NOT_DECODED as error:
        raise FileError(path, f"is no invitation of this version: {error}") from error
