"""Which sources are declared, and which partners may deliver."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import data_platform
from data_platform.feeds.declared import DeclaredSource, declared_sources
from data_platform.feeds.documents import DefinitionInvalid
from data_platform.feeds.partners import PartnerDeclaration
from data_platform.feeds.spec import SourceDeclaration

PRIVATE = ed25519.Ed25519PrivateKey.generate()


def line(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def declare(defs: Path, partner: str, attributes: str = "contacts: []", kind: str = "SftpPartner") -> None:
    folder = defs / "sources" / "partners" / partner
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "defs.yaml").write_text(
        f"type: data_platform.components.{kind}\n"
        f"attributes: {{description: x, time_zone: UTC, owners: [], {attributes}}}\n"
    )


class OfAnotherKind:
    """What a component of a team's own gives to Dagster."""

    @classmethod
    def get_model_cls(cls) -> type[SourceDeclaration]:
        return SourceDeclaration


def partners(defs: Path) -> list[DeclaredSource[PartnerDeclaration]]:
    return declared_sources(defs, PartnerDeclaration)


def test_a_partner_is_its_folder_with_its_keys(tmp_path: Path) -> None:
    keys = [
        line(PRIVATE),
        line(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        line(ec.generate_private_key(ec.SECP256R1())),
    ]
    declare(tmp_path, "b_partner", f"public_keys: ['{keys[0]} name@host', '{keys[1]}', '{keys[2]}']")
    declare(tmp_path, "a_partner")
    assert [(source.name, source.declaration.public_keys) for source in partners(tmp_path)] == [
        ("a_partner", ()),
        ("b_partner", (f"{keys[0]} name@host", keys[1], keys[2])),
    ]


def test_feeds_below_a_partner_and_other_components_are_no_partners(tmp_path: Path) -> None:
    declare(tmp_path, "partner/feed", kind="FileFeed")
    declare(tmp_path, "something_else", kind="FileFeed")
    assert partners(tmp_path) == []


def test_the_projects_own_partners_are_read() -> None:
    names = [partner.name for partner in partners(Path(data_platform.__file__).parent / "defs")]
    assert {"harbor_water", "meridian_parking", "clear_air"} <= set(names)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("public_keys: ssh-ed25519", "expected a list"),
        ("public_keys: [1]", "expected text, and 1 is none"),
        ("public_keys: ['ssh-ed25519']", "expected a line such as"),
        ("public_keys: ['ssh-ed25519 AAAA']", "expected a line such as"),
        ("public_keys: ['ssh-ed25519 not base64!']", "expected a line such as"),
        (f"public_keys: ['ssh-rsa {line(PRIVATE).split()[1]}']", "expected a line such as"),
        ("public_keys: ['ssh-dss AAAAB3NzaC1kc3MAAACBAP']", "expected a line such as"),
        ("public_keys: [", "not YAML"),
    ],
    ids=["text", "number", "kind only", "too short", "not base64", "another kind's", "dss", "not YAML"],
)
def test_a_key_that_could_not_sign_in_is_refused_with_the_file(tmp_path: Path, attributes: str, expected: str) -> None:
    declare(tmp_path, "partner", attributes)
    with pytest.raises(DefinitionInvalid, match=expected) as raised:
        partners(tmp_path)
    assert "partner/defs.yaml" in str(raised.value)


def test_a_private_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    pem = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    folder = tmp_path / "sources" / "partners" / "partner"
    folder.mkdir(parents=True)
    indented = "\n".join(f"        {text}" for text in pem.splitlines())
    (folder / "defs.yaml").write_text(
        "type: data_platform.components.SftpPartner\nattributes:\n  description: x\n  time_zone: UTC\n  owners: []\n"
        f"  public_keys:\n    - |\n{indented}\n"
    )
    with pytest.raises(DefinitionInvalid, match="a PRIVATE key") as raised:
        partners(tmp_path)
    assert pem.splitlines()[1] not in str(raised.value)


@pytest.mark.parametrize("name", ["Partner", "a", "9lives", "a-b", "a.b", "x" * 64])
def test_a_folder_whose_name_cannot_be_a_user_and_a_schema_is_refused(tmp_path: Path, name: str) -> None:
    declare(tmp_path, name)
    with pytest.raises(DefinitionInvalid, match="the folder's name is the source's"):
        partners(tmp_path)


def test_two_sources_of_one_name_are_refused_whatever_their_kind(tmp_path: Path) -> None:
    declare(tmp_path, "permits")
    other = tmp_path / "sources" / "databases" / "permits"
    other.mkdir(parents=True)
    (other / "defs.yaml").write_text(
        f"type: {__name__}.OfAnotherKind\nattributes: {{description: x, time_zone: UTC, owners: []}}\n"
    )
    for kind in (PartnerDeclaration, SourceDeclaration):
        with pytest.raises(DefinitionInvalid, match="declares a source permits too"):
            declared_sources(tmp_path, kind)
    shutil.rmtree(tmp_path / "sources" / "partners")
    assert [source.name for source in declared_sources(tmp_path, SourceDeclaration)] == ["permits"]
    assert partners(tmp_path) == []


def test_a_partner_has_to_declare_its_time_zone(tmp_path: Path) -> None:
    folder = tmp_path / "sources" / "partners" / "partner"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(
        "type: data_platform.components.SftpPartner\nattributes: {description: x, owners: []}\n"
    )
    with pytest.raises(DefinitionInvalid, match="field 'time_zone' is missing"):
        partners(tmp_path)
