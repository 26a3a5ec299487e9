"""What `data-platform smoke` asks for, and what it says where the file comes no further.

`end_to_end/test_new_user.py` tries the whole of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncssh
import click
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from data_platform.cli import main
from data_platform.cli.smoke import cleanup, declaration, steps
from data_platform.cli.smoke.sftp import Sftp, SftpFailed
from data_platform.environment import Settings
from data_platform.feeds.declared import declared_feeds
from data_platform.landing.outcomes import DeliveryRow

NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)
ROW = DeliveryRow(
    *("0" * 32, "smoke", "probe", "probe_1.csv", "inbound/smoke/probe_1.csv", "v", "e", 1, None, NOW, None),
    *("loaded", None, 4, 3, 1, "x", None, "run", NOW),
)


def probe(**given: Any) -> steps.Probe:
    nothing = cast(Any, SimpleNamespace())
    return steps.Probe(nothing, "D", nothing, nothing, nothing, **{"seconds": 0.0, **given})


def said_of(monkeypatch: pytest.MonkeyPatch, *rows: DeliveryRow) -> str:
    monkeypatch.setattr(steps, "list_deliveries", lambda *_, **__: list(rows))
    with pytest.raises(steps.SmokeFailed) as failed:
        probe().follow()
    return failed.value.message


def test_a_file_that_no_run_settles_is_said_to_be_in_inbound(monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(monkeypatch)
    assert said.startswith("Stopped after 0.0 s: the file is in inbound") and "deliveries pending" in said


def test_another_outcome_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = replace(ROW, status="quarantined", reason="it has a fault", rows_loaded=0)
    assert "quarantined with 0 rows and 1 rejects, expected loaded with 3 and 1: it has a fault" in said_of(
        monkeypatch, bad
    )


def test_dbts_user_counts_the_models_rows_which_the_loader_can_not_read() -> None:
    asked: list[str] = []

    class Cursor:
        def __enter__(self) -> Cursor:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def execute(self, sql: str, _: object) -> None:
            asked.append(sql)

        def fetchall(self) -> list[tuple[int]]:
            return [(steps.GOOD,)]

    followed = probe()  # the loader's connection can't be asked anything
    followed.built(cast(Any, SimpleNamespace(cursor=Cursor)))
    assert followed.passed and '"D"."STAGING"."STG_SMOKE__PROBE"' in asked[0]


def test_the_server_and_the_key_are_asked_for(tmp_path: Path) -> None:
    dev: Any = SimpleNamespace(
        environment="dev", sftp=SimpleNamespace(host=None, port=22, smoke_private_key=None), state_dir=tmp_path
    )
    with pytest.raises(click.UsageError, match="--host"):
        Sftp.of(dev, None, None, None, tmp_path)
    with pytest.raises(click.UsageError, match=r"--key \(or SMOKE_PRIVATE_KEY\)"):
        Sftp.of(dev, None, "sftp.example.org", None, tmp_path)
    with pytest.raises(click.ClickException, match="doesn't exist"):
        Sftp.of(dev, tmp_path / "key", "sftp.example.org", None, tmp_path)
    (tmp_path / "key").touch()
    made = Sftp.of(dev, tmp_path / "key", "sftp.example.org", 2222, tmp_path)
    assert (made.port, made.known_hosts) == (2222, None), "a person's machine compares the host key"
    dev.sftp.smoke_private_key = SecretStr("planted")
    assert Sftp.of(dev, tmp_path / "key", "sftp.example.org", None, tmp_path).key == tmp_path / "key", "--key wins"
    given = Sftp.of(dev, None, "sftp.example.org", None, tmp_path)
    assert (given.key, given.known_hosts) == (dev.sftp.smoke_private_key, tmp_path / "known_hosts")


SFTP = """#!/bin/sh
while [ "$1" != -i ]; do shift; done
stat -c %a "$2" > {folder}/mode
cat "$2" > {folder}/seen
echo "$2" > {folder}/path
echo "$*" "$(env)" > {folder}/shown
exit {code}
"""


@pytest.mark.parametrize("code", [0, 1])
def test_the_key_is_a_file_only_while_sftp_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    program = tmp_path / "sftp"
    program.write_text(SFTP.format(folder=tmp_path, code=code))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    sftp = Sftp("sftp.example.org", 22, SecretStr("\nplanted\nkey "), tmp_path / "known_hosts")
    if code == 0:
        sftp.run("pwd")
    else:
        with pytest.raises(SftpFailed, match="ended with 1"):
            sftp.run("pwd")
    assert (tmp_path / "mode").read_text() == "600\n"
    assert (tmp_path / "seen").read_text() == "planted\nkey\n", "ssh reads no key whose last line isn't ended"
    assert not Path((tmp_path / "path").read_text().strip()).exists()
    assert "planted" not in (tmp_path / "shown").read_text() + repr(sftp)


def test_the_first_session_accepts_the_host_key_and_the_next_ones_compare_it(tmp_path: Path) -> None:
    """By OpenSSH's client, with a key as Secrets Manager may hold it: without the line break at its end."""
    own, folder = asyncssh.generate_private_key("ssh-ed25519"), tmp_path / "known hosts"
    folder.mkdir()

    async def server(port: int = 0) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            *("127.0.0.1", port),
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=asyncssh.import_authorized_keys(own.export_public_key().decode()),
            sftp_factory=True,
        )

    async def sessions() -> str:
        first = await server()
        key = SecretStr(own.export_private_key().decode().strip())
        sftp = Sftp("127.0.0.1", first.get_port(), key, folder / "known_hosts")
        await asyncio.to_thread(sftp.run, "pwd")
        await asyncio.to_thread(sftp.run, "pwd")
        first.close()
        await first.wait_closed()
        async with await server(sftp.port):
            with pytest.raises(SftpFailed) as refused:
                await asyncio.to_thread(sftp.run, "pwd")
        return refused.value.message

    assert "HOST IDENTIFICATION HAS CHANGED" in asyncio.run(sessions())


def test_the_setting_is_a_secret() -> None:
    loaded = Settings.from_environment({"SMOKE_PRIVATE_KEY": "planted"})
    assert loaded.sftp.smoke_private_key == SecretStr("planted")
    assert "planted" not in repr(loaded)


def test_the_declared_feed_is_valid_and_its_files_are_taken_by_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declaration, "DEFS", tmp_path / "defs")
    monkeypatch.setattr(declaration, "DBT_PROJECT", tmp_path / "dbt")
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHcDq2XwJrqfjyP0oWmCVRbYX4PLnTNv9Kx0cuvCWcHV smoke\n")
    arguments = ["smoke", "--init", "--public-key", str(key)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    (feed,) = declared_feeds(tmp_path / "defs")
    assert feed.name == "smoke/probe"
    assert (tmp_path / "dbt/models/staging/smoke/_sources.yml").exists()
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1 and "nothing was written" in again.output


def test_a_project_without_the_feed_is_told_how_to_declare_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaration, "declared", lambda: [])
    with pytest.raises(click.ClickException, match="smoke --init"):
        declaration.probe_feed()


def test_nothing_but_the_partners_own_is_removed() -> None:
    asked: list[Any] = []

    def pages(prefix: str) -> list[list[Any]]:
        asked.append(prefix)
        return [[SimpleNamespace(file_name="probe_1.csv", modified=NOW)]]

    bucket: Any = SimpleNamespace(pages=pages, current=asked.append)

    def listed(*_: Any, **of: Any) -> list[DeliveryRow]:
        asked.append((of["partner"], of["feed"]))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "list_deliveries", listed)
        assert cleanup.remove(cast(Any, None), "D", cast(Any, None), bucket) == 1
    assert asked == ["inbound/smoke/", "inbound/smoke/probe_1.csv", ("smoke", "probe")]
