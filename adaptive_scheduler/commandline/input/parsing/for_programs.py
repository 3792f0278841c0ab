"""What is wrong with typed words, told to the program that has typed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from adaptive_scheduler.commandline.output.exit_codes import BAD_INPUT
from adaptive_scheduler.commandline.output.json_lines import print_json_error

#: What typer raises for a word that it does not know; it has no public name there.
_UsageError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)


@contextmanager
def tells_programs(words: Sequence[str]) -> Iterator[None]:
    """Within it an error of the words is a line of JSON, too, if ``--json`` is among them."""
    typed = tuple(words)  # the parser takes them out
    try:
        yield
    except _UsageError as error:
        if "--json" in typed:
            text = getattr(error, "format_message", error.__str__)()
            print_json_error(type(error), text, BAD_INPUT)
        raise
