"""What is made of urls of ssh, and of what ssh says."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.commandline.far_command import names_far_run
from adaptive_scheduler.commandline.output.terminal import quoted
from adaptive_scheduler.core.paths import URL_VARIABLE
from adaptive_scheduler.errors import FarHostError, FileError, InputError, RequestRefusedError
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.io.ssh import far_link, run_there
from adaptive_scheduler.io.ssh.commands import MARK, module_there, ssh_argv
from adaptive_scheduler.io.ssh.far_link import failure_of, value_of
from adaptive_scheduler.io.ssh.far_place import FarPlace, is_far, read_url
from adaptive_scheduler.io.ssh.far_session import FarAnswer, FarRequest, LostConnectionError, pack
from adaptive_scheduler.io.ssh.faults import ssh_fault
from adaptive_scheduler.io.ssh.tunnel import socket_folder
from adaptive_scheduler.runs.run_manager import RunManager, run_folder
from adaptive_scheduler.runs.sites import far_end
from adaptive_scheduler.runs.sites.find_site import site_for, site_of

PLACE = FarPlace("ssh://me@far:2222/run", "me@far", 2222, "/run")


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("ssh://far/a/b", "far", None, "/a/b"),
        ("ssh://me@Far.example:2222/a", "me@Far.example", 2222, "/a"),
        ("ssh://far/~/a run", "far", None, "~/a run"),
        ("ssh://far/a%20run/$HOME/50%25", "far", None, "/a run/$HOME/50%"),
        ("ssh://far/what?/a#b", "far", None, "/what?/a#b"),
        ("ssh://far//a/../b/", "far", None, "/b"),
        ("ssh://[::1]:22/a", "::1", 22, "/a"),
        ("ssh://-oProxyCommand=x/a", "-oProxyCommand=x", None, "/a"),
    ],
)
def test_urls(url: str, host: str, port: int | None, path: str) -> None:
    assert is_far(url)
    assert read_url(url) == FarPlace(url, host, port, path)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ssh://far", "names no folder"),
        ("ssh://far/", "names no folder"),
        ("ssh:///a", "names no host"),
        ("ssh://far:x/a", "Write ssh://user@host:port/path"),
        ("ssh://far:99999/a", "Write ssh://user@host:port/path"),
        ("ssh://me:secret@far/a", "no password"),
        ("ssh://far/a%00b", "names no"),
    ],
)
def test_urls_that_are_none(url: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        read_url(url)


def test_a_host_is_never_an_option_of_ssh() -> None:
    argv = ssh_argv(read_url("ssh://-oProxyCommand=x/a"), {})
    assert argv[-2:] == ["--", "-oProxyCommand=x"]


def test_another_ssh_may_be_named() -> None:
    argv = ssh_argv(PLACE, {"ADAPTIVE_SCHEDULER_SSH": "/opt/ssh -F 'my config'"})
    assert argv[:3] == ["/opt/ssh", "-F", "my config"]
    assert argv[-4:] == ["-p", "2222", "--", "me@far"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_each_path_comes_through_the_shell_there(path: str) -> None:
    """The login shell, and the bash in it."""
    place = FarPlace("", "far", None, f"/{path}")
    words = shlex.split(module_there(place, None, "module", path))
    assert words[:2] == ["bash", "-lc"]
    assert words[3:] == ["far", f"/{path}", "", MARK, "module", path]
    assert "\n" not in words[2]


def test_the_python_of_the_run_is_taken(tmp_path: Path) -> None:
    """Unless one is named; of a run that names none, python3."""
    home = tmp_path / "home"
    folder = home / "a run" / "db.tinydb.run"
    folder.mkdir(parents=True)
    (folder / "python").write_text("/bin/echo")
    for path in (str(folder), str(folder.parent), str(folder.with_name("db.tinydb")), "~/a run"):
        command = module_there(FarPlace("", "far", None, path), None, "module", "word")
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, env={"HOME": str(home)}, check=True
        )  # fmt: skip
        assert done.stdout == f"\n{MARK}\n-P -m module word\n"
    command = module_there(FarPlace("", "far", None, str(folder)), "/bin/false", "module")
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 1


@pytest.mark.parametrize(
    ("status", "said", "sentence"),
    [
        (255, "me@far: Permission denied (publickey).",
         ("me@far, port 2222: it does not let you in without a password. Give it your key (ssh-copy-id "
         "-p 2222 me@far), or load the key into an agent (ssh-add).")),
        (255, "@@@ REMOTE HOST IDENTIFICATION HAS CHANGED! @@@\nHost key verification failed.",
         ("me@far, port 2222: it shows another host key than before. Ask those who run it; if that is "
         "right, remove the old key: ssh-keygen -R '[far]:2222'.")),
        (255, "ssh: connect to host far port 2222: Connection timed out",
         "me@far, port 2222: it does not answer. Check host and port, and your network."),
        (255, "something new", "me@far cannot be used by ssh: something new"),
        (255, "", "me@far cannot be used by ssh: exit status 255"),
        (127, "no-python python3", ("me@far has no Python at python3. Give python=..., the path there of "
         "one that has adaptive_scheduler.")),
        (1, ("/usr/bin/python3: Error while finding module specification for "
         "'adaptive_scheduler.runs.sites.far_end' (ModuleNotFoundError: No module named "
         "'adaptive_scheduler')"), ("me@far: its Python has no adaptive_scheduler. Install it there, or "
         "give python=..., the path there of one that has it.")),
        (2, "unknown option -P", ("me@far: its Python is older than 3.11. Give python=..., the path there "
         "of a newer one.")),
    ],
)  # fmt: skip
def test_what_ssh_says_becomes_a_sentence(status: int, said: str, sentence: str) -> None:
    assert ssh_fault(PLACE, status, said) == sentence


@pytest.mark.parametrize("status", [1, 127])
def test_a_command_line_cannot_name_a_python(status: int) -> None:
    said = "no-python /venv/bin/python" if status == 127 else "No module named adaptive_scheduler"
    sentence = run_there._by_path(ssh_fault(PLACE, status, said), PLACE)
    assert "python=" not in sentence
    assert sentence.endswith(
        ". Check the path: it is the Python that the run in /run names, or python3 if no run is there."
    )
    other = ssh_fault(PLACE, 255, "Permission denied")
    assert run_there._by_path(other, PLACE) == other


@pytest.mark.parametrize(
    "error",
    [
        FileError("/a", "is gone"), RequestRefusedError("no_pool", "there is none"),
        InputError("wrong"), FileNotFoundError(2, "No such file or directory", "/a"),
    ],
)  # fmt: skip
def test_errors_travel(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        value_of(FarAnswer(1, b"", failure_of(error)))  # type: ignore[arg-type]
    assert describe(caught.value)[:2] == describe(error)[:2]


def test_an_error_that_nobody_expects_names_itself() -> None:
    with pytest.raises(FarHostError, match="ZeroDivisionError there: by zero"):
        value_of(FarAnswer(1, b"", failure_of(ZeroDivisionError("by zero"))))  # type: ignore[arg-type]


class FakeSession:
    """A session whose connection breaks at the first request."""

    def __init__(self) -> None:
        self.has_ended = threading.Event()

    def ask(self, _what: str, _values: Any) -> FarAnswer:
        raise LostConnectionError("broken")

    def why_lost(self) -> str:
        self.end()
        return "it broke"

    def stop(self) -> None:
        self.end()

    def end(self) -> None:
        self.has_ended.set()


def test_a_connection_that_comes_after_the_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ssh stayed as long as the program."""
    monkeypatch.setattr(far_link, "LAST_WAIT", 0.01)
    sessions = [FakeSession(), FakeSession(), FakeSession()]
    tries: list[int] = []
    may_connect = threading.Event()

    def connect() -> Any:
        tries.append(1)
        if len(tries) > 1:
            assert may_connect.wait(60)
        return sessions[len(tries) - 1]

    said: list[str] = []
    link = far_link.FarLink(PLACE, connect, lambda: None, said.append)
    link.open()
    with pytest.raises(LostConnectionError):
        link.try_ask("x")
    while len(tries) < 2:
        time.sleep(0.01)
    link.close()
    may_connect.set()
    assert sessions[1].has_ended.wait(60)
    assert len(said) == 1
    assert "is lost: it broke. It is taken up again" in said[0]
    with pytest.raises(FarHostError):
        link.ask("x")


def test_an_error_there_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of disks that are away: a connection that is lost later would never be taken up again."""
    monkeypatch.setattr(far_link, "LOOK", 0.01)
    monkeypatch.setattr(far_link, "FIRST_PAUSE", 0.01)
    sessions = [FakeSession(), FakeSession()]
    stale = OSError(116, "Stale file handle", "/run/manager.json")
    problems: list[Exception] = [stale, FileError(Path("/run/keys"), "is gone")]
    tries: list[Exception] = [stale, InputError("no folder")]

    def connect() -> Any:
        if len(sessions) == 1 and tries:
            raise tries.pop()
        return sessions.pop()

    def look() -> None:
        if problems:
            raise problems.pop()

    said: list[str] = []
    link = far_link.FarLink(PLACE, connect, look, said.append)
    link.open()
    while problems:
        time.sleep(0.01)
    with pytest.raises(LostConnectionError):
        link.try_ask("x")
    while sessions:
        time.sleep(0.01)
    link.wait()
    link.close()
    assert [text for text in said if "tried again" in text] == [
        "/run/keys: is gone. It is tried again.",
        f"{stale}. It is tried again.",
        "no folder. It is tried again.",
        f"{stale}. It is tried again.",
    ]


def test_the_program_there_ends_when_its_driver_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection may have ended without a word: a network that was switched off."""
    monkeypatch.setattr(far_end, "SILENCE", 0.05)
    there, here = os.pipe()
    answers = io.BytesIO()
    with os.fdopen(there, "rb") as requests, os.fdopen(here, "wb", buffering=0) as driver:
        driver.write(pack(FarRequest(7, "enter", ["/nowhere/run", True])))
        far_end.serve(requests, answers)
    assert b"/nowhere/run" in answers.getvalue()


def test_a_run_of_learners_is_not_started_from_afar(tmp_path: Path) -> None:
    for folder in ("ssh://far/a", Path("ssh://far/a")):
        with pytest.raises(InputError, match="only Executor and the command line"):
            run_folder(folder, "")
    with pytest.raises(InputError, match="as a text"):
        site_of(Path("ssh://far/a"), None)
    with pytest.raises(InputError, match="as a text"):
        site_for(Path("ssh://far/a"), "", None, None)
    for folder in ("SSH://far/a", "sftp://far/a", "file:///a"):
        with pytest.raises(InputError, match="in small letters"):
            site_for(folder, "", None, None)
    assert run_folder("a:/b", "").home.name == "b"
    with pytest.raises(InputError, match="started on the host itself"):
        RunManager.attach("ssh://far/a")


def test_which_command_lines_go_there() -> None:
    assert names_far_run(["status", "ssh://far/a"])
    assert not names_far_run(["status", "ssh/far"])


def test_hints_of_a_command_that_runs_there_name_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """They named the path there, of which this machine knows nothing."""
    line = module_there(PLACE, None, "module", "word", is_for_people=True)
    assert f"export {URL_VARIABLE}={PLACE.url};" in shlex.split(line)[2]
    monkeypatch.setenv(URL_VARIABLE, PLACE.url)
    assert quoted("/run") == PLACE.url
    assert quoted("/other") == "/other"
    monkeypatch.setenv(URL_VARIABLE, "ssh://far/~/a run")
    assert quoted(Path("~/a run").expanduser()) == "'ssh://far/~/a run'"
    monkeypatch.delenv(URL_VARIABLE)
    assert quoted("/a run") == "'/a run'"


def test_folders_of_killed_drivers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of others, nor one with something in it, nor a new one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, new, full = (tmp_path / f"as-ssh-{dead.pid}-{name}" for name in "abc")
    mine, other = tmp_path / f"as-ssh-{os.getpid()}-a", tmp_path / "as-sshd-1-a"
    for path in (left, new, full, mine, other):
        path.mkdir()
    (full / "socket.0").touch()
    for path in (left, full, mine, other):
        os.utime(path, (0, 0))
    with socket_folder() as name:
        assert Path(name).parent == tmp_path
        assert sorted(tmp_path.iterdir()) == sorted([new, full, mine, other, Path(name)])
