"""Runs git to read a repository: resolves a branch or tag, and fetches. `checkouts` keeps the commits. Imports only the
standard library, as every container starts with this module.

Git gets the token from a credential helper that reads it from the child's environment. It is in no command line, URL or
file, and is removed from git's messages.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from data_platform.code.child import TimedOut, output_of

RESOLVE_SECONDS = 30.0
FETCH_SECONDS = 300.0
HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TOKEN_VARIABLE = "DATA_PLATFORM_GIT_TOKEN"  # noqa: S105  a name
# What GitHub and GitLab take beside a token; a URL with a user name (Bitbucket's x-token-auth) says another.
_USER = "x-access-token"
# Gives up a dead connection within a minute.
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_VERBS = ("ls-remote", "fetch", "init", "cat-file", "read-tree", "checkout-index", "rev-list")
_REFUSALS = ("could not read Username", "Authentication failed", "error: 401", "error: 403")

Kind = Literal["branch", "tag", "commit"]


class GitFailed(Exception):
    """Git or the repository's server failed; the message says how and why, without the token."""


class RefMissing(GitFailed):
    """The repository doesn't have the branch, tag or commit: a retry doesn't help."""


@dataclass(frozen=True)
class Resolved:
    """A ref's kind and its commit at this moment."""

    kind: Kind
    commit: str


@dataclass(frozen=True)
class Remote:
    """A repository by its URL (or folder), and a ref: a branch to follow, or a tag or a commit's full hash. `prefix` is
    that of the settings, for messages."""

    url: str
    ref: str
    token: str | None = field(default=None, repr=False)
    prefix: str = "DATA_PLATFORM_CODE"

    def __post_init__(self) -> None:
        """Raises GitFailed for a URL that would reveal the token, and for an invalid URL or ref."""
        try:
            parts = urlsplit(self.url) if "://" in self.url else None
        except ValueError:  # its host is not one; the message would repeat it
            parts = urlsplit("-")
        if self.url.startswith("-") or not self.url.strip() or (parts is not None and not parts.scheme):
            raise GitFailed(f"{self.prefix}_URL is no git URL: expected for example https://git.example.org/team/x.git")
        if self.ref.startswith("-") or not re.fullmatch(r"[^\s~^:?*\[\\\x00-\x1f]+", self.ref):
            raise GitFailed(f"{self.prefix}_REF is {self.ref!r}: expected a branch, a tag or a commit's full hash")
        # Git accepts a token as the user name, too: https://TOKEN@host, and https://TOKEN:@host with no password.
        alone = parts is not None and parts.scheme in ("http", "https") and parts.username and not self.token
        if parts is not None and (parts.password is not None or alone):
            raise GitFailed(
                f"{self.prefix}_URL holds a password or a token, which logs and runs would show: take it out, and set"
                f" {self.prefix}_TOKEN"
            )
        if parts is not None and parts.scheme == "http" and self.token and not _is_loopback(parts.hostname or ""):
            raise GitFailed(f"{self.prefix}_URL is http://, and would send the token in the clear: use https://")

    @property
    def pinned(self) -> str | None:
        """The commit, if the ref is one."""
        return self.ref if HASH.fullmatch(self.ref) else None

    def resolve(self) -> Resolved:
        """Asks the remote for the ref's commit. A branch wins over a tag of the same name. Raises GitFailed."""
        if self.pinned:
            return Resolved("commit", self.pinned)
        branch, tag = f"refs/heads/{self.ref}", f"refs/tags/{self.ref}"
        listed = self.run(["ls-remote", self.url, branch, tag, f"{tag}^{{}}"], seconds=RESOLVE_SECONDS)
        found = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
        if branch in found:
            return Resolved("branch", found[branch])
        if tag in found:  # an annotated tag is an object of its own; ^{} is the commit
            return Resolved("tag", found.get(f"{tag}^{{}}", found[tag]))
        raise RefMissing(f"{self.url} has no branch or tag {self.ref!r}: set {self.prefix}_REF to one that it has")

    def run(
        self,
        arguments: Sequence[str],
        *,
        seconds: float = 60.0,
        environment: Mapping[str, str] | None = None,
        holds: Sequence[int] = (),
    ) -> str:
        """Returns the output of a git command, which inherits the descriptors `holds`. Raises GitFailed with git's
        message, without the token; also after `seconds`, when it has killed git and its children."""
        try:
            code, printed, said = output_of(
                ["git", *arguments],
                _environment(self.url, self.token) | dict(environment or {}),
                seconds=seconds,
                holds=holds,
            )
        except FileNotFoundError:
            raise GitFailed("git is not installed here, and code from a repository needs it") from None
        except TimedOut:
            raise GitFailed(f"{self.url} gave no answer within {seconds:.0f} s (git {arguments[0]})") from None
        if code != 0:
            raise self._failure(arguments, self.scrub(said))
        return printed

    def scrub(self, text: str) -> str:
        """The text without the token, in any form in which git or a server may repeat it."""
        return scrub(text, self.token)

    def _failure(self, arguments: Sequence[str], said: str) -> GitFailed:
        lines = [line for line in said.splitlines() if line.strip() and not line.startswith("hint:")]
        verb = next((word for word in arguments if word in _VERBS), arguments[0])
        text = f"git {verb} of {self.url} failed: {' '.join(lines[-4:]) or 'no message'}"
        if any(sign in said for sign in _REFUSALS):
            wrong = (
                "is not accepted: is it still valid, and may it read the repository?" if self.token else "is missing"
            )
            text += f"\n{self.prefix}_TOKEN {wrong}"
        if "dubious ownership" in said:
            owner = "the user that this process is"
            text = f"git {verb} of {self.url} failed: the folder must belong to {owner}, or be served over https or ssh"
        gone = any(sign in said for sign in ("not our ref", "unadvertised object"))
        return RefMissing(text) if gone else GitFailed(text)


def scrub(text: str, token: str | None) -> str:
    """The text without the token as it is, as in a URL, or as in an Authorization header."""
    if not token:
        return text
    forms = {token, quote(token, safe=""), quote(token)}
    forms |= {
        base64.b64encode(f"{user}:{token}".encode()).decode() for user in (_USER, "oauth2", "git", "x-token-auth")
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _environment(url: str, token: str | None) -> dict[str, str]:
    """Git's whole environment: no configuration of the user or system, no prompt, no protocol that runs a program. With
    a token, a helper that gives it only to the URL's own host, not to the target of a redirect."""
    from data_platform.environment.machine import machine_environment  # imports pydantic, which not every start needs

    inherited = machine_environment("SSH_AUTH_SOCK")
    settings = {"credential.helper": "", "gc.autoDetach": "false", "advice.detachedHead": "false"}
    settings |= {"http.lowSpeedLimit": "1000", "http.lowSpeedTime": "20", "core.hooksPath": "/dev/null"}
    if "SSL_CERT_FILE" in inherited:
        settings["http.sslCAInfo"] = inherited["SSL_CERT_FILE"]
    parts = urlsplit(url)
    if token and parts.scheme in ("http", "https"):
        user = "" if parts.username else f"echo username={_USER}; "
        # Not `echo`, which interprets backslashes in some shells.
        helper = f'!f() {{ test "$1" = get && {{ {user}printf "password=%s\\n" "${_TOKEN_VARIABLE}"; }}; }}; f'
        settings[f"credential.{parts.scheme}://{parts.netloc.rpartition('@')[2]}.helper"] = helper
        inherited[_TOKEN_VARIABLE] = token
    for number, (name, value) in enumerate(settings.items()):
        inherited |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return inherited | {
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(Path("/dev/null")),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_SSH_COMMAND": _SSH,
        "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",
        "LC_ALL": "C.UTF-8",
    }


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
