"""Errors, as the command line prints them."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from collections.abc import Callable, Iterator
from typing import ParamSpec, TextIO, TypeVar

import typer

from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.json_lines import print_json_error
from adaptive_scheduler.commandline.output.option_names import in_option_names
from adaptive_scheduler.commandline.output.streams import NO_ROOM, cannot_be_written
from adaptive_scheduler.errors import AdaptiveSchedulerError, UserCodeError

P = ParamSpec("P")
R = TypeVar("R")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command print its errors as one message, and end with their exit code.

    With ``--json`` they are a line for programs, too.
    """

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AdaptiveSchedulerError as error:
            code = exit_codes.of_error(error)
            _print_error(error)
            if kwargs.get("as_json"):
                trace = getattr(error, "traceback_text", None) or ""
                print_json_error(type(error), in_option_names(str(error)), code, trace)
            raise typer.Exit(code) from error
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            _print_no_room(error, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(exit_codes.FAILED) from error
        except KeyboardInterrupt as interrupt:
            sys.stderr.write("\nInterrupted.\n")
            if kwargs.get("as_json"):
                print_json_error(KeyboardInterrupt, "Interrupted.", exit_codes.INTERRUPTED)
            raise typer.Exit(exit_codes.INTERRUPTED) from interrupt

    return guarded


def _print_no_room(error: OSError, *, as_json: bool) -> None:
    """Errors of a run's files are ours and name them: this is mostly of the file into which the output goes."""
    what = error.filename or "the output"
    text = cannot_be_written(str(what), error)
    sys.stderr.write(f"Error: {text}\n")
    with contextlib.suppress(OSError):
        if as_json:
            print_json_error(type(error), text, exit_codes.FAILED)
    with contextlib.suppress(OSError):
        sys.stdout.close()  # Python would try to write the rest again at its end


def _print_error(error: AdaptiveSchedulerError) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, soft_wrap=True)
    if isinstance(error, UserCodeError) and error.traceback_text:
        console.print(error.traceback_text, markup=False, highlight=False)
    text = escape(in_option_names(str(error)))
    console.print(f"[bold red]Error:[/] {text}", highlight=False)


class _OptionNames(io.TextIOBase):
    """A text stream that names options as on the command line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(in_option_names(text))
        self._stream.flush()
        return len(text)


@contextlib.contextmanager
def prints_option_names() -> Iterator[None]:
    """Within it, what the Python interface prints names options as on the command line."""
    with contextlib.redirect_stdout(_OptionNames(sys.stdout)):
        yield
