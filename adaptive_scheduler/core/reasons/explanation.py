"""An answer to "why does this not run?": as a value, and as a paragraph."""

from __future__ import annotations

import re

import msgspec

from adaptive_scheduler.core.wire.reasons import Reason

#: States that are not what something is, but what became of it.
_BECOME = {"failed": "has failed", "cancelled": "was cancelled", "ended": "has ended"}
#: Of the form of `to_dict`: raised when a field changes its meaning or goes.
SCHEMA = 1


class Explanation(msgspec.Struct, frozen=True):
    """Why a learner, a task or a job does not run, or is not done. Printed, it is a paragraph.

    Attributes
    ----------
    kind : str
        ``learner``, ``task`` or ``job``.
    id : str
    name : str
        The fname of a learner, the name of a task; "" if it has none.
    state : str
        ``waiting``, ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``; of a job as the
        batch system calls it.
    reasons : list of Reason
        The most important first; each with ``cause``, ``text`` and ``remedy``.
    """

    kind: str
    id: str
    name: str
    state: str
    reasons: list[Reason]

    @property
    def cause(self) -> str:
        """The name of the most important cause, as in docs/explain.md."""
        return self.reasons[0].cause if self.reasons else "unknown"

    @property
    def text(self) -> str:
        """The paragraph: what holds, what to do about it, and what else holds."""
        name = f" ({self.name})" if self.name else ""
        head = f"{self.kind.capitalize()} {self.id}{name} {_BECOME.get(self.state, f'is {self.state}')}"
        if not self.reasons:
            return f"{head}, and nothing is known that keeps it from going on."
        first, *others = self.reasons
        parts = [f"{head}: {_ended(first.text)}"]
        if first.remedy:
            parts.append(f"What to do: {_ended(first.remedy)}")
        if others:
            parts.append(f"Also: {_ended('; '.join(one.text.rstrip('.') for one in others))}")
        return " ".join(parts)

    def to_dict(self) -> dict[str, object]:
        """Plain data, as ``explain --json`` prints them."""
        return {
            "schema_version": SCHEMA, "kind": self.kind, "id": self.id, "name": self.name,
            "state": self.state, "cause": self.cause, "text": self.text,
            "reasons": [msgspec.to_builtins(one) for one in self.reasons],
        }  # fmt: skip

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(self.text)}</p>"


def fill(text: str, run: str, item: str) -> str:
    """Return advice with the run and the item in the commands that it names.

    Parameters
    ----------
    text : str
        In which a command may name RUN and ID.
    run : str
        Quoted for a shell.
    item : str
        The id of the learner or the task.
    """

    def command(match: re.Match[str]) -> str:
        which = f" {item}" if match[2] or match[1] == "retry" else ""
        return f"adaptive-scheduler {match[1]} {run}{which}"

    return re.sub(r"adaptive-scheduler ((?:pool )?\w+) RUN\b( ID\b)?", command, text)


def _ended(text: str) -> str:
    """A sentence with its full stop."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
