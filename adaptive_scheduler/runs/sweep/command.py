"""One command of a sweep's task, as an `Executor` takes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.runs.driver.commands.command import Command, EncodedCommand
from adaptive_scheduler.runs.sites.site import Site

#: As mlrunner has it: templates may say what only bash understands.
BASH = "/bin/bash"


class SweepCommand(Command):
    """A text for bash that is filled in already, with a log of its own.

    Parameters
    ----------
    text : str
    log : Path
    launch_ranks : bool
        Whether it is started once for each rank of its task.
    """

    def __init__(self, text: str, log: Path, launch_ranks: bool = True) -> None:
        super().__init__("filled in already", launch_ranks=launch_ranks)
        self.steps = [CommandStep("", text=text, shell=BASH)]
        self._log = log

    def encode(
        self,
        site: Site,
        parameters: Mapping[str, Any],  # noqa: ARG002
        known: Mapping[str, Any],  # noqa: ARG002
        key: str = "",  # noqa: ARG002
    ) -> EncodedCommand:
        """Return what is sent; its folder is that of the sweep."""
        spec = CommandSpec(
            self.steps, os.getcwd(), str(self._log), launch_ranks=self.launch_ranks,
            keep_empty_log=True, signal_is_exit=True,
        )  # fmt: skip
        return EncodedCommand(msgspec.msgpack.encode(spec), None, self._log, None, site.read)
