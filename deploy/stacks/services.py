"""Services: the ECS cluster, webservers for viewers and editors, the daemon, the code server, and the definition of
one-off tasks. Runs are not services: the daemon defines and launches their tasks (`data_platform/runs/launcher.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from deploy.environment import Environment, Size
from deploy.stacks.database import DatabaseStack
from deploy.stacks.network import NetworkStack
from deploy.stacks.roles import imported, secret_variables

STOP = cdk.Duration.seconds(120)
"""What Fargate allows at most. A service that ends earlier doesn't wait for it."""
WORKSPACE = ("--workspace", "deploy/workspace.yaml")
WEBSERVER = ("dagster-webserver", *WORKSPACE, "--host", "0.0.0.0", "--port", "3000")  # noqa: S104  behind the balancer
_URL = "from urllib.request import urlopen; urlopen('http://127.0.0.1:3000/server_info', timeout=5)"
HEALTH = {
    "webserver": ("python", "-c", _URL),
    "daemon": ("dagster-daemon", "liveness-check"),
    "code-server": ("dagster", "api", "grpc-health-check", "--port", "4000"),
}


class ServicesStack(cdk.Stack):
    """`services` by name. `image`: the digest of the image that all of them run."""

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
        super().__init__(scope, name, **options)
        self._given, self._network, self._database, self._secret_arns = given, network, database, secret_arns
        self._image = f"{given.image_account}.dkr.ecr.{given.region}.amazonaws.com/{given.image_repository}@{image}"
        repository = ecr.Repository.from_repository_attributes(
            self, "repository", repository_arn=given.image_repository_arn, repository_name=given.image_repository
        )
        self._container_image = ecs.ContainerImage.from_ecr_repository(repository, image)
        self._roles = {
            each: imported(self, given, each)
            for kind in ("webserver", "daemon", "code-server", "operate")
            for each in (kind, f"start-{kind}")
        }
        self._logs = {
            each: logs.LogGroup(
                self,
                f"log-{each}",
                log_group_name=given.log_group(each),
                retention=logs.RetentionDays.THREE_MONTHS,
                removal_policy=cdk.RemovalPolicy.DESTROY,
            )
            for each in ("webserver", "daemon", "code-server", "runs", "operate")
        }
        self.cluster = ecs.Cluster(
            self,
            "cluster",
            cluster_name=given.prefix,
            vpc=network.vpc,
            enable_fargate_capacity_providers=True,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        names = discovery.PrivateDnsNamespace(self, "names", name=f"{given.prefix}.internal", vpc=network.vpc)
        self._code_server_name = f"code-server.{names.namespace_name}"
        sizes = given.services
        self.services = {
            "viewer": self._service("viewer", "webserver", sizes.webserver, (*WEBSERVER, "--read-only"), ports=(3000,)),
            "editor": self._service("editor", "webserver", sizes.webserver, WEBSERVER, ports=(3000,)),
            "daemon": self._service("daemon", "daemon", sizes.daemon, ("dagster-daemon", "run", *WORKSPACE)),
            "code-server": self._service(
                "code-server", "code-server", sizes.code_server, _code_server(given), ports=(4000, 4001), names=names
            ),
        }
        self._one_off_tasks()

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
            cluster=self.cluster,
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
                name="code-server",
                cloud_map_namespace=names,
                dns_record_type=discovery.DnsRecordType.A,
                dns_ttl=cdk.Duration.seconds(10),
            ),
        )

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

    def _one_off_tasks(self) -> None:
        """For `deploy.operate`: migrations, `schema apply`, `deliveries replay`, `doctor`."""
        self._definition("operate", "operate", Size(cpu=1024, memory=2048), ("data-platform", "--help"))

    def _variables(self, kind: str) -> dict[str, str]:
        given = self._given
        found = {
            **common_variables(given),
            **self._of_database(),
            "DATA_PLATFORM_CODE_SERVER_HOST": self._code_server_name,
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
        if kind == "code-server":
            found |= {"DAGSTER_CURRENT_IMAGE": self._image, "DAGSTER_CONTAINER_CONTEXT": self._context()}
            if given.code:
                found |= {"DATA_PLATFORM_CODE_URL": given.code.url, "DATA_PLATFORM_CODE_REF": given.code.ref}
        return found

    def _of_database(self) -> dict[str, str]:
        return {
            "DAGSTER_POSTGRES_SERVER": self._database.server,
            "DAGSTER_POSTGRES_SECRET_ARN": self._database.secret_arn,
        }

    def _context(self) -> str:
        """The variables and secrets of runs, which the code server passes on. Secrets by ARN only."""
        variables = common_variables(self._given) | self._of_database()
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


def common_variables(given: Environment) -> dict[str, str]:
    """The settings of every container, runs included."""
    return {
        "DATA_PLATFORM_ENVIRONMENT": given.name,
        "DATA_PLATFORM_RUNS_ON": "ecs",
        "DATA_PLATFORM_TIME_ZONE": given.time_zone,
        "DATA_PLATFORM_LAKE_BUCKET": given.bucket("lake"),
        "DATA_PLATFORM_LANDING_BUCKET": given.bucket("landing"),
        "DATA_PLATFORM_LOGS_BUCKET": given.bucket("logs"),
        "AWS_REGION": given.region,
        "SNOWFLAKE_ACCOUNT": given.snowflake.account,
        "SNOWFLAKE_USER": given.snowflake.user,
        "SNOWFLAKE_ROLE": given.snowflake.role,
        "SNOWFLAKE_DBT_USER": given.snowflake.dbt_user,
        "SNOWFLAKE_DBT_ROLE": given.snowflake.dbt_role,
        "SNOWFLAKE_READER_USER": given.snowflake.reader_user,
        "SNOWFLAKE_READER_ROLE": given.snowflake.reader_role,
        "SNOWFLAKE_WAREHOUSE": given.snowflake.warehouse,
        "SNOWFLAKE_DATABASE": given.snowflake.database,
        "SNOWFLAKE_STORAGE_INTEGRATION": given.snowflake.storage_integration,
        "SFTP_HOST": given.sftp_host,
    }


def _code_server(given: Environment) -> list[str]:
    everywhere = "0.0.0.0"  # noqa: S104  its security group decides who connects
    webhook = ["--webhook-host", everywhere, "--webhook-port", "4001"] if given.code else []
    return ["data-platform", "code-server", "--host", everywhere, "--port", "4000", *webhook]
