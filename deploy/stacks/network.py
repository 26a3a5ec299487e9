"""Network: the VPC, its endpoints, and one security group per service with every connection that is allowed.

Webserver and daemon reach AWS through endpoints only. Runs and the code server also reach the internet on port 443, for
Snowflake and git; one-off tasks also on port 22, if releases end with the smoke test. Nothing but the load balancer
accepts connections from outside.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.environment import Environment
from deploy.stacks.secrets import has_smoke_test

GROUPS = {
    "load-balancer": "Accepts HTTPS from people and from the git server",
    "webserver": "The UI, for viewers and for editors",
    "daemon": "Schedules, sensors and the queue",
    "code-server": "Definitions, and the webhook",
    "run": "Runs and one-off tasks",
    "operate": "One-off tasks, beside the group of runs",
    "database": "PostgreSQL of Dagster",
    "endpoints": "Interface endpoints of AWS",
}
INSIDE = (  # from, to, port, why
    ("load-balancer", "webserver", 3000, "the UI"),
    ("load-balancer", "code-server", 4001, "webhook of the git server"),
    ("webserver", "code-server", 4000, "definitions"),
    ("daemon", "code-server", 4000, "definitions, schedules and sensors"),
    *((each, "database", 5432, "storage of Dagster") for each in ("webserver", "daemon", "code-server", "run")),
    *((each, "endpoints", 443, "AWS") for each in ("webserver", "daemon", "code-server", "run")),
)
ENDPOINTS = ("ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sts")
INTERNET = {
    ("run", 443): "Snowflake, and web APIs that feeds read",
    ("run", 80): "revocation lists of certificates (OCSP)",
    ("code-server", 443): "git, and alerts",
    ("load-balancer", 443): "the identity provider",
}


class NetworkStack(cdk.Stack):
    """`vpc`, `private` (the subnets of everything that runs), and `groups`: security groups by service."""

    def __init__(self, scope: Construct, name: str, given: Environment, **options: object) -> None:
        super().__init__(scope, name, **options)
        self.vpc = self._vpc(given)
        self.private = self.vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
        self.groups = {
            group: ec2.SecurityGroup(
                self,
                group,
                vpc=self.vpc,
                description=why,
                security_group_name=f"{given.prefix}-{group}",
                allow_all_outbound=False,
            )
            for group, why in GROUPS.items()
        }
        self._allow(given)
        for service in ENDPOINTS:
            ec2.InterfaceVpcEndpoint(
                self,
                service,
                vpc=self.vpc,
                service=ec2.InterfaceVpcEndpointAwsService(service),
                open=False,
                subnets=ec2.SubnetSelection(subnets=self.private.subnets),
                security_groups=[self.groups["endpoints"]],
                private_dns_enabled=True,
            )

        groups = ",".join(self.groups[each].security_group_id for each in ("run", "operate"))
        value = ";".join([",".join(self.private.subnet_ids), groups])
        cdk.CfnOutput(self, "operate-network", value=value, description="Subnets; security groups: for one-off tasks")

    def _vpc(self, given: Environment) -> ec2.IVpc:
        network = given.network
        if network.existing:
            return ec2.Vpc.from_vpc_attributes(
                self,
                "vpc",
                vpc_id=network.existing.id,
                vpc_cidr_block=network.existing.cidr,
                availability_zones=list(network.zones),
                private_subnet_ids=list(network.existing.private_subnets),
                public_subnet_ids=list(network.existing.public_subnets),
            )
        vpc = ec2.Vpc(
            self,
            "vpc",
            availability_zones=list(network.zones),
            ip_addresses=ec2.IpAddresses.cidr(network.cidr),
            nat_gateways=1,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24),
                ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20),
            ],
        )
        # Free of charge, and runs read and write the lake through it.
        vpc.add_gateway_endpoint("s3", service=ec2.GatewayVpcEndpointAwsService.S3)
        group = logs.LogGroup.from_log_group_name(self, "flows", given.log_group("network"))
        role = iam.Role(
            self,
            "flow-role",
            role_name=given.role_name("flow-logs"),
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": given.account}}
            ),
        )
        vpc.add_flow_log("flow-log", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, role))
        return vpc

    def _allow(self, given: Environment) -> None:
        for source, target, port, why in INSIDE:
            self.groups[source].add_egress_rule(self.groups[target], ec2.Port.tcp(port), why)
            self.groups[target].add_ingress_rule(self.groups[source], ec2.Port.tcp(port), why)
        for (source, port), why in INTERNET.items():
            self.groups[source].add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(port), why)
        for source in ("webserver", "daemon"):  # the others reach S3 as they reach the internet
            peer = ec2.Peer.prefix_list(given.network.s3_prefix_list)
            self.groups[source].add_egress_rule(peer, ec2.Port.tcp(443), "S3")
        for database in given.network.sources:
            self.groups["run"].add_egress_rule(ec2.Peer.ipv4(database.cidr), ec2.Port.tcp(database.port), database.why)
        if has_smoke_test():
            # To any address: the SFTP server's endpoint is public, and AWS changes its addresses.
            self.groups["operate"].add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(22), "SFTP, as the partner smoke")
        people = self.groups["load-balancer"]
        people.add_ingress_rule(
            ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "people, who must sign in, and the webhook of git"
        )
