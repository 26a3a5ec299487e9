"""What is wrong with a file, a key or a definition is refused where it is wrong, in words, and stops nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import Platform
from data_platform_tests.end_to_end.project import copy_project, environment

pytestmark = pytest.mark.end_to_end

FEED = "data_platform/defs/sources/partners/harbor_water/meter_readings/defs.yaml"


def _receipt(platform: Platform, partner: str, file_name: str, folder: Path) -> dict[str, object]:
    """The receipt of the quarantined one of a file's deliveries, as the partner fetches it."""
    done = platform.sftp(partner, f"get /receipts/*/{file_name}.* {folder}/")
    assert done.returncode == 0, done.stderr
    receipts: list[dict[str, object]] = [json.loads(one.read_text()) for one in folder.glob(f"{file_name}.*.json")]
    (quarantined,) = (one for one in receipts if one["status"] == "quarantined")
    return quarantined


@pytest.mark.parametrize(
    ("partner", "file_name", "reason"),
    [
        ("meridian_parking", "sessions_20260307_late.csv.gz", "gzip"),
        ("meridian_parking", "sessions_20260309_late.csv.gz", "the manifest states sha256"),
        ("clear_air", "air_quality_2026-03-09.parquet", "Parquet"),
        ("clear_air", "stations_draft.xlsx", "column"),
        ("harbor_water", "readings_20260307T11-0500.csv", "column"),
        ("harbor_water", "readings_20260308T10-0400.csv", "empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_quarantined_and_its_partner_is_told_why(
    demo: Demo, platform: Platform, tmp_path: Path, partner: str, file_name: str, reason: str
) -> None:
    receipt = _receipt(platform, partner, file_name, tmp_path)
    assert receipt["status"] == "quarantined"
    assert receipt["rows_loaded"] == 0
    assert reason in str(receipt["reason"]), receipt["reason"]


def test_past_the_reject_limit_nothing_of_a_file_is_loaded(demo: Demo, platform: Platform, tmp_path: Path) -> None:
    receipt = _receipt(platform, "harbor_water", "readings_20260307T09-0500.csv", tmp_path)
    assert receipt["status"] == "quarantined"
    assert "rows break the contract; the feed allows a share of 0.05" in str(receipt["reason"])
    loaded = platform.number(
        f"SELECT COUNT(*) FROM RAW_HARBOR_WATER.METER_READINGS WHERE _DELIVERY_ID = '{receipt['delivery_id']}'"
    )
    assert loaded == 0


def test_a_wrong_key_does_not_sign_in(platform: Platform, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    wrong.touch(0o600)
    wrong.write_bytes(pem)
    refused = platform.sftp("harbor_water", "ls /", key=wrong)
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr


def test_a_partner_sees_nothing_of_anothers(demo: Demo, platform: Platform) -> None:
    assert platform.sftp("clear_air", "ls -1 /").stdout.split()[-2:] == ["/inbound", "/receipts"]
    for path in ("/../meridian_parking", "/inbound/../../meridian_parking", "/data-platform-landing"):
        found = platform.sftp("clear_air", f"ls -1 {path}").stdout
        assert "sessions_" not in found and "meridian_parking" not in found.replace(path, "")
    own = platform.sftp("clear_air", "ls -1 /inbound", "ls -1 /receipts/*")
    assert own.returncode == 0, own.stderr
    assert "air_quality_" in own.stdout
    assert "sessions_" not in own.stdout and "readings_" not in own.stdout


def test_dg_check_fails_with_the_place_of_the_mistake(platform: Platform, tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    file = project / FEED
    file.write_text(file.read_text().replace('type: "decimal(12,3)"', 'type: "decimal(12;3)"'))
    checked = platform.command("dg", "check", "defs", cwd=project, **environment(project))
    line, text = next(found for found in enumerate(file.read_text().splitlines(), 1) if "(12;3)" in found[1])
    assert checked.returncode != 0
    place = f"defs.yaml:{line}:{text.index('type:') + 1}"
    assert place in "".join((checked.stdout + checked.stderr).split()), checked.stdout
