"""The command ``web``: show runs in a browser."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import DryRun
from adaptive_scheduler.commandline.input.find_run import find_run, runs_below
from adaptive_scheduler.commandline.output.dry_run import would
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.terminal import print_line
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.web.addresses import HOST, Listening, link, ways_to_open
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.web.access import Access
    from adaptive_scheduler.runs.web.run_board import RunBoard


@reports_errors
@has_result
def web(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run, or a folder: then all runs of yours below it, be it only one. Default: "
            "the current folder.",
            metavar="RUN|FOLDER",
            readable=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port of 127.0.0.1 on which the page listens. Default: a free one.",
            min=1,
            max=65535,
        ),
    ] = None,
    socket_path: Annotated[
        Path | None,
        typer.Option("--socket", help="A Unix socket in place of a port.", metavar="PATH"),
    ] = None,
    allow_changes: Annotated[
        bool,
        typer.Option("--allow-changes", help="The page may cancel, retry and resume, too."),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Show runs in a browser, live.

    Prints a link that opens the page once, and the `ssh` line for a browser on another machine.
    Nobody else gets in. Changes nothing unless `--allow-changes` is given; Ctrl-C ends it, and the
    runs go on.

    Example: `adaptive-scheduler web RUN`
    """
    if port is not None and socket_path is not None:
        raise InputError("--port and --socket exclude each other: give one of them.")
    _check_installed()
    board, folder = _what_is_shown(run)
    if dry_run:
        _print_plan(board, socket_path or port, allow_changes)
        return
    with _listener(port, socket_path) as listener:
        where = Listening(getpass.getuser(), _host(), *_at(listener))
        _serve(listener, where, board, folder, allow_changes)
    print_line("Ended. Runs go on.")


def _print_plan(board: RunBoard, where: Path | int | None, may_change: bool) -> None:
    """Print what a page would show and where, and open none."""
    shown = [run.home for run in board.runs()]
    at = (
        f"{f'port {where}' if where else 'a free port'} of {HOST}"
        if not isinstance(where, Path)
        else str(where)
    )
    what = "may cancel, retry and resume" if may_change else "is read-only"
    runs = "".join(f"\n  {home}" for home in shown) or " none yet"
    print_line(f"{would(True)}a page at {at}, which {what}, with these runs:{runs}")
    print_result(
        "web",
        dry_run=True,
        runs=shown,
        allow_changes=may_change,
        url=None,
        port=None,
        socket=None,
        ways=[],
    )


def _check_installed() -> None:
    try:
        import starlette
        import uvicorn
        import websockets
    except ImportError as error:
        raise InputError(
            f"`adaptive-scheduler web` needs {error.name}, which is not installed here: "
            "pip install 'adaptive-scheduler[web]'"
        ) from error
    del starlette, uvicorn, websockets


def _what_is_shown(typed: Path | None) -> tuple[RunBoard, str]:
    """Return one run, or all below a folder with the name of that."""
    from adaptive_scheduler.runs.web.run_board import RunBoard

    if typed is not None and (RunFolder(typed).config.exists() or not typed.is_dir()):
        one = find_run(typed)
        return RunBoard(lambda: [one], one.home.parent), ""
    folder = (typed or Path()).absolute()
    return RunBoard(lambda: runs_below(folder).runs, folder), str(folder)


@contextlib.contextmanager
def _listener(port: int | None, path: Path | None) -> Iterator[socket.socket]:
    from adaptive_scheduler.runs.web.listen import port_socket, unix_socket

    if path is not None:
        with unix_socket(path.absolute()) as made:
            yield made
        return
    with port_socket(port) as made:
        yield made


def _at(listener: socket.socket) -> tuple[int, str]:
    name = listener.getsockname()
    return (0, str(name)) if listener.family == socket.AF_UNIX else (name[1], "")


def _host() -> str:
    """How this host is called elsewhere."""
    name = socket.getfqdn()
    return socket.gethostname() if name.startswith("localhost") else name


def _serve(
    listener: socket.socket, where: Listening, board: RunBoard, folder: str, may_change: bool
) -> None:
    from adaptive_scheduler.runs.web.app import WebSite, make_app
    from adaptive_scheduler.runs.web.open_view import Views
    from adaptive_scheduler.runs.web.serve import make_server, new_access, serve

    access = new_access()
    app = make_app(WebSite(access.path, board, folder, Views(may_change).open, may_change))
    server = make_server(app, access, lambda: _print_next_link(where, access))
    serve(server, listener, lambda: _print_ways(where, access, may_change))


def _print_ways(where: Listening, access: Access, may_change: bool) -> None:
    print_line("Open in a browser (the link works once):")
    print_line(f"  {link(where, access.path, access.token)}", "bold")
    ways = ways_to_open(where, os.environ)
    print_result(
        "web", runs=None, allow_changes=may_change, url=link(where, access.path, access.token),
        port=where.port or None, socket=where.socket or None,
        ways=[{"when": when, "command": line} for when, line in ways],
    )  # fmt: skip
    for when, line in ways:
        print_line(when)
        print_line(f"  {line}", "bold")
    if may_change:
        print_line("The page may cancel, retry and resume. Ctrl-C ends it; runs go on.")
    else:
        print_line("The page is read-only (see --allow-changes). Ctrl-C ends it; runs go on.")


def _print_next_link(where: Listening, access: Access) -> None:
    print_line("Opened. For another browser:")
    print_line(f"  {link(where, access.path, access.token)}", "bold")
