"""Reading a repository: refs, errors in plain words, and a token that shows nowhere."""

from __future__ import annotations

import base64
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_platform.code.git import GitFailed, RefMissing, Remote, Resolved, scrub
from data_platform_tests.code.origin import Origin
from data_platform_tests.servers.git_http import serving

TOKEN = "planted+token/4f9a1c"
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=8, max_size=60)


def test_a_branch_a_tag_and_a_hash_are_told_apart(origin: Origin) -> None:
    first = origin.push({"a": "1"})
    origin.push_tag("v1")
    second = origin.push({"a": "2"})
    url = str(origin.bare)
    assert Remote(url, "main").resolve() == Resolved("branch", second)
    assert Remote(url, "v1").resolve() == Resolved("tag", first)
    assert Remote(url, first).resolve() == Resolved("commit", first)


def test_a_branch_goes_before_a_tag_of_the_same_name(origin: Origin) -> None:
    origin.push({"a": "1"})
    origin.push_tag("both")
    second = origin.push({"a": "2"}, branch="both")
    assert Remote(str(origin.bare), "both").resolve() == Resolved("branch", second)


def test_a_name_that_ends_like_the_ref_is_not_taken_for_it(origin: Origin) -> None:
    origin.push({"a": "1"}, branch="team/main")
    with pytest.raises(RefMissing, match=r"no branch or tag 'main'.*DATA_PLATFORM_CODE_REF"):
        Remote(str(origin.bare), "main").resolve()


@pytest.mark.parametrize(
    ("url", "ref", "why"),
    [
        ("https://me:secret@git.example.org/x.git", "main", "holds a password"),
        ("https://secret:@git.example.org/x.git", "main", "holds a password or a token"),
        ("https://[secret", "main", "no git URL"),
        ("http://git.example.org/x.git", "main", "in the clear"),
        ("--upload-pack=touch /tmp/x", "main", "no git URL"),
        ("https://git.example.org/x.git", "--output=/tmp/x", "expected a branch"),
        ("https://git.example.org/x.git", "a b", "expected a branch"),
    ],
)
def test_what_would_be_unsafe_is_refused_before_git_sees_it(url: str, ref: str, why: str) -> None:
    with pytest.raises(GitFailed, match=why) as error:
        Remote(url, ref, token="t0ken-t0ken")
    assert "secret" not in str(error.value)


def test_a_user_without_a_token_may_be_a_token() -> None:
    """GitHub takes https://TOKEN@github.com/..."""
    with pytest.raises(GitFailed, match="holds a password or a token") as error:
        Remote("https://secret@git.example.org/x.git", "main")
    assert "secret" not in str(error.value)
    assert Remote("https://x-token-auth@git.example.org/x.git", "main", token="t0ken-t0ken").url
    assert Remote("ssh://git@git.example.org/x.git", "main").url


def test_a_protocol_that_runs_a_program_is_not_spoken(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="not allowed"):
        Remote(f"ext::touch {tmp_path / 'ran'}", "main").resolve()
    assert not (tmp_path / "ran").exists()


@settings(max_examples=40)
@given(token=tokens, before=st.text(max_size=30), after=st.text(max_size=30))
def test_no_form_of_a_token_survives(token: str, before: str, after: str) -> None:
    header = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    for form in (token, quote(token, safe=""), quote(token), header):
        clean = scrub(f"{before}{form}{after}", token)
        assert token not in clean
        assert quote(token, safe="") not in clean
        assert header not in clean


def test_the_token_opens_the_remote_and_stands_in_no_command_line(origin: Origin) -> None:
    commit = origin.push({"a": "1"})
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):  # it has ended
                    seen.add(file.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    deadline = time.monotonic() + 60
    try:
        with serving(origin.bare.parent, TOKEN) as server:
            for _ in range(5):
                assert Remote(server.url(origin.bare), "main", TOKEN).resolve().commit == commit
            while not any(b"ls-remote" in line for line in list(seen)):
                assert time.monotonic() < deadline
                Remote(server.url(origin.bare), "main", TOKEN).resolve()
    finally:
        over.set()
        watcher.join()
    assert not [line for line in seen if TOKEN.encode() in line]


@pytest.mark.parametrize(("token", "why"), [(None, "_TOKEN is missing"), ("wrong-token-9", "_TOKEN is not accepted")])
def test_a_remote_that_refuses_is_explained_without_the_token(origin: Origin, token: str | None, why: str) -> None:
    origin.push({"a": "1"})
    with serving(origin.bare.parent, TOKEN) as server, pytest.raises(GitFailed, match=why) as error:
        Remote(server.url(origin.bare), "main", token).resolve()
    assert "wrong-token-9" not in str(error.value)
    assert base64.b64encode(b"x-access-token:wrong-token-9").decode() not in str(error.value)


@pytest.mark.parametrize("token", [TOKEN, 'a\\tb\\\\c-$HOME-`id`-"quoted"'])
def test_a_redirect_to_another_host_gets_no_token(origin: Origin, token: str) -> None:
    """The helper is for the URL's own host: 127.0.0.1 isn't localhost."""
    commit = origin.push({"a": "1"})
    with serving(origin.bare.parent, token) as behind, _redirecting(token, behind.port) as before:
        assert Remote(behind.url(origin.bare), "main", token).resolve().commit == commit
        behind.given.clear()
        with pytest.raises(GitFailed):
            Remote(f"http://127.0.0.1:{before.server_port}/{origin.bare.name}", "main", token).resolve()
        assert before.let_in
        assert behind.given == [""]


@contextmanager
def _redirecting(token: str, port: int) -> Iterator[Any]:
    """A server that asks for the token, and sends whoever has it to localhost:`port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = base64.b64decode(self.headers.get("Authorization", "").partition(" ")[2]).decode()
            server.let_in |= given.endswith(f":{token}")
            self.send_response(302 if given.endswith(f":{token}") else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Location", f"http://localhost:{port}{self.path}")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.let_in = False
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def test_an_answer_that_never_comes_is_given_up() -> None:
    began = time.monotonic()
    with pytest.raises(GitFailed, match="no answer within 1 s"):
        Remote("/tmp/x", "main").run(["-c", "alias.wait=!sleep 60", "wait"], seconds=1.0)
    assert time.monotonic() - began < 50


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_another_user_is_said_to_be_one(origin: Origin) -> None:
    """Git's own advice, to configure it, wouldn't help: it sees nobody's configuration."""
    os.chown(origin.bare, 12345, 12345)
    with pytest.raises(GitFailed, match="must belong to the user") as error:
        Remote(str(origin.bare), "main").resolve()
    assert "git config" not in str(error.value)
