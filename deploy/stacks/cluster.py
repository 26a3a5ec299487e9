"""Cluster: the ECS cluster, the logs of runs, and the definition of one-off tasks. Deployed before the services, so
that migrations run with a new image while the services still run the earlier one."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_ecs as ecs
from constructs import Construct

from deploy.environment import Environment, Size
from deploy.stacks.database import DatabaseStack
from deploy.stacks.network import NetworkStack
from deploy.stacks.tasks import TasksStack


class ClusterStack(TasksStack):
    """`cluster`. `image`: the digest that one-off tasks run."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        given: Environment,
        network: NetworkStack,
        database: DatabaseStack,
        secret_arns: Mapping[str, str],
        image: str,
        **options: object,
    ) -> None:
        super().__init__(
            *(scope, name, given, network, database, secret_arns, image),
            kinds=("operate",),
            logged=("operate", "runs"),
            **options,
        )
        self.cluster = ecs.Cluster(
            self,
            "cluster",
            cluster_name=given.prefix,
            vpc=network.vpc,
            enable_fargate_capacity_providers=True,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        # For `deploy.operate`: migrations, `schema apply`, `deliveries replay`, `doctor`, `smoke`.
        self._definition("operate", "operate", Size(cpu=1024, memory=2048), ("data-platform", "--help"))
