"""Reading a repository: refs, errors in plain words, and a token that shows nowhere."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
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


def test_a_protocol_that_runs_a_program_is_not_spoken(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="not allowed"):
        Remote(f"ext::touch {tmp_path / 'ran'}", "main").resolve()
    assert not (tmp_path / "ran").exists()


@given(token=tokens, before=st.text(max_size=30), after=st.text(max_size=30))
def test_no_form_of_a_token_survives(token: str, before: str, after: str) -> None:
    header = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    for form in (token, quote(token, safe=""), quote(token), header):
        clean = scrub(f"{before}{form}{after}", token)
        assert token not in clean
        assert quote(token, safe="") not in clean
        assert header not in clean


def test_the_token_opens_the_remote_and_stands_in_no_command_line(origin: Origin, tmp_path: Path) -> None:
    commit = origin.push({"a": "1"})
    with serving(origin.bare.parent, TOKEN) as server:
        seen = tmp_path / "argv"
        watch = subprocess.Popen([sys.executable, "-c", _WATCH, str(seen)])
        try:
            for _ in range(5):
                assert Remote(server.url(origin.bare), "main", TOKEN).resolve().commit == commit
            time.sleep(0.2)
        finally:
            watch.kill()
            watch.wait()
    lines = seen.read_text()
    assert "ls-remote" in lines
    assert TOKEN not in lines


_WATCH = """
import pathlib, sys
found = set()
while True:
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try: found.add(file.read_bytes().replace(b"\\0", b" ").decode(errors="replace"))
        except OSError: pass
    pathlib.Path(sys.argv[1]).write_text("\\n".join(found))
"""


@pytest.mark.parametrize(("token", "why"), [(None, "_TOKEN is missing"), ("wrong-token-9", "_TOKEN is not accepted")])
def test_a_remote_that_refuses_is_explained_without_the_token(origin: Origin, token: str | None, why: str) -> None:
    origin.push({"a": "1"})
    with serving(origin.bare.parent, TOKEN) as server, pytest.raises(GitFailed, match=why) as error:
        Remote(server.url(origin.bare), "main", token).resolve()
    assert "wrong-token-9" not in str(error.value)
    assert base64.b64encode(b"x-access-token:wrong-token-9").decode() not in str(error.value)


def test_a_redirect_to_another_host_gets_no_token(origin: Origin) -> None:
    """The helper is for the URL's own host: 127.0.0.1 isn't localhost."""
    origin.push({"a": "1"})
    with serving(origin.bare.parent, TOKEN) as server:
        elsewhere = Remote(f"http://localhost:{server.port}/{origin.bare.name}", "main", TOKEN)
        assert elsewhere.resolve().kind == "branch"
        environment = {"GIT_CONFIG_KEY_0": "url.http://127.0.0.1.insteadOf", "GIT_CONFIG_VALUE_0": "http://localhost"}
        with pytest.raises(GitFailed):
            elsewhere.run(["ls-remote", elsewhere.url], environment=environment)


def test_an_answer_that_never_comes_is_given_up() -> None:
    began = time.monotonic()
    with pytest.raises(GitFailed, match="no answer within 1 s"):
        Remote("/tmp/x", "main").run(["-c", "alias.wait=!sleep 60", "wait"], seconds=1.0)
    assert time.monotonic() - began < 10
