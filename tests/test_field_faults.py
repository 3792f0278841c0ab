"""Every fault of the field has a test named after its number, or a reason in docs/reliability.md."""

from __future__ import annotations

import pytest

from docs import faults

#: Tests with these may be left out: Slurm or MPI is missing, or the test says so itself.
MAY_BE_SKIPPED = {"slurm", "mpi", "skip", "skipif", "xfail"}


@pytest.fixture(scope="module")
def tests() -> list[tuple[str, set[str]]]:
    return faults.collected()


def test_every_fault_has_a_test_that_runs_everywhere_or_a_reason(
    tests: list[tuple[str, set[str]]],
) -> None:
    covered = {
        number
        for name, marks in tests
        if not marks & MAY_BE_SKIPPED
        for number in faults.numbers(name)
    }
    named = {name for name, _ in tests if faults.numbers(name)}
    print(f"{len(named)} tests bear the number of a fault; {len(faults.REASONS)} faults a reason")
    wanted = list(range(1, 53))
    assert list(faults.WORDS) == wanted
    assert set(faults.WORDS) - covered - set(faults.REASONS) == set()
    assert {number for name in named for number in faults.numbers(name)} <= set(faults.WORDS)


def test_the_documented_tests_are_those_that_are_there(tests: list[tuple[str, set[str]]]) -> None:
    assert faults.table(tests) in faults.DOCUMENT.read_text(), "run: python -m docs.faults"
