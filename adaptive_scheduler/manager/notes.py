"""What the job manager shows in `status` and writes to the log."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Notes:
    """Texts that `status` shows while they are not empty, and events for the log.

    Attributes
    ----------
    listing_error : str
        Why the queue cannot be listed.
    cancel_error : str
        Why the last cancel did not work.
    early_deaths : str
        How many jobs in a row died before they asked for work, and the last output of one.
    log : list
        Events and their facts, not yet written.
    """

    listing_error: str = ""
    cancel_error: str = ""
    early_deaths: str = ""
    log: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def record(self, event: str, **facts: object) -> None:
        """Add an event to the log."""
        self.log.append((event, facts))
