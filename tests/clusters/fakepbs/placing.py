"""Which hosts the fake scheduler gives to a job's chunks, as ``place=`` says."""

from __future__ import annotations

from model import Request

Placed = list[tuple[str, dict[str, str]]]


def place(request: Request, free: dict[str, int]) -> Placed | None:
    """Each chunk with its host; None if they do not fit into what is free."""
    chunks = [chunk for count, chunk in request.chunks for _ in range(count)]
    arrangement = request.place.partition(":")[0]
    for (
        host,
        cores,
    ) in free.items():  # whatever fits on one host is put there, unless it must be scattered
        if arrangement != "scatter" and sum(map(_cores, chunks)) <= cores:
            return [(host, chunk) for chunk in chunks]
    if arrangement == "pack":
        return None
    left, placed = dict(free), []
    for chunk in chunks:
        host = next((name for name, cores in left.items() if cores >= _cores(chunk)), None)
        if host is None:
            return None
        placed.append((host, chunk))
        left[host] -= _cores(chunk)
        if arrangement == "scatter":
            del left[host]
    return placed


def _cores(chunk: dict[str, str]) -> int:
    return int(chunk.get("ncpus", 1))
