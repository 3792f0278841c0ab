"""Commands about a run on another host: they are run there."""

from __future__ import annotations

from collections.abc import Sequence

from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.terminal import exit_with
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.ssh.far_place import SCHEME, read_url

#: What needs no file of this machine.
THERE = (
    "status",
    "explain",
    "logs",
    "cancel",
    "resume",
    "retry",
    "tasks",
    "task",
    "prioritise",
    "pool",
    "doctor",
    "check",
)
CLI = "adaptive_scheduler.cli"


def names_far_run(words: Sequence[str]) -> bool:
    """Whether a command line is about a run on another host."""
    return any(word.startswith(SCHEME) for word in words)


@reports_errors
def run_command_there(words: Sequence[str], *, as_json: bool = False) -> None:
    """Run a command line on the host that it names, and end with its exit code.

    `as_json`: errors of the way there are told to programs, too.

    Raises
    ------
    InputError
        It must be run by hand there.
    """
    from adaptive_scheduler.io.ssh.run_there import run_there

    del as_json  # `reports_errors` looks at it

    urls = [word for word in words if word.startswith(SCHEME)]
    place = read_url(urls[0], "RUN")
    command = " ".join(words[: 1 + (words[0] == "pool")])
    if words[0] not in THERE or command == "pool join" or len(urls) > 1:
        raise InputError(
            f"adaptive-scheduler {command} uses files of the machine on which it runs. Log in with ssh "
            f"{place.host}, and run it there."
        )
    there = [place.path if word == urls[0] else word for word in words]
    exit_with(run_there(place, CLI, there))
