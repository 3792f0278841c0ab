"""The files of point journals: what is in them, and whose they are. Nothing here writes one.

One small file per owner of a learner, ``.HASH.TOKEN.points`` beside its data
file, where HASH stands for the data file's name (which may use all 255 bytes)
and TOKEN is the owner's lease. It holds records: a mark, length, checksum, and
the pickle of a list of (x, y), with x as `adaptive_load.compact` makes it.
"""

from __future__ import annotations

import pickle
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from adaptive_scheduler.errors import USER_RAISES, DataFileError
from adaptive_scheduler.io.storage import files

_MARK = b"\x93ASP"
_HEAD = struct.Struct("<4sII")
_NAME = re.compile(r"\.(?P<hash>[0-9a-f]{16})\.(?P<token>\d+)\.points")

Points = list[tuple[Any, Any]]


def journal_path(fname: str, token: int) -> Path:
    """Where the owner with this token keeps the points of `fname`."""
    return Path(fname).parent / f".{files.short_hash(fname)}.{token:012d}.points"


@dataclass
class ReadJournal:
    """A journal as it was read.

    Attributes
    ----------
    path : Path
        The file.
    token : int
        Its owner's lease.
    points : list of (x, y)
        The points of all whole records, in the order they were written.
    size : int
        Bytes read.
    torn : int
        Bytes of an unfinished record at the end: its writer was killed.
    damaged : int
        Bytes that are no record, before the end.
    """

    path: Path
    token: int
    points: Points = field(default_factory=list)
    size: int = 0
    torn: int = 0
    damaged: int = 0


#: The journals of one folder: for each data file's hash the tokens and paths, by token.
Listed = Mapping[str, list[tuple[int, Path]]]


def list_journals(folder: Path) -> Listed:
    """All journals in a folder; none if there is no such folder. Raises DataFileError."""
    with files.naming(folder, DataFileError):
        try:
            names = files.operations.names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return {}
    listed: dict[str, list[tuple[int, Path]]] = {}
    for name in names:
        if name.endswith(".points") and (match := _NAME.fullmatch(name)) is not None:
            listed.setdefault(match["hash"], []).append((int(match["token"]), folder / name))
    for found in listed.values():
        found.sort()
    return listed


def read_journals(fname: str, listed: Listed | None = None) -> Iterator[ReadJournal]:
    """All journals beside a data file, by token.

    Parameters
    ----------
    fname : str
        The data file.
    listed : mapping, optional
        What `list_journals` gave for its folder; default: the folder is listed now.

    Raises
    ------
    PermissionsError
        One belongs to another user, or others may write it: journals are pickles.
    DataFileError
        One cannot be read, or its values cannot be unpickled here.
    """
    if listed is None:
        listed = list_journals(Path(fname).parent)
    if not listed:
        return
    for token, path in listed.get(files.short_hash(fname), ()):
        try:
            content = files.read_private(path, DataFileError)
        except DataFileError as error:
            # its owner saved and deleted it; NFS lists it for up to a minute longer
            if isinstance(error.__cause__, FileNotFoundError):
                continue
            raise
        yield read_content(path, token, content)


def read_content(path: Path, token: int, content: bytes) -> ReadJournal:
    """What the bytes of a journal hold. Raises DataFileError."""
    try:
        points, torn, damaged = decode(content)
    except USER_RAISES as error:  # the border to the user's classes
        raise DataFileError(
            path,
            f"its values cannot be unpickled here ({type(error).__name__}: {error}). Their modules "
            "must be importable on this node.",
        ) from error
    return ReadJournal(path, token, points, len(content), torn, damaged)


def encode(points: Points) -> bytes:
    """One record; `decode` is its opposite."""
    try:
        payload = pickle.dumps(points, protocol=pickle.HIGHEST_PROTOCOL)
    except USER_RAISES:  # the border to the user's values: classes of __main__
        payload = cloudpickle.dumps(points, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


def decode(content: bytes) -> tuple[Points, int, int]:
    """All points of a journal.

    Returns
    -------
    points : list of (x, y)
    torn : int
        Bytes of an unfinished record at the end.
    damaged : int
        Bytes that are no record, before the end.
    """
    points: Points = []
    position = damaged = 0
    while position < len(content):
        payload = _payload(content, position)
        if payload is not None:
            points.extend(pickle.loads(payload))
            position += _HEAD.size + len(payload)
            continue
        following = _next_record(content, position + 1)
        if following is None:
            return points, len(content) - position, damaged
        damaged += following - position
        position = following
    return points, 0, damaged


def _payload(content: bytes, position: int) -> bytes | None:
    """The payload of the record at `position`, or None if there is no whole one."""
    if len(content) < position + _HEAD.size:
        return None
    mark, length, checksum = _HEAD.unpack_from(content, position)
    start = position + _HEAD.size
    payload = content[start : start + length]
    is_whole = mark == _MARK and len(payload) == length and zlib.crc32(payload) == checksum
    return payload if is_whole else None


def _next_record(content: bytes, position: int) -> int | None:
    while (position := content.find(_MARK, position)) >= 0:
        if _payload(content, position) is not None:
            return position
        position += 1
    return None
