"""What the job manager reports to people."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Notes:
    """Shown by `status`, as long as they are not empty; and events for the log.

    Attributes
    ----------
    held : str
        Why nothing is submitted until a person says so.
    blind : str
        Why the queue cannot be seen.
    cancel : str
        Why the last cancel did not work.
    early_deaths : str
        How many jobs in a row died before they asked for work, and the last words of one.
    log : list
        Events and their facts, not yet written.
    """

    held: str = ""
    blind: str = ""
    cancel: str = ""
    early_deaths: str = ""
    log: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def say(self, event: str, **facts: object) -> None:
        """Note an event for the log."""
        self.log.append((event, facts))
