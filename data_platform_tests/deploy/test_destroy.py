"""`deploy.destroy`: what it removes, in order, what it keeps, and that it can be run again after any failure."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from click.testing import CliRunner

from deploy import destroy as module
from deploy.destroy import KEPT, REMOVED, Clients, DestroyFailed, check, destroy, shown
from deploy.environment import FOLDER, read

DEV = read(FOLDER / "dev.yaml")
LOGS = DEV.bucket("logs")


class Missing(Exception):
    """What AWS raises for a thing that isn't there."""


class Account:
    """An account with the environment, as far as `destroy` calls it: all of boto3's clients in one. Each change is
    noted; the one with the number `fails_at` fails instead."""

    def __init__(self) -> None:
        self.stacks = {f"{DEV.prefix}-{stack}" for stack in (*REMOVED, *KEPT)}
        self.objects = {
            DEV.bucket(bucket): [f"{bucket}/{number}" for number in range(3)]
            for bucket in ("lake", "landing", "logs", "access-logs")
        }
        self.servers = {"s-1": DEV.sftp_host, "s-2": "sftp.another.example.org"}
        self.tasks = ["task/run", "task/viewer"]
        self.protected = {"balancer", "database"}
        self.changes: list[str] = []
        self.fails_at: int | None = None

    def clients(self) -> Clients:
        return Clients(*[self] * len(Clients._fields))

    @property
    def exceptions(self) -> Any:
        return self

    ServiceNotFoundException = ServiceNotActiveException = ClusterNotFoundException = Missing
    LoadBalancerNotFoundException = DBInstanceNotFoundFault = Missing

    def change(self, text: str) -> None:
        if len(self.changes) == self.fails_at:
            self.fails_at = None
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, text)
        self.changes.append(text)

    def describe_stacks(self, StackName: str) -> None:
        if StackName not in self.stacks:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")

    def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> None:
        self.change(f"unprotect {StackName}")

    def delete_stack(self, StackName: str) -> None:
        stack = StackName.removeprefix(f"{DEV.prefix}-")
        assert not (stack == "access" and "balancer" in self.protected)
        assert not (stack == "database" and "database" in self.protected)
        assert not (stack == "services" and self.tasks)
        self.change(f"delete {stack}")
        self.stacks.discard(StackName)

    def get_waiter(self, name: str) -> Any:
        return self

    def wait(self, **_: Any) -> None:
        """Nothing takes time here."""

    def update_service(self, cluster: str, service: str, desiredCount: int) -> None:
        assert desiredCount == 0
        self.change(f"stop {service}")

    def get_paginator(self, name: str) -> Any:
        class Pages:
            def paginate(pages, **asked: Any) -> list[dict[str, Any]]:
                if name == "list_tasks":
                    return [{"taskArns": list(self.tasks)}]
                if name == "list_servers":
                    return [{"Servers": [{"Arn": each, "ServerId": each} for each in self.servers]}]
                return [
                    {
                        "Versions": [{"Key": key, "VersionId": "1"} for key in self.objects[asked["Bucket"]]],
                        "DeleteMarkers": [],
                    }
                ]

        return Pages()

    def stop_task(self, cluster: str, task: str, reason: str) -> None:
        self.change(f"stop {task}")
        self.tasks.remove(task)

    def describe_load_balancers(self, Names: list[str]) -> Any:
        if f"{DEV.prefix}-access" not in self.stacks:
            raise Missing
        return {"LoadBalancers": [{"LoadBalancerArn": "arn"}]}

    def modify_load_balancer_attributes(self, LoadBalancerArn: str, Attributes: Any) -> None:
        self.change("unprotect balancer")
        self.protected.discard("balancer")

    def modify_db_instance(self, DBInstanceIdentifier: str, DeletionProtection: bool, ApplyImmediately: bool) -> None:
        assert DeletionProtection is False
        self.change("unprotect database")
        self.protected.discard("database")

    def list_tags_for_resource(self, Arn: str) -> Any:
        return {"Tags": [{"Key": "transfer:customHostname", "Value": self.servers[Arn]}]}

    def delete_server(self, ServerId: str) -> None:
        self.change(f"delete server {ServerId}")
        del self.servers[ServerId]

    def delete_objects(self, Bucket: str, Delete: Any) -> Any:
        self.change(f"empty {Bucket}")
        self.objects[Bucket] = []
        return {}

    def describe_db_snapshots(self, DBInstanceIdentifier: str, SnapshotType: str) -> Any:
        return {"DBSnapshots": [{"DBSnapshotIdentifier": "data-platform-dev-last"}]}


def test_what_holds_data_stays_and_the_rest_goes_in_order() -> None:
    account = Account()
    lines = list(destroy(DEV, account.clients()))
    assert account.stacks == {f"{DEV.prefix}-{stack}" for stack in KEPT}
    assert [each.removeprefix("delete ") for each in account.changes if each.startswith("delete ")][:-1] == [*REMOVED]
    assert account.servers == {"s-2": "sftp.another.example.org"}, "another's server is left alone"
    assert {bucket for bucket, keys in account.objects.items() if not keys} == {LOGS}
    assert lines[-1] == "kept: snapshot data-platform-dev-last"


def test_protection_is_taken_off_only_what_goes() -> None:
    account = Account()
    list(destroy(DEV, account.clients()))
    unprotected = {each.rpartition(" ")[2] for each in account.changes if each.startswith("unprotect ")}
    assert unprotected == {"balancer", "database", *(f"{DEV.prefix}-{stack}" for stack in REMOVED)}


def _changes() -> int:
    account = Account()
    list(destroy(DEV, account.clients()))
    return len(account.changes)


@pytest.mark.parametrize("number", range(_changes()))
def test_after_a_failure_the_next_attempt_removes_the_rest(number: int) -> None:
    account = Account()
    account.fails_at = number
    with pytest.raises(ClientError, match="slow down"):
        list(destroy(DEV, account.clients()))
    list(destroy(DEV, account.clients()))
    assert account.stacks == {f"{DEV.prefix}-{stack}" for stack in KEPT}
    assert (account.tasks, list(account.servers), account.objects[LOGS]) == ([], ["s-2"], [])


def test_a_second_time_there_is_nothing_to_do() -> None:
    account = Account()
    list(destroy(DEV, account.clients()))
    account.changes.clear()
    list(destroy(DEV, account.clients()))
    assert account.changes == []


def test_a_stack_that_cannot_be_deleted_is_named_with_awss_reason() -> None:
    class Stuck(Account):
        def wait(self, **_: Any) -> None:
            raise WaiterError("StackDeleteComplete", "failed", {})

        def describe_stack_events(self, StackName: str) -> Any:
            why = "resource sg-1 has a dependent object"
            event = {"LogicalResourceId": "daemon", "ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": why}
            return {"StackEvents": [event]}

    with pytest.raises(DestroyFailed, match="data-platform-dev-observability: daemon: resource sg-1 has a dependent"):
        list(destroy(DEV, Stuck().clients()))


def test_another_account_is_refused() -> None:
    class Elsewhere:
        def get_caller_identity(self) -> dict[str, str]:
            return {"Account": "999999999999"}

    with pytest.raises(DestroyFailed, match="expected 111111111111"):
        check(DEV, Elsewhere())


def test_it_says_by_name_what_goes_and_what_stays() -> None:
    text = "\n".join(shown(DEV))
    goes, _, stays = text.partition("Keeps:")
    assert all(f"stack {DEV.prefix}-{stack}\n" in goes for stack in REMOVED)
    assert all(DEV.bucket(bucket) in stays for bucket in ("lake", "landing", "access-logs"))
    assert f"alias/{DEV.prefix}" in stays
    assert "snapshot" in stays


def test_only_the_environments_name_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "check", lambda *_: None)
    monkeypatch.setattr(module.boto3, "Session", lambda **_: Account)
    monkeypatch.setattr(Account, "client", staticmethod(lambda name: None), raising=False)
    monkeypatch.setattr(module, "destroy", lambda *_: ["removed"])
    assert "removed" not in CliRunner().invoke(module.main, ["dev"], input="yes\n").output
    assert "removed" in CliRunner().invoke(module.main, ["dev"], input="dev\n").output
    assert "removed" not in CliRunner().invoke(module.main, ["dev", "--plan"]).output
