"""Lets only the user's own browser in: stands before the application."""

from __future__ import annotations

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adaptive_scheduler.core.web.access import Access, Gate, Verdict, WebRequest
from adaptive_scheduler.runs.web import pages

COOKIE = "adaptive-scheduler"
#: Sent with every answer. What the page may do: load its own scripts, styles and data, nothing else.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI application that asks `Access` about each request, and hands on those that pass.

    Parameters
    ----------
    app : ASGIApp
        What it guards.
    access : Access
    entered : callable
        Called when a token was used, to print a new link.
    """

    def __init__(self, app: ASGIApp, access: Access, entered: Callable[[], None]) -> None:
        self._app = app
        self._access = access
        self._entered = entered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        verdict = self._access.judge(_request(scope))
        if verdict.gate is Gate.OPEN:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        else:
            await self._answer(verdict)(scope, receive, _with_headers(send))

    def _answer(self, verdict: Verdict) -> Response:
        if verdict.gate is Gate.REFUSE:
            return HTMLResponse(pages.refusal(verdict.reason), verdict.status)
        # No redirect: a browser that came from another site's link would follow it without the cookie.
        answer = HTMLResponse(pages.entered(self._access.path))
        answer.set_cookie(
            COOKIE, verdict.cookie, path=self._access.path, httponly=True, samesite="strict"
        )
        self._entered()
        return answer


def _request(scope: Scope) -> WebRequest:
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    return WebRequest(
        method=scope.get("method", "GET"),
        path=scope["path"],
        host=hosts[0] if len(hosts) == 1 else "",
        origin=headers.get("origin", ""),
        cookie=_cookie(headers.get("cookie", "")),
        token=QueryParams(scope.get("query_string", b"")).get("token", ""),
        fetch_site=headers.get("sec-fetch-site", ""),
        fetch_mode=headers.get("sec-fetch-mode", ""),
        is_prefetch="prefetch" in headers.get("sec-purpose", headers.get("purpose", "")),
        is_socket=scope["type"] == "websocket",
    )


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
