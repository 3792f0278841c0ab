"""Options that take several words, as ``-c train test``."""

from __future__ import annotations

from typing import Any

from adaptive_scheduler.commandline.input.parsing.aliases import CommandWithAliases

#: Options of which each takes all words up to the next option.
_LISTS = ("-c", "--command", "-r", "--resource")
#: Those that take all words with a ``=``.
_PAIRS = ("--metric",)


class CommandWithLists(CommandWithAliases):
    """A command with such options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its words."""
        return super().parse_args(ctx, with_repeated_options(args))


def with_repeated_options(args: list[str]) -> list[str]:
    """Return ``-c train -c test`` for ``-c train test``."""
    found: list[str] = []
    option = ""
    for word in args:
        is_first = bool(found) and found[-1] == option
        if word.startswith("-"):
            option = word if word in (*_LISTS, *_PAIRS) else ""
        elif option and not is_first and (option in _LISTS or "=" in word):
            found.append(option)
        found.append(word)
    return found
