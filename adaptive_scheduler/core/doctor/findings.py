"""Results of `adaptive-scheduler doctor`, and how several of one check become one."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import msgspec

from adaptive_scheduler.core.doctor.table import CHECKS, FAULTS

#: Of the form of `as_json_value`: raised when a field changes its meaning or goes.
SCHEMA = 1


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"  # the check could not be made

    @property
    def is_bad(self) -> bool:
        """Whether a run may not work."""
        return self in (Level.FAULT, Level.UNKNOWN)


_ORDER = (Level.OK, Level.WARNING, Level.UNKNOWN, Level.FAULT)


class Finding(msgspec.Struct, frozen=True):
    """Result of one check.

    Attributes
    ----------
    check : str
        Its name in `CHECKS`.
    level : Level
    found : str
        What was seen.
    fault : str
        The name in `FAULTS` of what is wrong; "" if nothing is.
    remedy : str
        What to do about it.
    """

    check: str
    level: Level
    found: str = ""
    fault: str = ""
    remedy: str = ""

    @property
    def what(self) -> str:
        """The thing that was checked, in few words."""
        return CHECKS[self.check].what

    @property
    def ok(self) -> bool:
        """Whether a run may work with it."""
        return not self.level.is_bad


def fine(check: str, found: str) -> Finding:
    """Return the finding that nothing is wrong."""
    return Finding(check, Level.OK, found)


def wrong(fault: str, check: str = "", **facts: object) -> Finding:
    """Return the finding of a fault of the table.

    Parameters
    ----------
    fault : str
        Its name.
    check : str
        What found it, if not the check that mostly does.
    **facts
        What its sentence and its remedy have in braces.
    """
    one = FAULTS[fault]
    return Finding(
        check or one.check,
        Level(one.level),
        one.sentence.format(**facts),
        fault,
        one.remedy.format(**facts),
    )


def unknown(name: str, found: str, remedy: str = "") -> Finding:
    """Return the finding that a check could not be made."""
    return Finding(name, Level.UNKNOWN, found, "", remedy)


def worst(findings: Sequence[Finding], check: str, found: str) -> list[Finding]:
    """Return what is wrong; or, if nothing is, that `check` found this."""
    return list(findings) or [fine(check, found)]


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Keep one result for each check and fault, in the order of the first; bad ones replace good ones."""
    merged: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        merged.setdefault((finding.check, finding.fault), finding)
    bad = {check for check, fault in merged if fault}
    return [one for (check, fault), one in merged.items() if fault or check not in bad]


def exit_is_good(findings: Iterable[Finding]) -> bool:
    """Whether a program that asks may go on: warnings do not count."""
    return all(finding.ok for finding in findings)


def count_by_level(findings: Iterable[Finding]) -> dict[Level, int]:
    """Return how many there are of each level, the worst first; levels without any are left out."""
    levels = [finding.level for finding in findings]
    return {level: n for level in reversed(_ORDER) if (n := levels.count(level))}


def as_json_value(findings: Sequence[Finding]) -> dict[str, object]:
    """Return plain data for programs, see docs/doctor.md."""
    return {
        "schema_version": SCHEMA,
        "ok": exit_is_good(findings),
        "checks": [
            {
                "check": one.check, "what": one.what, "level": one.level.value, "ok": one.ok,
                "fault": one.fault, "found": one.found, "remedy": one.remedy,
            }
            for one in findings
        ],
    }  # fmt: skip
