"""Serves the page until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from adaptive_scheduler.core.web.access import Access
from adaptive_scheduler.runs.web.guard import Guard

#: Seconds that connections have to close when the server ends.
GRACE = 1
#: Bytes of one message of a browser.
_LONGEST_MESSAGE = 1 << 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def new_access() -> Access:
    """Return the secrets of a new server."""
    return Access(lambda: secrets.token_urlsafe(16))


class _Server(uvicorn.Server):
    """Leaves signals alone: uvicorn raises them again at its end, past our own last steps."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Change nothing."""
        yield


def make_server(app: ASGIApp, access: Access, entered: Callable[[], None]) -> uvicorn.Server:
    """Return the server of an application; `entered` is called when a link was used."""
    config = uvicorn.Config(
        Guard(app, access, entered),
        loop="asyncio", http="h11", ws="websockets-sansio", lifespan="off",
        log_config=None, log_level="error", access_log=False,  # requests have the token
        server_header=False, proxy_headers=False,
        ws_max_size=_LONGEST_MESSAGE, timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    return _Server(config)


def serve(server: uvicorn.Server, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; a second signal ends it at once.

    Parameters
    ----------
    server : uvicorn.Server
    listener : socket.socket
    ready : callable
        Called when it may be told where the server is: from then on each signal ends it cleanly.
    """
    asyncio.run(_serve(server, listener, ready))


async def _serve(
    server: uvicorn.Server, listener: socket.socket, ready: Callable[[], None]
) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, end)
    ready()
    await server.serve(sockets=[listener])
