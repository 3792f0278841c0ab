"""Write the table of all public names of adaptive-scheduler 2.17, with what ours are: ``python -m docs.compat``.

Theirs are in ``compat.json``. ``python -m docs.compat --fetch`` makes that anew, with their package in a
temporary environment: it has the name of ours, so it is never installed beside it.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.options.aliases import ALIASES
from adaptive_scheduler.runs.compat.learners.accepted import KEPT, USUAL
from docs import public_api

THEIRS = "adaptive-scheduler==2.17.*"
BEGIN, END = "<!-- names -->", "<!-- end of names -->"
DOCUMENT = Path(__file__).with_name("migrating.md")
STORED = Path(__file__).with_name("compat.json")

SAME, DIFFERENT, MISSING, REFUSED = "same", "different", "missing", "refused"

#: Names that are not there on purpose, and what to use instead.
INSTEAD: dict[str, str] = {
    "scheduler.LocalMockScheduler": "`LocalScheduler`, which runs jobs on this machine",
    "server_support.DatabaseManager": "`RunManager`; `create_empty_db` and `manage_database` by hand",
    "server_support.JobManager": "`RunManager`; `manage_jobs` by hand",
}
#: Keywords that are accepted without effect, of those whose signature does not have them.
IGNORED: dict[str, frozenset[str]] = {
    "RunManager": frozenset(USUAL.keys() - KEPT),
    "SLURM": frozenset(["batch_folder"]),
    "PBS": frozenset(["batch_folder"]),
    "BaseScheduler": frozenset(["batch_folder"]),
    "DefaultScheduler": frozenset(["batch_folder"]),
}
#: Names whose parameters are the same, and which do something else: said above the table.
BEHAVES: frozenset[str] = frozenset(
    [
        "SlurmExecutor", "SlurmExecutor.finalize", "SlurmExecutor.map", "SlurmExecutor.shutdown",
        "SlurmExecutor.submit", "SlurmTask.result", "scheduler.slurm_partitions",
        "server_support.RunManager.cleanup", "server_support.RunManager.load_dataframes",
        "server_support.slurm_run", "slurm_run", "client_support.get_learner",
        "server_support.BaseManager", "server_support.KillManager", "server_support.MaxRestartsReachedError",
        "server_support.cleanup_scheduler_files", "server_support.log",
        "server_support.logs_with_string_or_condition", "server_support.periodically_clean_ipython_profiles",
        "server_support.parse_log_files", "server_support.console",
        "widgets.info", "widgets.log_explorer", "widgets.RunManagerInfo", "widgets.RunManagerInfo.from_run_manager",
        "widgets.database_widget", "widgets.queue_widget", "widgets.results_widget",
    ]
) | frozenset(
    f"scheduler.{kind}.{name}"
    for kind in ("BaseScheduler", "DefaultScheduler", "PBS")
    for name in (
        "batch_fname", "cancel", "extra_env_vars", "extra_scheduler", "job_script", "launcher", "log_fname",
        "output_fnames", "queue", "start_job", "write_job_script",
    )
) | frozenset(
    f"utils.{name}"
    for name in (
        "LRUCachedCallable", "combo2fname", "combo_to_fname", "combine_sequence_learners",
        "copy_from_sequence_learner", "atomic_write", "expand_dict_columns", "hash_anything",
        "load_dataframes", "load_parallel", "round_sigfigs", "save_dataframe", "save_parallel",
        "shared_memory_cache", "sleep_unless_task_is_done", "smart_goal", "split",
        "split_sequence_in_sequence_learners", "split_sequence_learner",
        "track_file_creation_progress", "WrappedFunction", "cloudpickle_learners", "connect_to_ipyparallel",
        "fname_to_learner", "fname_to_learner_fname",
    )
)  # fmt: skip


def verdict(name: str, theirs: Any, ours: dict[str, Any]) -> tuple[str, str]:
    """What ours is compared with theirs, and how it differs."""
    if name in INSTEAD:
        instead = INSTEAD[name]
        return REFUSED, instead if instead.startswith("not needed") else f"use {instead}"
    if name not in ours:
        return MISSING, ""
    if public_api.VALUE in (theirs, ours[name]):
        return (DIFFERENT, "see above") if name in BEHAVES else (SAME, "")
    accepted = IGNORED.get(name.rpartition(".")[2], frozenset())
    faults = differences(theirs, ours[name], accepted)
    if name in BEHAVES:
        faults.append("see above")
    return (DIFFERENT, "; ".join(faults)) if faults else (SAME, "")


def differences(
    theirs: dict[str, str], ours: dict[str, str], accepted: frozenset[str] = frozenset()
) -> list[str]:
    """What a call that theirs takes may meet: parameters that are not there, other defaults."""
    given = {
        one: default
        for one, default in theirs.items()
        if not default.startswith("*") and not one.startswith("_")
    }
    absent = [one for one in given if one not in ours and ALIASES.get(one) not in ours]
    if "**" in ours.values():
        absent = []
    changed = [
        f"`{one}={ours[one]}`, there {default}"
        for one, default in given.items()
        if one in ours and default != "-" and value(ours[one]) != value(default)
    ]
    asked = [one for one, default in ours.items() if default == "-" and one not in theirs]
    ignored = [one for one in absent if one in accepted]
    absent = [one for one in absent if one not in accepted | KEPT]
    return [
        *([f"{quoted(ignored)} without effect"] if ignored else []),
        *([f"without {quoted(absent)}"] if absent else []),
        *([f"needs {quoted(asked)}"] if asked else []),
        *changed,
    ]


def value(default: str) -> Any:
    """The default itself, if a text can say it: 300 is 300.0."""
    try:
        return ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return default


def quoted(names: list[str]) -> str:
    """Names as Markdown."""
    return ", ".join(f"`{one}`" for one in names)


def resolved(names: dict[str, Any]) -> dict[str, Any]:
    """The same with parameters in the place of earlier names."""
    return {
        name: names[thing[2:]] if isinstance(thing, str) and thing.startswith("= ") else thing
        for name, thing in names.items()
    }


def rows(theirs: dict[str, Any], ours: dict[str, Any]) -> list[tuple[str, str, str]]:
    """One row for each name; members of a class that is not there are in its row."""
    found: dict[str, tuple[str, str]] = {}
    for name, thing in theirs.items():
        owner = name.rpartition(".")[0]
        if found.get(owner, ("", ""))[0] not in (MISSING, REFUSED):
            found[name] = verdict(name, thing, ours)
    return [(name, *what) for name, what in found.items()]


def table() -> str:
    """The table as Markdown."""
    theirs = json.loads(STORED.read_text())
    lines = ["| name | here | how |", "|---|---|---|"]
    for name, what, how in rows(resolved(theirs), resolved(public_api.describe())):
        lines.append(f"| `{name}` | {what} | {how} |".replace("|  |", "| |"))
    return "\n".join(lines)


def inserted(text: str) -> str:
    """The document with the table of today between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


def fetch() -> None:
    """Store the names of their package, which is installed into a temporary environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", THEIRS], check=True)
        command = [python, public_api.__file__]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    STORED.write_text(done.stdout)


if __name__ == "__main__":
    if "--fetch" in sys.argv[1:]:
        fetch()
    DOCUMENT.write_text(inserted(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
