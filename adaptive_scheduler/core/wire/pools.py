"""Messages about pools: of drivers and people."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.tasks.pools import Pool


class AddPool(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Add a pool, or change the settings of the one of this name: its resources stay."""

    pool: Pool


class RemovePool(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Let a pool end: it is given nothing more, and its jobs end with what runs in them."""

    name: str


class Pools(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Asks for all pools."""


class PoolState(msgspec.Struct, frozen=True, gc=False):
    """A pool as it is at this moment.

    Attributes
    ----------
    pool : Pool
    waiting, running : int
        Jobs that have not started, and that have.
    cores, used : int
        Of its heads, and those of them that tasks occupy.
    tasks : int
        That its heads hold.
    """

    pool: Pool
    waiting: int
    running: int
    cores: int
    used: int
    tasks: int


class PoolList(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to Pools; removed ones are there too."""

    pools: list[PoolState]
