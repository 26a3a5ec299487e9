"""What a partner may see and do over SFTP."""

from __future__ import annotations

from data_platform.landing.partners import home_directory_mappings, session_policy


def test_a_partner_sees_its_own_two_prefixes() -> None:
    assert home_directory_mappings("landing", "harbor_water") == [
        {"Entry": "/inbound", "Target": "/landing/inbound/harbor_water"},
        {"Entry": "/receipts", "Target": "/landing/receipts/harbor_water"},
    ]


def test_no_partner_may_write_receipts_delete_versions_or_reach_another_prefix() -> None:
    statements = session_policy("landing", "harbor_water")["Statement"]
    allowed = {
        (action, statement["Resource"])
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    inbound, receipts = (f"arn:aws:s3:::landing/{name}/harbor_water/*" for name in ("inbound", "receipts"))
    assert allowed == {
        ("s3:ListBucket", "arn:aws:s3:::landing"),
        ("s3:GetObject", inbound),
        ("s3:PutObject", inbound),
        ("s3:DeleteObject", inbound),
        ("s3:GetObject", receipts),
    }
