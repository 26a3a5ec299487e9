"""File names, reasons and raw texts in what `deliveries` prints: as they are, whatever they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_platform.cli import output
from data_platform.cli.deliveries import command, pending, receipts
from data_platform.lake.shown import visible
from data_platform.landing import history
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.receipts import receipt_json
from data_platform.landing.settle import report_unmatched, settled_key

NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)
_ODD = ["[red]m[/red].csv", "[/]", "..", ".", " m.csv ", "a|b`*_.csv", "%s %41.csv", "'; drop table x; --", '"\\.csv',
        "\u202efdp.csv", "a\nb.csv", "a\x1b[31mb.csv", "é" * 127, "e\u0301.csv", "x\x01.csv", ":smile:"]  # fmt: skip
# As S3 holds a key: Unicode, at most 1,024 bytes with its folder.
NAMES = st.one_of(st.sampled_from(_ODD), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))


def row(name: str) -> DeliveryRow:
    return DeliveryRow(
        delivery_id="0" * 32, partner="p", feed="f", file_name=name, object_key=f"inbound/p/{name}", version_id="v",
        etag='"e"', size_bytes=1, content_sha256=None, partition=None, landed_at=NOW, status="quarantined",
        reason=f"p/f: {name}: it holds [bold]{name}[/]", rows_read=0, rows_loaded=0, rows_rejected=0, extract_id=None,
        superseded_by=None, run_id=None, settled_at=NOW,
    )  # fmt: skip


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Prints a delivery of that file name by the command, and returns the output with its lines joined."""
    settings = SimpleNamespace(zone=ZoneInfo("UTC"), snowflake=SimpleNamespace(database="D"))
    settings.require_endpoints = settings.adopt = lambda: settings

    @contextmanager
    def ledger(_: str) -> Iterator[Any]:
        yield settings, None

    monkeypatch.setattr(command, "open_ledger", ledger)
    monkeypatch.setattr(command, "settings", lambda: settings)
    monkeypatch.setattr(output, "_PLAIN_WIDTH", 2_000)

    def of(name: str, *arguments: str) -> str:
        reject = history.StoredReject(1, None, f"[bold]{name}", f"[link]{name}")
        waiting = pending.PendingFile(f"inbound/p/{name}", 1, NOW, "waiting", f"Waiting for [i]{name}")
        monkeypatch.setattr(history, "list_deliveries", lambda *_, **__: [row(name)])
        monkeypatch.setattr(receipts, "delivery", lambda *_: row(name))
        monkeypatch.setattr(history, "read_rejects", lambda *_, **__: ([reject], 1))
        monkeypatch.setattr(pending, "pending_files", lambda _: [waiting])
        output.console.cache_clear()
        result = CliRunner().invoke(command.deliveries, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        output.console.cache_clear()
        return result.output

    return of


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(NAMES)
@example("[red]m[/red].csv")
@example("a\x1b[31mb\n.csv")
def test_a_name_is_shown_as_it_is_and_changes_nothing_around_it(printed: Any, name: str) -> None:
    shown = visible(name).strip()
    for arguments in (["list"], ["show", "0" * 32], ["pending"]):
        text = printed(name, *arguments)
        assert "\x1b" not in text
        assert shown in text
    assert f"[bold]{visible(name).rstrip()}" in printed(name, "show", "0" * 32)
    assert json.loads(printed(name, "list", "--json"))[0]["file_name"] == name
    assert json.loads(printed(name, "pending", "--json"))[0]["key"] == f"inbound/p/{name}"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(NAMES, st.booleans())
@example("a\nb%.csv", True)
@example("\\name\\x1b.csv", False)
@example("\\\x1f", True)
def test_a_delivery_is_found_by_its_name_and_by_what_lists_show_of_it(name: str, as_shown: bool) -> None:
    def like(*_: object, file_name: str, limit: int) -> list[DeliveryRow]:
        parts = re.findall(r"\\%|%|_|[^%_]", file_name, re.DOTALL)
        pattern = "".join({"%": ".*", "_": ".", "\\%": "%"}.get(part, re.escape(part)) for part in parts)
        assert "\\" not in file_name.replace("\\%", ""), "a backslash escapes what follows it"
        return [row(each) for each in (f"{name}~", name) if re.fullmatch(pattern, each, re.DOTALL)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipts, "list_deliveries", like)
        patch.setattr(receipts, "delivery", lambda *_: None)
        assert receipts.find(cast(Any, None), "D", visible(name) if as_shown else name).file_name == name


class Written(dict[str, bytes]):
    """Stands for a bucket that takes what S3 takes."""

    exists = dict.__contains__

    def put(self, key: str, body: bytes) -> None:
        assert len(key.encode()) <= 1024
        self[key] = body


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_a_receipt_and_the_archive_have_the_name_as_it_is(name: str) -> None:
    assert json.loads(receipt_json(row(name), "UTC", None))["file_name"] == name
    assert settled_key(row(name)) == f"quarantine/p/f/{'0' * 32}/{name}"
    written = Written()
    file = Pending(f"inbound/p/{name}", '"0123456789"', 1, NOW)
    assert report_unmatched(cast(LandingBucket, written), file, f"no feed takes {name}")
    assert not report_unmatched(cast(LandingBucket, written), file, f"no feed takes {name}")
    ((key, body),) = written.items()
    if len(name.encode()) <= 255 - len(".01234567.unmatched.json"):  # else its middle is cut out: it is a file's name
        assert key == f"receipts/p/2026-03/{name}.01234567.unmatched.json"
    assert json.loads(body)["file_name"] == name


def test_a_list_of_nothing_names_a_partner_that_there_is_not(printed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    printed("a.csv", "list")
    monkeypatch.setattr(history, "list_deliveries", lambda *_, **__: [])
    result = CliRunner().invoke(command.deliveries, ["list", "--partner", "solar_coop"], catch_exceptions=False)
    unknown, none = result.output.splitlines()
    assert unknown.startswith("solar_coop is not a partner. The partners are: ")
    assert none.startswith("No deliveries match.")
    result = CliRunner().invoke(command.deliveries, ["list", "--partner", "harbor_water"], catch_exceptions=False)
    assert result.output.startswith("No deliveries match.")
