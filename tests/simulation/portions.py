"""Histories in portions, as two files of tests share them: one for each worker."""

from __future__ import annotations

from tests.simulate import KINDS, Kind

#: Histories of one test.
PORTION = 100


LEARNERS, TASKS = KINDS


def live_through(start: int, kind: Kind = LEARNERS) -> None:
    """Live through a portion; none may break, and none may be smaller than promised."""
    tally = kind.live(range(start, start + PORTION))
    assert not tally.violations, "\n".join(
        f"python -m tests.simulate {seed}-{seed} --of {kind.name} --trace  # {words}"
        for seed, words in tally.violations
    )
    least = dict(zip((kind.name, "jobs", "events", "faults"), tally.least, strict=True))
    print(
        f"{tally.histories} histories, {tally.histories / tally.seconds * 3600:,.0f} an hour of one "
        f"core's CPU, at least {least}, {tally.faults.total()} faults"
    )
    assert tally.histories == PORTION
    assert all(n >= m for n, m in zip(tally.least, kind.least, strict=True))
