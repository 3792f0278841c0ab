"""Other names of options, which are accepted and not shown in the help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.commandline.input.parsing.plain_help import CommandWithPlainHelp
from adaptive_scheduler.core.options import aliases

#: Other names of options (as Python arguments), and what they mean: those that Python accepts, too,
#: and the short ones of version 0.2.0.
ALIASES: Mapping[str, str] = {
    **aliases.ALIASES,
    "partition": "queue",
    "queue": "queue",
    "executor": "executor_type",
    "threads": "num_threads",
    "env": "extra_env_vars",
    "mpiexec": "mpiexec_executable",
}


class CommandWithAliases(CommandWithPlainHelp):
    """A command that accepts the `ALIASES` of its options, which its help does not show."""

    def make_parser(self, ctx: Any) -> Any:
        """Add the aliases to the parser only."""
        parser = super().make_parser(ctx)
        for parameter in self.params:
            others = [alias for alias, name in ALIASES.items() if name == parameter.name != alias]
            if others and parameter.param_type_name == "option":
                shown = parameter.opts
                parameter.opts = ["--" + alias.replace("_", "-") for alias in others]
                parameter.add_to_parser(parser, ctx)
                parameter.opts = shown
        return parser
