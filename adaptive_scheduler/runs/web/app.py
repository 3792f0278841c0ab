"""The application behind the guard: pages, their files, and the websocket of each view."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.runs.views.page import bundle
from adaptive_scheduler.runs.web import pages
from adaptive_scheduler.runs.web.browser_talk import BrowserTalk, Closed, Messages, View
from adaptive_scheduler.runs.web.in_thread import in_thread
from adaptive_scheduler.runs.web.run_board import RunBoard, key_of

#: Files of the front end, from the view and from this page.
STATIC = (bundle.FOLDER, Path(__file__).with_name("static"))
_TYPES = {".js": "text/javascript", ".css": "text/css"}
#: Views at once: each has a thread and a connection to a manager.
MOST_VIEWS = 100


@dataclass(frozen=True)
class WebSite:
    """What is served.

    Attributes
    ----------
    path : str
        Below which everything is.
    board : RunBoard
        All runs.
    folder : str
        Where they were searched, for people; "" if one run was named.
    open_view : callable
        Opens a view of a run.
    may_change : bool
    """

    path: str
    board: RunBoard
    folder: str
    open_view: Callable[[RunFolder], AbstractContextManager[View]]
    may_change: bool


class Pages:
    """Answers requests; all that may take long is done in other threads."""

    def __init__(self, site: WebSite) -> None:
        self._site = site
        self._files = {
            file.name: file.read_bytes()
            for folder in STATIC
            for file in folder.iterdir()
            if file.suffix in _TYPES
        }
        self._views = 0

    def routes(self) -> list[BaseRoute]:
        """Return all addresses."""
        inner: list[BaseRoute] = [
            Route("/", self.start),
            Route("/runs", self.index),
            Route("/runs.json", self.lines),
            Route("/run/{key}", self.run),
            Route("/static/{name}", self.file),
            WebSocketRoute("/socket/{key}", self.view),
        ]
        return [Mount(self._site.path.rstrip("/"), routes=inner)]

    async def start(self, request: Request) -> Response:
        """The only run there is, or all runs."""
        found = await in_thread(self._site.board.runs)
        if len(found) == 1:
            return self._run_page(found[0])
        return await self.index(request)

    async def index(self, _: Request) -> Response:
        """All runs."""
        return HTMLResponse(pages.index_page(self._site.path, self._site.folder))

    async def lines(self, _: Request) -> Response:
        """How all runs stand."""
        found = await in_thread(self._site.board.lines)
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def run(self, request: Request) -> Response:
        """One run."""
        found = self._site.board.folder(request.path_params["key"])
        if found is None:
            await in_thread(self._site.board.runs)
            found = self._site.board.folder(request.path_params["key"])
        if found is None:
            return HTMLResponse(pages.refusal("There is no such run any more."), 404)
        return self._run_page(found)

    def _run_page(self, folder: RunFolder) -> Response:
        shown = pages.ShownRun(key_of(folder), str(folder.home), self._site.may_change)
        return HTMLResponse(pages.run_page(self._site.path, shown, bool(self._site.folder)))

    async def file(self, request: Request) -> Response:
        """A script or a style."""
        name = request.path_params["name"]
        if name not in self._files:
            return Response("There is no such file.", 404)
        return Response(self._files[name], media_type=_TYPES[Path(name).suffix])

    async def view(self, socket: WebSocket) -> None:
        """Talk with one browser about one run."""
        folder = self._site.board.folder(socket.path_params["key"])
        await socket.accept()
        if folder is None or self._views >= MOST_VIEWS:
            reason = "there is no such run" if folder is None else "too many pages are open"
            await socket.close(4004 if folder is None else 4008, reason)
            return
        self._views += 1
        talk = BrowserTalk(lambda: self._site.open_view(folder), sender(socket))
        talk.start()
        try:
            await _listen(socket, talk)
        finally:
            self._views -= 1
            talk.end()


async def _listen(socket: WebSocket, talk: BrowserTalk) -> None:
    """Hand on what the browser sends until it is gone, or sends what is no JSON object."""
    try:
        while True:
            talk.put(msgspec.json.decode(await socket.receive_text(), type=dict))
    except (WebSocketDisconnect, KeyError):  # the second: bytes in place of text
        return
    except (msgspec.DecodeError, RecursionError):  # the second: nested too deeply
        await socket.close(1003)


def sender(socket: WebSocket) -> Callable[[Messages], None]:
    """Return what sends messages from another thread, and returns when they are sent."""
    loop = asyncio.get_running_loop()

    async def send_all(messages: Messages) -> None:
        for message in messages:
            await socket.send_text(msgspec.json.encode(message).decode())

    def send(messages: Messages) -> None:
        if loop.is_closed():
            raise Closed
        try:
            asyncio.run_coroutine_threadsafe(send_all(messages), loop).result()
        except (RuntimeError, WebSocketDisconnect, OSError) as error:
            raise Closed from error

    return send


def make_app(site: WebSite) -> Starlette:
    """Return the application."""
    return Starlette(routes=Pages(site).routes())
