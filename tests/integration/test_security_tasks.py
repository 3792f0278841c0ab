"""Tasks: who may read and write their files, who may speak to a head, and what is quoted."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler import Command, Executor
from adaptive_scheduler.client.tasks.frames import LONGEST, Frames, accept, connect, listen
from adaptive_scheduler.client.tasks.messages import FromAgent, Ready, ToAgent
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.tasks.command_spec import CommandSpec
from adaptive_scheduler.core.tasks.pools import Pool, check_pool
from adaptive_scheduler.core.wire.messages import (
    Owner,
    decode_reply,
    decode_request,
    encode_request,
)
from adaptive_scheduler.core.wire.tasks import Collect, NewTask, Submit, Trade
from adaptive_scheduler.errors import InputError, ProtocolError
from adaptive_scheduler.io.transport import keys
from adaptive_scheduler.runs.sites.local import LocalSite
from adaptive_scheduler.scheduler import Here, LocalScheduler
from tests.integration.attacker import NOBODY
from tests.integration.test_security_files import Trap, _modes
from tests.integration.test_security_quoting import very_odd_strings
from tests.integration.test_security_secrets import forms

ROOT = Path(__file__).resolve().parents[2]
ODD = [
    "$HOME", "$(touch owned)", "`touch owned`", "a\nb", "'", '"', "'\"'\"'", ";touch owned;", "a b",
    "&& touch owned", "| touch owned", "> owned", "*", "~", "\\", "{x}", "{{x}}", "-rf", "#", "é", "",
]  # fmt: skip

DRIVER = """
    import os, sys
    from adaptive_scheduler import Command, Executor, float_file, json_value
    from adaptive_scheduler.scheduler import Here
    odd, folder = sys.argv[2:], sys.argv[1]

    def large(x):
        return b"v" * 200_000

    says = Command([sys.executable, "-c", "import json, sys; json.dump(sys.argv[1:], open('said', 'w'))",
                    "{word}", "{_name}"], value=json_value("said"), inputs=["base.dat"])
    text = Command("printf %s {word} > out && cat {_param_file} > copy", inputs=["base.dat"])
    with Executor(Here(slots=2), folder=folder) as executor:
        assert len(executor.submit(large, 1).result(60)) == 200_000
        futures = [executor.options(tag=word[:50], name=word).submit(says, word=word) for word in odd]
        texts = [executor.submit(text, word=word) for word in odd]
        for word, future, other in zip(odd, futures, texts):
            said = future.result(60)
            assert said[0] == word, (said, word)
            other.result(60)
            assert (other.folder / "out").read_text() == word
        assert {row["name"] for row in executor.tasks()} >= set(odd)
    print("fine")
"""


def _look(home: Path, secrets: list[bytes]) -> dict[str, int]:
    """Look at every file of a run and every process; returns the modes by path."""
    for process in Path("/proc").iterdir():
        for part in ("cmdline", "environ") if process.name.isdigit() else ():
            try:
                content = (process / part).read_bytes()
            except OSError:  # it has ended
                continue
            assert not any(secret in content for secret in secrets), f"a key in {process / part}"
    return {str(path.relative_to(home)): mode for path, mode in _modes(home)}


def _secrets(folder: RunFolder) -> list[bytes]:
    try:
        pairs = [keys.load(folder.keys, name) for name in ("client", "server")]
    except Exception:  # they are not there yet, or only half of them
        return []
    return [form for pair in pairs for form in forms(pair.secret)]


def test_files_of_tasks_are_as_private_as_those_of_learners(tmp_path: Path) -> None:
    """With the widest umask, watched while calls and commands with odd parameters run."""
    (tmp_path / "base.dat").write_text("base")
    home = tmp_path / "a 'b' $(touch owned) run"
    folder = RunFolder(home)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), str(home), *ODD], cwd=tmp_path, umask=0,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen: dict[str, int] = {}
    has_ended = False
    while not has_ended:
        has_ended = process.poll() is not None  # it is looked at after that, too
        seen |= _look(home, _secrets(folder)) if home.exists() else {}
        time.sleep(0.1)
    said = process.communicate(timeout=60)[0]
    assert (process.returncode, said) == (0, "fine\n")
    private = f"{folder.folder.name}/"
    for name, mode in seen.items():
        if name.startswith(private):
            assert not mode & 0o077, f"{name} is {stat.filemode(mode)}"
        elif name.startswith("tasks"):
            is_ours = name.count("/") < 2 or name.endswith("params.json")
            assert not (is_ours and mode & 0o002), f"{name} is {stat.filemode(mode)}"
    for kind in ("functions/", "values/", "journal"):
        assert any(name.startswith(private + kind) for name in seen), kind
    assert any(name.startswith("tasks/") for name in seen)
    assert not list(tmp_path.rglob("owned"))
    secrets = _secrets(folder)
    assert secrets
    for path in (path for path, mode in _modes(home) if stat.S_ISREG(mode)):
        # a temporary one of the manager, which ends after its driver
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            is_key = folder.keys in path.parents
            assert is_key or not any(secret in content for secret in secrets), path


def test_odd_words_are_one_argument_in_lists_and_texts(tmp_path: Path) -> None:
    known = {"_name": "n", "_index": 0, "_nodes": 1, "_ranks": 1}
    folder = RunFolder(tmp_path / "run")
    text, listed = Command("printf '%s' {w}"), Command(["prog", "--w={w}"])
    for word in [one for one in very_odd_strings(1500, 5) if max(one, default="") < "\udc80"]:
        spec = msgspec.msgpack.decode(
            text.encode(LocalSite(folder), {"w": word}, known).spec, type=CommandSpec
        )
        assert shlex.split(spec.steps[0].text)[2] == word
        spec = msgspec.msgpack.decode(
            listed.encode(LocalSite(folder), {"w": word}, known).spec, type=CommandSpec
        )
        assert spec.steps[0].argv == ["prog", f"--w={word}"]
    with pytest.raises(InputError, match="NUL"):
        listed.encode(LocalSite(folder), {"w": "a\0b"}, known)


@pytest.mark.parametrize(
    "name", [3, None, "$(id)", "`id`", "a b", "a;b", "a\nb", "'", '"', "../x", "-x", ""]
)
def test_the_name_of_a_pool_is_a_plain_word(name: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of a pool"):
        check_pool(Pool(name=name, resources=Resources(cores=1)))
    for where in (Here(slots=1), LocalScheduler(cores=1, max_cores=1)):
        with pytest.raises(InputError, match="of a pool"):
            Executor(where, tmp_path / "run", pool=name)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ the head's socket


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: no process can be another user's")
def test_another_user_cannot_be_the_agent_of_a_head() -> None:
    server, address = listen()
    code = f"""
        import os, socket
        os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
        sock = socket.socket(socket.AF_UNIX)
        sock.connect("\\0" + {address[1:]!r})
        sock.settimeout(20)
        try:
            print("closed" if sock.recv(1) == b"" else "open")
        except ConnectionResetError:
            print("closed")
    """
    with subprocess.Popen(
        [sys.executable, "-I", "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    ) as stranger:
        server.settimeout(20)
        assert accept(server) is None
        assert stranger.communicate(timeout=20)[0] == "closed\n"
    mine = connect(address)
    accepted = accept(server)
    assert accepted is not None
    for sock in (mine, accepted[0], server):
        sock.close()


BAD_FRAMES = {
    "gigabytes": (3 * 2**30).to_bytes(4, "big") + b"x" * 100,
    "just too long": (LONGEST + 1).to_bytes(4, "big"),
    "deep": b"\x91" * 200_000,
    "deep behind": None,
    "a pickle": b"\x80\x04cos\nsystem\n.",
    "wrong types": msgspec.msgpack.encode(["Ready", {"a": 1}, [], "x"]),
    "no message": msgspec.msgpack.encode(17),
    "a huge array": b"\xdd\xff\xff\xff\xff",
    "a huge text": b"\xdb\xff\xff\xff\xff",
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
@pytest.mark.parametrize("decodes", [FromAgent, ToAgent], ids=["head", "agent"])
def test_a_bad_frame_between_head_and_agent_is_refused(kind: str, decodes: Any) -> None:
    body = BAD_FRAMES[kind]
    if body is None:
        body = msgspec.msgpack.encode(Ready("node", 1, 1))
        body = bytes([body[0] + 1]) + body[1:] + b"\x91" * 200_000
    if kind not in ("gigabytes", "just too long"):
        body = len(body).to_bytes(4, "big") + body
    here, there = socket.socketpair()
    with here, there:
        frames = Frames(here, msgspec.msgpack.Decoder(decodes))
        there.sendall(body[:150_000])
        with pytest.raises(ProtocolError):
            _exchange(frames, there, body[150_000:])


def _exchange(frames: Frames, there: socket.socket, rest: bytes) -> None:
    for n in range(200):
        list(frames.receive())
        there.send(rest[4096 * n :][:4096] or bytes(4096))


@pytest.mark.parametrize(
    "request_of", [Collect(0, 1.0), Trade(wait=1.0), Submit("b", [], [NewTask(b"x")])]
)
def test_nested_and_huge_requests_are_no_requests(request_of: Any, tmp_path: Path) -> None:
    import pickle

    valid = encode_request(Owner("1", 0, 0, "u"), 1, request_of)
    mark = tmp_path / "mark"
    for cut in range(1, len(valid), 3):
        for tail in (b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
                     pickle.dumps(Trap(mark))):  # fmt: skip
            for decode in (decode_request, decode_reply):
                try:
                    decode(valid[:cut] + tail)
                except ProtocolError:
                    continue
    assert not mark.exists()
