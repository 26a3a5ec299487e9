"""When `up` provisions: not where the same processes were provisioned with the same plan before, else always."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data_platform.local_cloud import provisioning
from data_platform.local_cloud.supervisor import LocalCloud, LocalCloudError
from data_platform_tests.local_cloud.clouds import client, environment, kill, provisions
from data_platform_tests.servers.local_cloud import private_cloud

pytestmark = pytest.mark.server


def test_a_cloud_that_runs_as_declared_is_not_provisioned_again(cloud: LocalCloud) -> None:
    assert not provisions(cloud)


def test_a_killed_part_that_lost_its_folder_gets_all_it_had(cloud: LocalCloud) -> None:
    kill(cloud, "aws")
    shutil.rmtree(cloud.layout.data("aws"))
    cloud.up()
    buckets = {bucket["Name"] for bucket in client(cloud, "s3").list_buckets()["Buckets"]}
    assert environment(cloud)["DATA_PLATFORM_LANDING_BUCKET"] in buckets
    assert client(cloud, "transfer").list_servers()["Servers"]


def test_a_folder_removed_under_a_running_part_is_noticed(cloud: LocalCloud) -> None:
    shutil.rmtree(cloud.layout.data("aws"))
    assert provisions(cloud)


def test_a_change_of_what_is_declared_is_provisioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = private_cloud(tmp_path / "state", tmp_path / "defs")
    declare(tmp_path / "defs", "staying")
    leaving = declare(tmp_path / "defs", "leaving")
    try:
        cloud.up()
        before = partners(cloud)
        shutil.rmtree(leaving)
        undone = declare(tmp_path / "defs", "undone")
        assert provisions(cloud)
        after = partners(cloud)
        assert after.keys() == {"staying", "undone"}
        assert after["staying"] == before["staying"], "a partner's key stays"
        assert not provisions(cloud)

        # Left half done, it is finished even for a plan that was done before.
        late = declare(tmp_path / "defs", "late")
        with monkeypatch.context() as patched, pytest.raises(LocalCloudError, match="not done within"):
            patched.setattr(provisioning, "SECONDS", 0.0)
            cloud.up()
        shutil.rmtree(late)
        shutil.rmtree(undone)
        assert provisions(cloud)
        assert partners(cloud).keys() == {"staying"}
    finally:
        cloud.down()


def declare(defs: Path, partner: str) -> Path:
    folder = defs / "sources" / "partners" / partner
    folder.mkdir(parents=True)
    attributes = "{description: Delivers, time_zone: UTC, owners: ['team:data'], contacts: [files@partner.example]}"
    (folder / "defs.yaml").write_text(f"type: data_platform.components.SftpPartner\nattributes: {attributes}\n")
    return folder


def partners(cloud: LocalCloud) -> dict[str, list[str]]:
    """Who may sign in, with which keys."""
    transfer = client(cloud, "transfer")
    server = transfer.list_servers()["Servers"][0]["ServerId"]
    users = [user["UserName"] for user in transfer.list_users(ServerId=server)["Users"]]
    described = {user: transfer.describe_user(ServerId=server, UserName=user)["User"] for user in users}
    return {user: [key["SshPublicKeyBody"] for key in one["SshPublicKeys"]] for user, one in described.items()}
