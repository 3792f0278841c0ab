"""Requests that are answered when there is something to say."""

from __future__ import annotations

import msgspec


class Parked(msgspec.Struct, frozen=True):
    """No answer yet: there is nothing to say. `until`: on the manager's clock, then there must be one."""

    until: float
