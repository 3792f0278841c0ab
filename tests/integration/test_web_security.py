"""The live page: who gets in, from where, and what stays of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.client_runs import wait_for
from tests.integration.web_server import PATIENCE, WebServer, get, make_run

NOBODY = 65534
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
)
#: Another user: tries the port without the link, and the socket.
INTRUDER = f"""
import os, socket, sys
os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
def ask(family, address, path):
    plug = socket.socket(family)
    plug.settimeout({PATIENCE})
    try:
        plug.connect(address)
    except OSError as error:
        return type(error).__name__
    plug.sendall(f"GET {{path}} HTTP/1.1\\r\\nHost: 127.0.0.1:1\\r\\nConnection: close\\r\\n\\r\\n".encode())
    answer = b""
    while piece := plug.recv(65536):
        answer += piece
    return answer.decode()
kind, address, *paths = sys.argv[1:]
for path in paths:
    print(ask(socket.AF_INET, ("127.0.0.1", int(address)), path) if kind == "port" else ask(socket.AF_UNIX, address, path))
    print("=====")
print(os.getuid())
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs."""
    folder = tmp_path_factory.mktemp("web") / "my runs"
    make_run(folder / "first")
    make_run(folder / "second")
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[WebServer]:
    one = WebServer(str(home))
    yield one
    one.kill()


@pytest.fixture(scope="module")
def cookie(server: WebServer) -> str:
    return server.enter()


@pytest.fixture(scope="module")
def key(server: WebServer, cookie: str) -> str:
    """What stands for a run in addresses."""
    lines = json.loads(get(server.port, f"{server.path}runs.json", Cookie=cookie).text)
    return str(lines[0]["key"])


def plug(server: WebServer, key: str, cookie: str, **headers: str) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}{server.path}socket/{key}",
        origin=headers.pop("Origin", f"http://127.0.0.1:{server.port}") or None,  # type: ignore[arg-type]
        additional_headers={"Cookie": cookie, **headers},
        open_timeout=PATIENCE,
        proxy=None,
    )


def as_nobody(kind: str, address: str, *paths: str) -> tuple[list[str], int]:
    """What another user is answered, and the uid of who asked."""
    words = [sys.executable, "-c", INTRUDER, kind, address, *paths]
    said = subprocess.run(
        words, capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout
    *answers, uid = said.split("=====\n")
    return answers, int(uid)


@pytest.fixture
def _needs_root() -> None:
    if os.getuid() == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail("CI=true, and not root: no second user can be made", pytrace=False)
    pytest.skip("not root: no second user can be made here")


# ---------------------------------------------------------------------- another user


@pytest.mark.usefixtures("_needs_root")
def test_another_user_of_the_host_is_refused_at_the_port(server: WebServer, key: str) -> None:
    paths = [
        server.path + page for page in ("", "runs", "runs.json", f"run/{key}", "static/view.js")
    ]
    answers, uid = as_nobody("port", str(server.port), "/", *paths, f"{server.path}?token=guess")
    assert uid == NOBODY
    assert len(answers) == 7
    for answer in answers:
        assert answer.startswith("HTTP/1.1 403 ")
        assert "first" not in answer
        assert "import" not in answer


@pytest.mark.usefixtures("_needs_root")
def test_another_user_cannot_open_the_unix_socket(home: Path, tmp_path: Path) -> None:
    path = Path("/tmp") / f"as-web-{os.getpid()}.sock"  # where others may look, too
    server = WebServer(str(home), "--socket", str(path))
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert as_nobody("unix", str(path), server.path) == (["PermissionError\n"], NOBODY)
        with socket.socket(socket.AF_UNIX) as mine:
            mine.settimeout(PATIENCE)
            mine.connect(str(path))
            mine.sendall(
                f"GET {server.path}?token={server.token} HTTP/1.1\r\nHost: localhost:9000\r\n\r\n".encode()
            )
            assert mine.recv(4096).startswith(b"HTTP/1.1 200 ")
        server.end()
        assert not path.exists()
    finally:
        server.kill()
        path.unlink(missing_ok=True)


def test_no_secret_is_where_others_can_read(server: WebServer, cookie: str) -> None:
    secrets = (server.token, server.path.strip("/"), cookie.partition("=")[2])
    pids = [server.process.pid]
    words = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)
    assert [secret for secret in secrets if secret.encode() in words] == []
    assert b"web" in words


# ------------------------------------------------------------------------- the link


def test_a_link_works_once_and_says_so(server: WebServer) -> None:
    used = server.token
    opened = get(server.port, f"{server.path}?token={used}")
    assert opened.status == 200
    crumbs = {part.strip().lower() for part in opened.headers["set-cookie"].split(";")[1:]}
    assert crumbs == {"httponly", "samesite=strict", f"path={server.path}".lower()}
    again = get(server.port, f"{server.path}?token={used}")
    assert again.status == 403
    assert "has been used" in again.text
    server.next_link()
    assert server.token != used
    assert server.enter() != opened.headers["set-cookie"].partition(";")[0]


def test_what_is_printed_leads_there(server: WebServer) -> None:
    if not any("Ctrl-C ends it" in line for line in server.printed):  # the last one of them
        server.line_with("Ctrl-C ends it")
    said = "".join(server.printed)
    assert re.search(rf"ssh -N -L {server.port}:127\.0\.0\.1:{server.port} \S+@\S+", said)
    assert "ssh -N -J GATEWAY" in said


# ----------------------------------------------------------------------- other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8765"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_other_sites_read_nothing_although_they_have_the_cookie(
    server: WebServer, cookie: str, headers: dict[str, str]
) -> None:
    for page in ("", "runs.json", "static/view.js"):
        answer = get(server.port, server.path + page, Cookie=cookie, **headers)
        assert answer.status == 403
        assert "Not shown" in answer.text
    assert get(server.port, f"{server.path}runs.json", Cookie=cookie).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Cookie": "adaptive-scheduler=guess"},
        {"Cookie": ""},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites_open_no_websocket(
    server: WebServer, cookie: str, key: str, headers: dict[str, str]
) -> None:
    if "Host" in headers:
        answer = get(
            server.port, f"{server.path}socket/{key}", Cookie=cookie, Upgrade="websocket",
            Connection="Upgrade", Origin="http://evil.example", Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", **headers,
        )  # fmt: skip
        assert answer.status == 403
        return
    with pytest.raises(InvalidStatus) as refused:
        plug(
            server, key, **{"cookie": cookie} | {"cookie": headers.pop("Cookie", cookie)}, **headers
        )
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_no_request_changes_anything(server: WebServer, cookie: str, method: str) -> None:
    for page in ("", "runs.json"):
        assert get(server.port, server.path + page, method, Cookie=cookie).status == 405


def test_every_answer_has_the_policy(server: WebServer, cookie: str, key: str) -> None:
    seen = set()
    for page in (
        "",
        "runs",
        "runs.json",
        f"run/{key}",
        "static/web.js",
        "static/no.js",
        "run/no",
        "x",
    ):
        for crumb in (cookie, ""):
            answer = get(server.port, server.path + page, Cookie=crumb)
            seen.add(answer.status)
            assert answer.headers["content-security-policy"].startswith(POLICY)
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "server" not in answer.headers
            assert "style=" not in answer.text
            assert "<script>" not in answer.text
    assert seen == {200, 403, 404}


@pytest.mark.parametrize(
    "page", ["static/../app.py", "static/%2e%2e%2fapp.py", "static/..%2Fapp.py"]
)
def test_no_other_file_is_served(server: WebServer, cookie: str, page: str) -> None:
    assert get(server.port, server.path + page, Cookie=cookie).status == 404


# ------------------------------------------------------------------------- websocket


def test_a_read_only_page_changes_nothing(server: WebServer, cookie: str, key: str) -> None:
    with plug(server, key, cookie) as talk:
        talk.send(json.dumps({"type": "hello"}))
        first = json.loads(talk.recv(PATIENCE))
        assert (first["type"], first["total"]) == ("summary", 1)
        for action in ("cancel", "retry", "resume", "jobs"):
            talk.send(json.dumps({"type": "do", "request": 7, "action": action, "items": [0]}))
            answer = wait_for_type(talk, "error")
            assert answer["request"] == 7


def wait_for_type(talk: ClientConnection, kind: str) -> dict[str, Any]:
    while (answer := json.loads(talk.recv(PATIENCE)))["type"] != kind:
        pass
    return dict(answer)


@pytest.mark.parametrize(
    "message", ["no json", "[]", "{", b"\x00\xff", "x" * 2_000_000, '{"a":' * 100_000]
)
def test_what_is_no_message_ends_that_page_alone(
    server: WebServer, cookie: str, key: str, message: str | bytes
) -> None:
    with plug(server, key, cookie) as other, plug(server, key, cookie) as talk:
        talk.send(message)
        with pytest.raises(ConnectionClosed):
            wait_for_type(talk, "never")
        other.send(json.dumps({"type": "hello"}))
        assert wait_for_type(other, "summary")


# ------------------------------------------------------------------ beginning and end


def test_it_ends_at_once_with_open_browsers(home: Path) -> None:
    server = WebServer(str(home / "first"))
    try:
        cookie = server.enter()
        page = get(server.port, server.path, Cookie=cookie)
        key = re.search(r'data-key="(\w+)"', page.text)
        assert key
        with contextlib.ExitStack() as browsers:
            for _ in range(5):
                talk = browsers.enter_context(plug(server, key[1], cookie))
                talk.send('{"type": "hello"}')
                wait_for_type(talk, "summary")
            assert server.end() < 120  # it takes a second; for ever, if it waited for them
        assert server.process.returncode == 0
        assert server.printed[-1] == "Ended. Runs go on.\n"
        assert "Traceback" not in "".join(server.printed)
    finally:
        server.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_as_well(home: Path, tmp_path: Path, number: int) -> None:
    path = tmp_path / "s"
    server = WebServer(str(home / "first"), "--socket", str(path))
    try:
        server.end(number)
        assert server.process.returncode == 0
        assert not path.exists()
    finally:
        server.kill()


def test_a_port_that_is_taken(server: WebServer, home: Path) -> None:
    other = WebServer(str(home))
    try:
        assert other.port != server.port
        assert other.path != server.path
    finally:
        other.kill()
    words = [
        sys.executable,
        "-m",
        "adaptive_scheduler.cli",
        "web",
        str(home),
        "--port",
        str(server.port),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert f"--port {server.port} cannot be had (Address already in use)" in done.stderr


def test_a_socket_that_a_killed_server_has_left_is_taken_over(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "my socket"
    first = WebServer(str(home / "first"), "--socket", str(path))
    words = [
        sys.executable,
        "-m",
        "adaptive_scheduler.cli",
        "web",
        str(home),
        "--socket",
        str(path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "another server listens there" in done.stderr
    first.kill()
    assert path.exists()
    second = WebServer(str(home / "first"), "--socket", str(path))
    second.end()
    assert second.process.returncode == 0


def test_the_index_shows_runs_that_come_and_go(server: WebServer, cookie: str, home: Path) -> None:
    def lines() -> dict[str, Any]:
        answer = get(server.port, f"{server.path}runs.json", Cookie=cookie)
        return {line["name"]: line for line in json.loads(answer.text)}

    found = wait_for(lambda: (seen := lines())["first"]["state"] and seen, PATIENCE)
    assert set(found) == {"first", "second"}
    first = found["first"]
    assert (first["state"], first["done"], first["total"]) == ("manager dead", 0, 1)
    assert first["started"].endswith("ago")
