"""Write the page of all options from docstrings and signatures: ``python -m docs.options``.

What an option does is said in the docstring of its class or function, or in the help of its command, and nowhere
else. This file has only the order, and an example for each part (``docs/option_examples``), which a test runs.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe
from typer.main import get_command

import adaptive_scheduler
from adaptive_scheduler import client_support, scheduler, server_support
from adaptive_scheduler.cli import app
from adaptive_scheduler.core.options.runner_kwargs import RUNNER_KWARGS
from adaptive_scheduler.schedulers.base import Scheduler

DOCUMENT = Path(__file__).with_name("options.md")
EXAMPLES = Path(__file__).with_name("option_examples")
HEAD = """# All options

Every option of schedulers, runs of learners, tasks, searches and ranked queues in Python, then of [the command
line](#the-command-line). Look for its name with the search of the site, or of your browser.

Times are seconds, or texts such as `"90s"`, `"12h"`, `"1h30m"`, `"2-12:00:00"`; sizes are texts such as `"4GB"`. An option whose
default is empty must be given. This page is made from the docstrings by `python -m docs.options`, and a test runs its programs.
"""


@dataclass(frozen=True)
class Part:
    """One part of the page: whose options, and where they are described beside its own docstring."""

    title: str
    thing: Callable[..., Any]
    described_at: tuple[Callable[..., Any], ...] = ()
    example: str = ""
    #: Has the other options, which are not listed again.
    more_at: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Option:
    """One line of a table."""

    name: str
    default: str
    what: str


_SCHEDULER = (Scheduler.__init__,)
_RUN = (adaptive_scheduler.RunManager,)
PARTS = (
    Part("Schedulers", Scheduler, _SCHEDULER, "schedulers"),
    Part("SLURM", scheduler.SLURM, _SCHEDULER, "slurm", Scheduler),
    Part("PBS", scheduler.PBS, _SCHEDULER, "pbs", Scheduler),
    Part("LocalScheduler", scheduler.LocalScheduler, _SCHEDULER, "local", Scheduler),
    Part("Here", scheduler.Here, (), "here"),
    Part("RunManager", adaptive_scheduler.RunManager, (), "run_manager"),
    Part("Limits", adaptive_scheduler.Limits, _RUN),
    Part("Saving", adaptive_scheduler.Saving, _RUN),
    Part("Network", adaptive_scheduler.Network, _RUN, "groups"),
    Part("Executor", adaptive_scheduler.Executor, (adaptive_scheduler.Executor.add_pool,), "executor"),
    Part("Executor.options", adaptive_scheduler.Executor.options, (), "task_options"),
    Part("TaskResources", adaptive_scheduler.TaskResources, (), "resources"),
    Part("Executor.add_pool", adaptive_scheduler.Executor.add_pool, (), "pools"),
    Part("Command", adaptive_scheduler.Command, (), "command"),
    Part("Runner", adaptive_scheduler.Runner, (), "runner"),
    Part("OptimizerLearner", adaptive_scheduler.OptimizerLearner),
    Part("Range", adaptive_scheduler.Range),
    Part("Search", adaptive_scheduler.Search, (), "search"),
    Part("RankingLearner", adaptive_scheduler.RankingLearner, (), "ranking"),
    Part("RankingModel", adaptive_scheduler.RankingModel, (), "ranking_model"),
    Part("client_support.run", client_support.run),
    Part("server_support.manage_jobs", server_support.manage_jobs),
)  # fmt: skip

#: What each of the runner's settings does; that these are all of them is held by a test.
RUNNER = {
    "retries": "times that a point whose evaluation raised is tried again; goes before `point_retries`",
    "raise_if_retries_exceeded": "whether a point that still fails is a failure of its learner (True); else it is left out",
    "grace": "time that points in flight are waited for after the goal is met",
    "log": "whether adaptive's runner keeps its log of all asks and tells, in memory",
}
#: Variables of the environment.
VARIABLES = {
    "ADAPTIVE_SCHEDULER_SYSTEM": "the batch system, where none is named: `slurm`, `pbs` or `local`",
    "ADAPTIVE_SCHEDULER_LOCALBATCH": "the folder of `LocalScheduler`'s batch system; `state=` goes before it",
    "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "seconds after which its server ends when it has no jobs",
    "ADAPTIVE_SCHEDULER_SSH": "the program in place of `ssh`, with its options",
}


def described(thing: Callable[..., Any]) -> dict[str, str]:
    """The parameters that a docstring describes, each with its text on one line."""
    found: dict[str, str] = {}
    for section in griffe.Docstring(inspect.getdoc(thing) or "").parse("numpy", warnings=False):
        if section.kind in (
            griffe.DocstringSectionKind.parameters,
            griffe.DocstringSectionKind.attributes,
        ):
            texts = {
                one.name.lstrip("*"): " ".join(one.description.split()) for one in section.value
            }
            found = texts | found
    return found


def options(part: Part) -> list[Option]:
    """The options of a part: all parameters of its signature."""
    texts: dict[str, str] = {}
    for place in (*part.described_at, part.thing):
        texts |= {name: text for name, text in described(place).items() if text}
    if "partition" in texts:
        texts["queue"] = "PBS's queue: what `partition` is to SLURM"
    return [
        Option(_named(one), _default(one), texts.get(name, ""))
        for name, one in inspect.signature(part.thing).parameters.items()
        if name != "self"
    ]


def _named(parameter: inspect.Parameter) -> str:
    return f"**{parameter.name}" if parameter.kind is parameter.VAR_KEYWORD else parameter.name


def own_options(part: Part) -> list[Option]:
    """The options of a part without those that it has in common with another one."""
    if part.more_at is None:
        return options(part)
    shared = options(Part("", part.more_at, part.described_at))
    return [one for one in options(part) if one not in shared]


def _default(parameter: inspect.Parameter) -> str:
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return "any"
    if parameter.default is inspect.Parameter.empty:
        return ""
    if parameter.default is None:
        return "none"
    return f"`{parameter.default!r}`"


def commands() -> Iterator[tuple[str, Any]]:
    """Each command with its whole name, those of groups included."""

    def walk(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            full = f"{prefix}{name}"
            if hasattr(command, "commands"):
                yield from walk(f"{full} ", command)
            elif not (command.hidden or (command.short_help or "").startswith("The other name")):
                yield full, command

    return walk("", get_command(app))


def command_options(command: Any) -> list[Option]:
    """The arguments and options of a command, but `--help`."""
    return [
        Option(_spelt(one), _typed_default(one), " ".join((getattr(one, "help", "") or "").split()))
        for one in command.params
        if one.name != "help" and not getattr(one, "hidden", False)
    ]


def _spelt(parameter: Any) -> str:
    names = [name for name in (*parameter.opts, *parameter.secondary_opts) if name.strip()]
    if parameter.param_type_name == "argument":
        return parameter.metavar or parameter.name.upper()
    return " ".join((", ".join(names), parameter.metavar or "")).strip()


def _typed_default(parameter: Any) -> str:
    if parameter.param_type_name == "argument" and parameter.required:
        return ""
    if getattr(parameter, "is_flag", False) and parameter.default is not None:
        return "on" if parameter.default is True else "off"
    if parameter.default in (None, False, (), []) or callable(parameter.default):
        return "none"
    return f"`{parameter.default}`"


def table(rows: list[Option]) -> str:
    """Options as Markdown."""
    lines = ["| option | default | what it does |", "|---|---|---|"]
    lines += [f"| `{_cell(one.name)}` | {_cell(one.default)} | {_cell(one.what)} |" for one in rows]
    return "\n".join(lines).replace("|  |", "| |")


def _cell(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("|", "\\|")


def _small(rows: Mapping[str, str], head: str) -> str:
    return "\n".join(
        [f"| {head} | |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in rows.items())]
    )


def _first_line(thing: Callable[..., Any]) -> str:
    text = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    return _cell(text.replace(" Its options are described at `Scheduler`.", ""))


def part_text(part: Part) -> str:
    """One part: what it is, an example, its options."""
    blocks = [f"## {part.title}"]
    blocks += [_first_line(part.thing)] if part.thing is not Scheduler else []
    if part.example:
        blocks.append((EXAMPLES / f"{part.example}.md").read_text().strip())
    own = own_options(part)
    blocks += [table(own)] if own else []
    if part.title == "RunManager":
        must = {name: f"{RUNNER[name]}: {must}" for name, (must, _) in RUNNER_KWARGS.items()}
        blocks += ["### runner_kwargs", _small(must, "key")]
    return "\n\n".join(blocks)


def command_text(name: str, command: Any) -> str:
    """One command: what it does, and its options."""
    first = (inspect.cleandoc(command.help or "")).split("\n\n")[0].replace("\n", " ")
    rows = command_options(command)
    return "\n\n".join(
        [f"### adaptive-scheduler {name}", _cell(first), *([table(rows)] if rows else [])]
    )


def page() -> str:
    """The whole page."""
    return "\n\n".join([
        HEAD.strip(),
        *(part_text(part) for part in PARTS),
        "## The command line",
        (EXAMPLES / "command_line.md").read_text().strip(),
        *(command_text(name, command) for name, command in commands()),
        "## The environment",
        _small(VARIABLES, "variable"),
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    DOCUMENT.write_text(page())
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
