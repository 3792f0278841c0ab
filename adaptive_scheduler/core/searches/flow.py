"""How many tasks of a search may be out, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass

from adaptive_scheduler.errors import InputError

#: What a failure does: issue no more and wait for what is out; go on; cancel what is out.
DRAIN, CONTINUE, ABORT = "drain", "continue", "abort"


@dataclass
class Flow:
    """Counts the tasks of a search.

    Parameters
    ----------
    max_tasks : int
        Tasks in all.
    initial : int
        Tasks at once in the beginning.
    concurrency : int
        Tasks that may be out later.
    on_failure : str
        ``drain``, ``continue`` or ``abort``.

    Attributes
    ----------
    issued, ended, failed : int
        Tasks so far; one that has failed has ended, too.
    """

    max_tasks: int
    initial: int
    concurrency: int
    on_failure: str = DRAIN
    issued: int = 0
    ended: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        if self.on_failure not in (DRAIN, CONTINUE, ABORT):
            raise InputError(
                f"on_failure={self.on_failure!r} must be 'drain' (issue no more, and wait), 'continue' or "
                "'abort' (cancel what runs)."
            )

    @property
    def out(self) -> int:
        """Tasks that were issued and have not ended."""
        return self.issued - self.ended

    @property
    def is_stopped(self) -> bool:
        """Whether a failure has ended the issuing."""
        return bool(self.failed) and self.on_failure != CONTINUE

    @property
    def left(self) -> int:
        """Tasks that are still to be issued."""
        return 0 if self.is_stopped else max(0, self.max_tasks - self.issued)

    @property
    def room(self) -> int:
        """Tasks that may be issued now."""
        limit = self.concurrency if self.ended else min(self.initial, self.concurrency)
        return max(0, min(self.left, limit - self.out))

    @property
    def is_over(self) -> bool:
        """Whether nothing is out, and nothing is to be issued."""
        return self.out == 0 and self.left == 0
