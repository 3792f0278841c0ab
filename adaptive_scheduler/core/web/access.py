"""Who may see the page: pure decisions about one request.

The server listens on loopback, where every user of the host can connect, and any page in the
user's browser can send requests. So each request must show three things.

*The cookie.* The link that is printed holds a token that works once: it is exchanged for a cookie
(HttpOnly, SameSite=Strict). A link that is seen later in a terminal, a history or a log opens nothing.

*The path.* Cookies know no ports: a browser sends the cookie of 127.0.0.1:8000 also to
127.0.0.1:9000, which may be another user's. So the cookie is bound to a path that is random
for each server and that nobody else knows; to other paths it is not sent.

*Its origin.* The Host must be a name of loopback, or a name that an attacker has pointed to
127.0.0.1 would count as the page's own ("DNS rebinding"). A websocket must come from a page of the
same host and port, for cookies are sent with those that other ports' pages open.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Callable
from dataclasses import dataclass

#: Names of this host as the browser may have them; the port is any, as `ssh -L` may change it.
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Gate(enum.Enum):
    """What becomes of a request."""

    OPEN = "answered"
    ENTER = "its token becomes a cookie"
    REFUSE = "refused"


@dataclass(frozen=True)
class WebRequest:
    """What is looked at of one request.

    Attributes
    ----------
    method, path : str
    host, origin, cookie : str
        Of the headers; "" if absent. `cookie` is the value of ours.
    token : str
        Of the query.
    fetch_site, fetch_mode : str
        ``Sec-Fetch-Site`` and ``Sec-Fetch-Mode``, which browsers send.
    is_prefetch : bool
        The browser fetches ahead what nobody has opened yet.
    is_socket : bool
        A websocket.
    """

    method: str = "GET"
    path: str = "/"
    host: str = ""
    origin: str = ""
    cookie: str = ""
    token: str = ""
    fetch_site: str = ""
    fetch_mode: str = ""
    is_prefetch: bool = False
    is_socket: bool = False


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request, and why.

    Attributes
    ----------
    gate : Gate
    status : int
        Of the answer, if it is refused.
    reason : str
        For the person at the browser.
    cookie : str
        The new one, if it enters.
    """

    gate: Gate
    status: int = 200
    reason: str = ""
    cookie: str = ""


PASSED = Verdict(Gate.OPEN)


class Access:
    """The secrets of one server, and what they open.

    Parameters
    ----------
    new_secret : callable
        Returns a new random text that can stand in a URL.

    Attributes
    ----------
    path : str
        Below which all pages are; it begins and ends with ``/``.
    token : str
        Opens the page once.
    """

    def __init__(self, new_secret: Callable[[], str]) -> None:
        self._new_secret = new_secret
        self.path = f"/{new_secret()}/"
        self.token = new_secret()
        self._used: list[str] = []
        self._cookies: list[str] = []

    def judge(self, request: WebRequest) -> Verdict:
        """Decide about a request; one that enters uses up the token."""
        if reason := _elsewhere(request):
            return Verdict(Gate.REFUSE, 403, reason)
        if request.method not in ("GET", "HEAD"):
            return Verdict(Gate.REFUSE, 405, "This page is only read: use GET.")
        if _is_one_of(request.cookie, self._cookies):
            return PASSED
        if request.path != self.path or not request.token or request.is_socket:
            return Verdict(Gate.REFUSE, 403, _NO_KEY)
        return self._exchange(request)

    def _exchange(self, request: WebRequest) -> Verdict:
        if _is_one_of(request.token, self._used):
            return Verdict(Gate.REFUSE, 403, _USED)
        if not _is_one_of(request.token, [self.token]):
            return Verdict(Gate.REFUSE, 403, _NO_KEY)
        if request.is_prefetch or request.method != "GET":
            return Verdict(Gate.REFUSE, 403, "Nobody has opened this link yet.")
        self._used.append(self.token)
        self.token = self._new_secret()
        self._cookies.append(self._new_secret())
        return Verdict(Gate.ENTER, cookie=self._cookies[-1])


_NO_KEY = (
    "Open the link that `adaptive-scheduler web` has printed in its terminal. Other users of this "
    "host, and other pages in your browser, are kept out."
)
_USED = (
    "This link has been used: it works once. `adaptive-scheduler web` has printed a new one in its "
    "terminal. If you have not opened it yourself, end the server with Ctrl-C there."
)
_FOREIGN = "The request comes from another page. Open the link itself."


def _elsewhere(request: WebRequest) -> str:
    """Why a request does not come from the page itself or the person at the browser; "" if it does."""
    if not is_loopback(request.host):
        return (
            f"{request.host or 'No host'} is not a name of this page: open it as 127.0.0.1 or "
            "localhost, through `ssh -L` if the browser is on another machine."
        )
    own = f"http://{request.host}"
    if (request.is_socket or request.origin) and request.origin != own:
        return _FOREIGN
    is_opened = request.fetch_mode == "navigate" and not request.is_socket
    if request.fetch_site in ("cross-site", "same-site") and not is_opened:
        return _FOREIGN
    return ""


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine's loopback, with or without a port."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "0"
    return name in LOOPBACK and port.isascii() and port.isdigit()


def _is_one_of(secret: str, known: list[str]) -> bool:
    """Compare with each in a time that does not tell how much of it fits."""
    given = secret.encode(errors="replace")
    return any(hmac.compare_digest(given, one.encode()) for one in known)
