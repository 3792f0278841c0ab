"""A clock that stands still until a test moves it."""

from __future__ import annotations

from adaptive_scheduler.manager.clients import Moment


class Clock:
    """Virtual time, on both clocks of a host.

    Parameters
    ----------
    wall : float
        Seconds since 1970 at the beginning.
    """

    def __init__(self, wall: float = 1.7e9) -> None:
        self._wall = wall
        self.monotonic = 0.0

    @property
    def moment(self) -> Moment:
        """The present instant, as managers want it."""
        return Moment(self._wall + self.monotonic, self.monotonic)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Let somebody set the host's clock."""
        self._wall += seconds
