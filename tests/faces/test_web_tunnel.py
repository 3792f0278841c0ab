"""`adaptive-scheduler web` as seen from home: through the ssh tunnel of the line that it prints."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clusters.sshd import HOST, PrivateSshd, free_port
from tests.faces.browsers import expect, launch, new_context, new_page
from tests.integration.client_runs import wait_for
from tests.integration.web_server import WebServer, get, make_run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@contextmanager
def tunnel(sshd: PrivateSshd, printed: str) -> Iterator[int]:
    """The command that was printed; with another port of here, for this machine is both ends."""
    (forward,) = re.findall(r"ssh -N -L (\d+:127\.0\.0\.1:\d+) \S+@\S+", printed)
    here, there = free_port(), forward.partition(":")[2]
    ssh = subprocess.Popen(
        [
            *shlex.split(sshd.ssh),
            "-N",
            "-o",
            "ExitOnForwardFailure=yes",
            "-L",
            f"{here}:{there}",
            HOST,
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield here
    finally:
        ssh.kill()
        ssh.wait()


@pytest.mark.timeout(300)
def test_a_browser_at_home_shows_and_changes_a_run_through_the_tunnel(
    sshd: PrivateSshd, tmp_path: Path
) -> None:
    make_run(tmp_path / "a run")
    server = WebServer(str(tmp_path / "a run"), "--allow-changes")
    try:
        with (
            tunnel(sshd, server.line_with("ssh -N -L")) as port,
            playwright.sync_playwright() as driver,
        ):
            page = new_page(new_context(launch(driver)))
            wait_for(lambda: answers(port, server.path), timeout=180)
            page.goto(server.url.replace(f":{server.port}/", f":{port}/"))
            sentence = page.locator(".as-sentence")
            expect(sentence).to_contain_text("0 of 1 learner")
            page.locator("[data-action=cancel_run]").first.click()
            page.locator(".as-question .as-yes").click()
            expect(sentence).to_contain_text("1 cancelled")
    finally:
        server.kill()


def answers(port: int, path: str) -> bool:
    """Whether the tunnel is open; without its link the server lets nobody in."""
    try:
        return get(port, path).status == 403
    except OSError:
        return False
