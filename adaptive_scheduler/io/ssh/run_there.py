"""Runs a program there as if it ran here: it prints here, and is interrupted from here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO

from adaptive_scheduler.errors import FarHostError
from adaptive_scheduler.io.ssh.commands import MARK, module_there, ssh_argv
from adaptive_scheduler.io.ssh.far_place import FarPlace
from adaptive_scheduler.io.ssh.faults import (
    NO_SSH,
    NOT_EXECUTABLE,
    NOT_FOUND,
    SSH_FAILED,
    ssh_fault,
)

#: Lines of errors in which the reason is looked for.
_LINES = 50


def run_there(place: FarPlace, module: str, words: Sequence[str]) -> int:
    """Run a module there; returns its exit status.

    Raises
    ------
    FarHostError
        There is no connection, or no such module there.
    """
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    argv = ssh_argv(place, os.environ, terminal=is_terminal)
    try:
        process = subprocess.Popen(
            [*argv, _line(place, module, words, is_marked=not is_terminal)],
            stdin=None if is_terminal else subprocess.DEVNULL,
            stdout=None if is_terminal else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise FarHostError(NO_SSH) from error
    assert process.stderr is not None
    said: deque[str] = deque(maxlen=_LINES)
    relay = threading.Thread(target=_relay, args=(process.stderr, said), daemon=True)
    relay.start()
    if process.stdout is not None:
        _print_what_is_marked(process.stdout)
    status = process.wait()
    relay.join()
    text = "\n".join(said)
    if (
        status in (SSH_FAILED, NOT_FOUND, NOT_EXECUTABLE)
        or f"No module named '{module[:18]}" in text
    ):
        raise FarHostError(_by_path(ssh_fault(place, status, text), place))
    return status


def _line(place: FarPlace, module: str, words: Sequence[str], *, is_marked: bool) -> str:
    return module_there(place, None, module, *words, is_marked=is_marked, is_for_people=True)


def _by_path(fault: str, place: FarPlace) -> str:
    """Name the remedy of who cannot give ``python=``: a command line names a run, which names its Python."""
    reason, *python = re.split(r",? (?:or give|Give) python=", fault)
    if not python:
        return fault
    return (
        f"{reason.rstrip('.')}. Check the path: it is the Python that the run in {place.path} names, or "
        "python3 if no run is there."
    )


def _print_what_is_marked(file: IO[bytes]) -> None:
    """Print what comes behind the mark: who reads it may be a program."""
    with file:
        while (line := file.readline()) and line != f"{MARK}\n".encode():
            continue
        try:
            for line in file:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
        except BrokenPipeError:  # as of `| head`; Python would complain once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _relay(file: IO[bytes], said: deque[str]) -> None:
    with file:
        for line in file:
            text = line.decode(errors="replace")
            said.append(text.rstrip())
            sys.stderr.write(text)
            sys.stderr.flush()
