"""A task's network interface in ministack's EC2, on which DescribeNetworkInterfaces shows the task's security groups:
ECS itself shows them nowhere. Isolates nothing: every task is on this machine's loopback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import ec2

from data_platform.local_cloud.ports import LOOPBACK


class NetworkRefused(Exception):
    """RunTask's network configuration is invalid. The message is AWS's."""


def require(request: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    """Raise NetworkRefused unless the request's network configuration suits the definition."""
    if definition.get("networkMode") != "awsvpc":
        return
    wanted = _wanted(request)
    if not wanted.get("subnets"):
        raise NetworkRefused("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    for subnet in wanted["subnets"]:
        if subnet not in ec2._subnets:
            raise NetworkRefused(
                f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist"
                " (ErrorCode: InvalidSubnetID.NotFound)"
            )
    for group in wanted.get("securityGroups") or ():
        if group not in ec2._security_groups:
            raise NetworkRefused(
                f"Error retrieving security group information for [{group}]: The security group '{group}' does not"
                " exist (ErrorCode: InvalidGroup.NotFound)"
            )


def attach(task: dict[str, Any], request: Mapping[str, Any]) -> None:
    """Give a task on `awsvpc` its own interface in the first subnet, shown in its `attachments`."""
    wanted = _wanted(request)
    if not wanted.get("subnets"):
        return
    before = set(ec2._network_interfaces)
    parameters = {"SubnetId": [wanted["subnets"][0]], "Description": [task["taskArn"]]}
    for number, group in enumerate(wanted.get("securityGroups") or (), start=1):
        parameters[f"SecurityGroupId.{number}"] = [group]
    ec2._create_network_interface(parameters)
    (interface_id,) = set(ec2._network_interfaces) - before
    interface = ec2._network_interfaces[interface_id]
    interface.update(Status="in-use", PrivateIpAddress=LOOPBACK)
    details = {
        "subnetId": interface["SubnetId"],
        "networkInterfaceId": interface_id,
        "macAddress": interface["MacAddress"],
        "privateIPv4Address": LOOPBACK,
    }
    task["attachments"] = [
        {
            "id": new_uuid(),
            "type": "ElasticNetworkInterface",
            "status": "ATTACHED",
            "details": [{"name": name, "value": value} for name, value in details.items()],
        }
    ]


def detach(task: dict[str, Any]) -> None:
    """Remove a stopped task's interface."""
    for attachment in task["attachments"]:
        details = {detail["name"]: detail["value"] for detail in attachment["details"]}
        ec2._delete_network_interface({"NetworkInterfaceId": [details.get("networkInterfaceId", "")]})
        attachment["status"] = "DELETED"


def _wanted(request: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (request.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    return found
