"""Tasks: what every task of the platform has: image, roles, settings, secrets, log, health check, and `/tmp` as its
only writable folder. Stacks that run tasks derive from this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.environment import Environment, Size
from deploy.stacks.database import DatabaseStack
from deploy.stacks.network import NetworkStack
from deploy.stacks.roles import imported, secret_variables

STOP = cdk.Duration.seconds(120)
"""What Fargate allows at most. A service that ends earlier doesn't wait for it."""
_URL = "from urllib.request import urlopen; urlopen('http://127.0.0.1:3000/server_info', timeout=5)"
HEALTH = {
    "webserver": ("python", "-c", _URL),
    "daemon": ("dagster-daemon", "liveness-check"),
    "code-server": ("dagster", "api", "grpc-health-check", "--port", "4000"),
}
CODE_SERVER = "code-server"


class TasksStack(cdk.Stack):
    """`kinds`: what runs here, each with two roles. `logged`: the log groups to create. `image`: the digest of the
    image that all tasks run."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        given: Environment,
        network: NetworkStack,
        database: DatabaseStack,
        secret_arns: Mapping[str, str],
        image: str,
        *,
        kinds: Sequence[str],
        logged: Sequence[str],
        **options: object,
    ) -> None:
        super().__init__(scope, name, **options)
        self._given, self._network, self._database, self._secret_arns = given, network, database, secret_arns
        self._image = f"{given.image_account}.dkr.ecr.{given.region}.amazonaws.com/{given.image_repository}@{image}"
        repository = ecr.Repository.from_repository_attributes(
            self, "repository", repository_arn=given.image_repository_arn, repository_name=given.image_repository
        )
        self._container_image = ecs.ContainerImage.from_ecr_repository(repository, image)
        self._roles = {each: imported(self, given, each) for kind in kinds for each in (kind, f"start-{kind}")}
        self._logs = {
            each: logs.LogGroup(
                self,
                f"log-{each}",
                log_group_name=given.log_group(each),
                retention=logs.RetentionDays.THREE_MONTHS,
                removal_policy=cdk.RemovalPolicy.DESTROY,
            )
            for each in logged
        }

    def _definition(
        self, name: str, kind: str, size: Size, command: Sequence[str], ports: Sequence[int] = ()
    ) -> ecs.FargateTaskDefinition:
        definition = ecs.FargateTaskDefinition(
            self,
            f"{name}-task",
            family=f"{self._given.prefix}-{name}",
            cpu=size.cpu,
            memory_limit_mib=size.memory,
            task_role=self._roles[kind],
            execution_role=self._roles[f"start-{kind}"],
        )
        definition.add_volume(name="tmp")
        health = HEALTH.get(kind)
        container = definition.add_container(
            kind,
            image=self._container_image,
            command=list(command),
            readonly_root_filesystem=True,
            user="10001:10001",
            stop_timeout=STOP,
            environment=self._variables(kind),
            secrets=self._secrets(name, kind),
            logging=ecs.LogDriver.aws_logs(stream_prefix=name, log_group=self._logs[kind]),
            port_mappings=[ecs.PortMapping(container_port=port) for port in ports],
            health_check=health
            and ecs.HealthCheck(
                command=["CMD", *health],
                interval=cdk.Duration.seconds(60),
                timeout=cdk.Duration.seconds(30),
                retries=3,
                start_period=cdk.Duration.seconds(120),
            ),
        )
        container.add_mount_points(ecs.MountPoint(container_path="/tmp", source_volume="tmp", read_only=False))  # noqa: S108
        return definition

    def _variables(self, kind: str) -> dict[str, str]:
        given = self._given
        found = {
            **given.variables,
            **self._of_database(),
            "DATA_PLATFORM_CODE_SERVER_HOST": code_server_name(given),
            "DATA_PLATFORM_CODE_SERVER_PORT": "4000",
            # Each container renders Dagster's instance, which names them.
            "DATA_PLATFORM_ECS_CLUSTER": given.prefix,
            "DATA_PLATFORM_ECS_SUBNETS": cdk.Fn.join(",", self._network.private.subnet_ids),
            "DATA_PLATFORM_ECS_SECURITY_GROUPS": self._network.groups["run"].security_group_id,
            "DATA_PLATFORM_ECS_LOG_GROUP": given.log_group("runs"),
            "DATA_PLATFORM_ECS_TASK_ROLE_ARN": given.role_arn("run"),
            "DATA_PLATFORM_ECS_EXECUTION_ROLE_ARN": given.role_arn("start-run"),
        }
        if kind == "daemon":
            found |= {
                "DATA_PLATFORM_MAX_RUNS": str(given.services.max_runs),
                "DATA_PLATFORM_MAX_LANDING_RUNS": str(given.services.max_landing_runs),
                "DATA_PLATFORM_MAX_PARTNER_RUNS": str(given.services.max_partner_runs),
            }
        if kind in ("code-server", "operate"):  # `doctor --deep` starts a task as a run's
            found |= {"DAGSTER_CURRENT_IMAGE": self._image, "DAGSTER_CONTAINER_CONTEXT": self._context()}
        if kind == "code-server" and given.code:
            found |= {"DATA_PLATFORM_CODE_URL": given.code.url, "DATA_PLATFORM_CODE_REF": given.code.ref}
        return found

    def _of_database(self) -> dict[str, str]:
        return {
            "DAGSTER_POSTGRES_SERVER": self._database.server,
            "DAGSTER_POSTGRES_SECRET_ARN": self._database.secret_arn,
        }

    def _context(self) -> str:
        """The variables and secrets of runs, which the code server passes on. Secrets by ARN only."""
        variables = self._given.variables | self._of_database()
        if self._given.code:
            variables["DATA_PLATFORM_CODE_URL"] = self._given.code.url
            variables["DATA_PLATFORM_CODE_REF"] = self._given.code.ref
        secrets = secret_variables(self._given)["run"]
        return self.to_json_string(
            {
                "ecs": {
                    "env_vars": [f"{name}={value}" for name, value in variables.items()],
                    "secrets": [{"name": name, "valueFrom": self._secret_arns[of]} for name, of in secrets.items()],
                }
            }
        )

    def _secrets(self, name: str, kind: str) -> dict[str, ecs.Secret]:
        return {
            variable: ecs.Secret.from_secrets_manager(
                secretsmanager.Secret.from_secret_complete_arn(self, f"{name}-{secret}", self._secret_arns[secret])
            )
            for variable, secret in secret_variables(self._given)[kind].items()
        }


def code_server_name(given: Environment) -> str:
    """The host by which webservers and daemon find the code server."""
    return f"{CODE_SERVER}.{given.prefix}.internal"
