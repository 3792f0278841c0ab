"""Who is let in to the page of runs, and by which lines it is reached."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from adaptive_scheduler.core.web.access import Access, Gate, WebRequest, is_loopback
from adaptive_scheduler.core.web.addresses import Listening, link, ssh_line, ways_to_open

HOST = "127.0.0.1:8765"


@pytest.fixture
def access() -> Access:
    numbers = itertools.count()
    return Access(lambda: f"secret-{next(numbers)}")


def request(access: Access, **changes: object) -> WebRequest:
    """What a browser sends that opens the page itself."""
    plain = WebRequest(path=access.path, host=HOST, fetch_site="none", fetch_mode="navigate")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def enter(access: Access) -> str:
    return access.judge(request(access, token=access.token)).cookie


def test_a_token_becomes_a_cookie_once(access: Access) -> None:
    token = access.token
    verdict = access.judge(request(access, token=token))
    assert verdict.gate is Gate.ENTER
    assert verdict.cookie not in (token, access.token, "")
    again = access.judge(request(access, token=token))
    assert again.gate is Gate.REFUSE
    assert "has been used" in again.reason
    assert access.token != token
    assert enter(access) != verdict.cookie


def test_a_cookie_opens_every_page(access: Access) -> None:
    cookie = enter(access)
    for path in (access.path, f"{access.path}run/17", f"{access.path}static/view.js"):
        assert access.judge(request(access, path=path, cookie=cookie)).gate is Gate.OPEN


def test_a_used_link_still_opens_in_the_browser_that_has_the_cookie(access: Access) -> None:
    token = access.token
    cookie = enter(access)
    assert access.judge(request(access, token=token, cookie=cookie)).gate is Gate.OPEN


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"token": "wrong"},
        {"token": "secret"},
        {"token": "é\ud800"},
        {"cookie": "wrong"},
        {"cookie": "secret-1"},  # the token is no cookie
        {"path": "/"},
        {"path": "/", "token": "secret-1"},
        {"path": "/secret-0", "token": "secret-1"},
        {"is_socket": True, "origin": f"http://{HOST}", "token": "secret-1"},
        {"method": "HEAD", "token": "secret-1"},
        {"is_prefetch": True, "token": "secret-1"},
        {"method": "POST", "token": "secret-1"},
        {"host": "evil.example:8765", "token": "secret-1"},
    ],
)
def test_nothing_else_opens_it_nor_uses_up_the_token(
    access: Access, changes: dict[str, object]
) -> None:
    assert access.judge(request(access, **changes)).gate is Gate.REFUSE
    assert access.token == "secret-1"
    assert enter(access)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8765"},
        {"host": "127.0.0.1.evil.example:8765"},
        {"host": "localhost.evil.example"},
        {"host": "192.168.0.7:8765"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://{HOST}"},
        {"origin": "http://127.0.0.1:9999"},  # another user's server in the same browser
        {"is_socket": True, "origin": ""},
        {"is_socket": True, "origin": "http://evil.example"},
        {"is_socket": True, "origin": "http://localhost:8765"},
        {"is_socket": True, "origin": f"http://{HOST}", "fetch_site": "same-site"},
        {"fetch_site": "cross-site", "fetch_mode": "no-cors"},
        {"fetch_site": "same-site", "fetch_mode": "cors"},
        {"method": "POST"},
        {"method": "OPTIONS"},
    ],
)
def test_a_request_that_is_not_the_pages_own_is_refused_with_the_cookie_too(
    access: Access, changes: dict[str, object]
) -> None:
    cookie = enter(access)
    assert access.judge(request(access, cookie=cookie, **changes)).gate is Gate.REFUSE


@pytest.mark.parametrize("host", [HOST, "localhost:9000", "127.0.0.1", "[::1]:80", "[::1]"])
def test_the_page_is_reached_by_any_port_of_loopback(access: Access, host: str) -> None:
    cookie = enter(access)
    own = {"host": host, "origin": f"http://{host}", "is_socket": True, "cookie": cookie}
    assert access.judge(request(access, fetch_site="same-origin", **own)).gate is Gate.OPEN


@pytest.mark.parametrize(
    "host", ["::1", "localhost:", "localhost:x", "localhost:1:2", "a@localhost"]
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    assert not is_loopback(host)


def test_the_lines_that_lead_to_the_page() -> None:
    where = Listening("ann", "login3.uni.edu", 8765)
    assert link(where, "/p/", "t") == "http://127.0.0.1:8765/p/?token=t"
    assert ssh_line(where) == "ssh -N -L 8765:127.0.0.1:8765 ann@login3.uni.edu"
    (_, direct), (_, behind) = ways_to_open(where, {})
    assert direct == ssh_line(where)
    assert behind == "ssh -N -J GATEWAY -L 8765:127.0.0.1:8765 ann@login3.uni.edu"


def test_in_a_job_the_way_leads_through_the_login_node() -> None:
    node = Listening("ann", "n17", 8765)
    ((_, line),) = ways_to_open(node, {"SLURM_SUBMIT_HOST": "login3"})
    assert line == "ssh -N -J ann@login3 -L 8765:127.0.0.1:8765 ann@n17"
    assert len(ways_to_open(Listening("ann", "login3.uni.edu", 1), {"PBS_O_HOST": "login3"})) == 2


def test_a_unix_socket_comes_out_at_a_port() -> None:
    where = Listening("ann", "login3", socket="/home/ann/my runs/web.sock")
    assert link(where, "/p/", "t") == "http://127.0.0.1:8000/p/?token=t"
    assert ssh_line(where) == "ssh -N -L 8000:'/home/ann/my runs/web.sock' ann@login3"
