"""Services: webservers for viewers and editors, the daemon, and the code server. Runs are not services: the daemon
defines and launches their tasks (`data_platform/runs/launcher.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from deploy.environment import Environment, Size
from deploy.stacks.database import DatabaseStack
from deploy.stacks.network import NetworkStack
from deploy.stacks.tasks import CODE_SERVER, TasksStack

WORKSPACE = ("--workspace", "deploy/workspace.yaml")
WEBSERVER = ("dagster-webserver", *WORKSPACE, "--host", "0.0.0.0", "--port", "3000")  # noqa: S104  behind the balancer
KINDS = ("webserver", "daemon", "code-server")


class ServicesStack(TasksStack):
    """`services` by name. `image`: the digest of the image that all of them run."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        given: Environment,
        network: NetworkStack,
        database: DatabaseStack,
        cluster: ecs.ICluster,
        secret_arns: Mapping[str, str],
        image: str,
        **options: object,
    ) -> None:
        super().__init__(
            *(scope, name, given, network, database, secret_arns, image), kinds=KINDS, logged=KINDS, **options
        )
        self._cluster = cluster
        names = discovery.PrivateDnsNamespace(self, "names", name=f"{given.prefix}.internal", vpc=network.vpc)
        sizes = given.services
        self.services = {
            "viewer": self._service("viewer", "webserver", sizes.webserver, (*WEBSERVER, "--read-only"), ports=(3000,)),
            "editor": self._service("editor", "webserver", sizes.webserver, WEBSERVER, ports=(3000,)),
            "daemon": self._service("daemon", "daemon", sizes.daemon, ("dagster-daemon", "run", *WORKSPACE)),
            "code-server": self._service(
                "code-server", "code-server", sizes.code_server, _code_server(given), ports=(4000, 4001), names=names
            ),
        }

    def _service(
        self,
        name: str,
        kind: str,
        size: Size,
        command: Sequence[str],
        *,
        ports: Sequence[int] = (),
        names: discovery.INamespace | None = None,
    ) -> ecs.FargateService:
        one_at_most = kind == "daemon"  # two daemons would launch everything twice
        definition = self._definition(name, kind, size, command, ports)
        return ecs.FargateService(
            self,
            name,
            service_name=f"{self._given.prefix}-{name}",
            cluster=self._cluster,
            task_definition=definition,
            desired_count=1,
            min_healthy_percent=0 if one_at_most else 100,
            max_healthy_percent=100 if one_at_most else 200,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            enable_execute_command=False,
            security_groups=[self._network.groups[kind]],
            assign_public_ip=False,
            vpc_subnets=ec2.SubnetSelection(subnets=self._network.private.subnets),
            health_check_grace_period=cdk.Duration.minutes(3) if 3000 in ports else None,
            cloud_map_options=None
            if names is None
            else ecs.CloudMapOptions(
                name=CODE_SERVER,
                cloud_map_namespace=names,
                dns_record_type=discovery.DnsRecordType.A,
                dns_ttl=cdk.Duration.seconds(10),
            ),
        )


def _code_server(given: Environment) -> list[str]:
    everywhere = "0.0.0.0"  # noqa: S104  its security group decides who connects
    webhook = ["--webhook-host", everywhere, "--webhook-port", "4001"] if given.code else []
    return ["data-platform", "code-server", "--host", everywhere, "--port", "4000", *webhook]
