"""Write the table of the field's faults and the tests that bear their numbers: ``python -m docs.faults``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

BEGIN, END = "<!-- faults -->", "<!-- end of faults -->"
DOCUMENT = Path(__file__).with_name("reliability.md")

#: The faults that programs of this field have, by the numbers that tests are named after.
WORDS = {
    1: "Everything since the last save is lost at SIGTERM, walltime, preemption",
    2: "An exception of the function loses the same",
    3: "A data file that cannot be read is overwritten by a fresh start",
    4: 'A full disk is swallowed: the job reports "done"',
    5: "A duration as goal counts the time in the queue",
    6: "Results in flight when the goal is met are thrown away",
    7: "A restarted manager gives running learners a second job",
    8: "An existing database cannot be resumed",
    9: "Jobs that are suspended, completing, requeued, … count as dead",
    10: "One empty answer of the queue: all jobs dead, all resubmitted",
    11: "A requeued job with its old id is refused",
    12: "A job that speaks before its submit was noted is refused",
    13: "Running a cell again cancels jobs of the same name",
    14: "One learner that always raises starves the others, then ends the run; one budget for all failures",
    15: "One senseless message stops the manager",
    16: "A submit that failed ten times is booked as submitted",
    17: "A busy or restarting controller, or a limit, ends the run",
    18: "One bad node eats all retries",
    19: "One dead MPI rank takes the pool and its learner",
    20: "Bytes that reach the port are unpickled",
    21: "Secrets in command lines, scripts, logs, readable files",
    22: "One allocation per learner",
    23: "Jobs are left when the work is done, on Ctrl-C, on a dead kernel",
    24: "Costs grow with the number of learners",
    25: "Storms of `squeue`; one process per submit, per cancel",
    26: "Several files per task; the data rewritten at every save",
    27: "A learner fails without a readable word, without a history",
    28: "The real path is never run: PBS jobs had not started for a year",
    29: 'A path with a blank; a partition `debug2` with "2 cores"; names cut at a column\'s width',
    30: "Bytes that are no UTF-8 break the view of a log",
    31: "Programs that count on fork (Python 3.14)",
    32: "Things that only look equal: `str(array)` as a key, names made of the first element and a length",
    33: "What was fetched runs by the order of ids, and can be neither cancelled nor moved",
    34: "Tasks of a dead pool stay running for ever, and so do their futures",
    35: "A second report of a task overwrites the first result",
    36: "A stop is a task: it overtakes what is queued, and stops one pool of several",
    37: "Payloads with the separators of the wire break it",
    38: "Killed by a signal, or out of time, counts as success",
    39: "A killed command is remembered as running and skipped when run again; its children live on",
    40: "The tool exits with 0 although tasks failed",
    41: "`CUDA_VISIBLE_DEVICES=0 a && b > log`: only `a` sees the GPU, only `b` writes the log",
    42: "A changed default or template does not run anything again: names do not show it",
    43: "Names collide, and the tasks share a folder; with one folder for all they share one status file",
    44: "An exception in a worker thread ends that worker; the queue is waited for, for ever",
    45: "A numeric value of an option is dropped silently; an unseeded sample differs at every run",
    46: "The optimiser is not told of points in flight: a third of the new ones are near copies of pending ones",
    47: "Asking and telling block the loop: the slots idle at every completion",
    48: "The driver's death loses what it knew; a result can be collected once only",
    49: "Retries after a time-out have no limit",
    50: "One launcher hoards tasks that others could run",
    51: "A task that fits nothing waits for ever without a word",
    52: "One segfault breaks every future of the pool",
}
#: Why a fault cannot occur here; such a one needs no test.
REASONS: dict[int, str] = {}

#: Prints of each test that pytest collects its name, and what it is marked with. Modules that name no
#: fault are not imported: with them it takes twice as long.
_COLLECT = """
import json, sys
import pytest

class Listing:
    def pytest_ignore_collect(self, collection_path):
        if collection_path.name.startswith("test_") and b"test_fault_" not in collection_path.read_bytes():
            return True

    def pytest_collection_modifyitems(self, items):
        found = [[item.originalname, [mark.name for mark in item.iter_markers()]]
                 for item in items if isinstance(item, pytest.Function)]
        sys.stdout.write("\\nFOUND " + json.dumps(found) + "\\n")

sys.exit(pytest.main(["--collect-only", "-qq", "-s", "-p", "no:cacheprovider"], plugins=[Listing()]))
"""


def numbers(name: str) -> list[int]:
    """Faults that a test's name names: ``test_fault_07_08_…`` are 7 and 8."""
    found = re.match(r"test_fault((?:_\d\d)+)_[a-z]", name)
    return [int(number) for number in found[1].split("_") if number] if found else []


def collected() -> list[tuple[str, set[str]]]:
    """All tests that pytest collects in modules that name a fault: name and marks."""
    done = subprocess.run(
        [sys.executable, "-c", _COLLECT],
        cwd=DOCUMENT.parents[1], capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    found = re.search(r"^FOUND (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pytest collects nothing: {done.stdout}{done.stderr}")
    return [(name, set(marks)) for name, marks in json.loads(found[1])]


def table(tests: list[tuple[str, set[str]]]) -> str:
    """The table as Markdown: one line for each fault."""
    lines = ["| | fault | tests, or why it cannot occur |", "|---|---|---|"]
    for number, words in WORDS.items():
        names = sorted({name for name, _ in tests if number in numbers(name)})
        told = ", ".join(f"`{name}`" for name in names) or REASONS.get(number, "")
        lines.append(f"| {number} | {words} | {told} |")
    return "\n".join(lines)


def inserted(text: str, rows: str) -> str:
    """The document with this table between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{rows}\n\n{END}{tail}"


if __name__ == "__main__":
    rows = table(collected())
    DOCUMENT.write_text(inserted(DOCUMENT.read_text(), rows))
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
