"""IAM: what each part of the platform may do, with the reason of each permission. Names are enough to refer to buckets,
the cluster and log groups, so this stack depends on the key and the secrets only.

Each service has two roles. ECS uses `start-<service>` to pull the image, read that service's secrets and write its log;
the service itself has `<service>`. No role may touch the other environment: every resource has this one's prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from data_platform.cli.secrets_seed import SMOKE_KEY
from deploy.environment import Environment
from deploy.stacks.policy import Allow, role, tasks
from deploy.stacks.secrets import connection_variables, has_smoke_test

WHY = {
    "webserver": "Dagster's UI",
    "daemon": "Dagster's daemon: launches runs",
    "code-server": "Definitions, sensors and schedules",
    "run": "A run",
    "operate": "One-off tasks: migrations, schema changes, replays, doctor, smoke test",
}


def secret_variables(given: Environment) -> dict[str, dict[str, str]]:
    """{service: {variable: name of its secret}}. Only runs and operators get the keys of Snowflake and connections, and
    only operators those of the reader, to prove what it may read, and of the partner `smoke`."""
    database = {"DAGSTER_POSTGRES_SECRET": "database"}
    token = {"DATA_PLATFORM_CODE_TOKEN": "code-token"} if given.code else {}
    webhook = {"DATA_PLATFORM_CODE_WEBHOOK_SECRET": "code-webhook-secret"} if given.code else {}
    data = {
        "SNOWFLAKE_PRIVATE_KEY": "snowflake-private-key",
        "SNOWFLAKE_DBT_PRIVATE_KEY": "snowflake-dbt-private-key",
    }
    reader = {"SNOWFLAKE_READER_PRIVATE_KEY": "snowflake-reader-private-key"}
    smoke = {"SMOKE_PRIVATE_KEY": SMOKE_KEY} if has_smoke_test() else {}
    data |= {variable: secret for secret, variable in connection_variables().items()}
    return {
        "webserver": database,
        "daemon": database,
        "code-server": {**database, **token, **webhook},
        "run": {**database, **data, **token},
        "operate": {**database, **data, **reader, **smoke},
    }


class RolesStack(cdk.Stack):
    """The roles of the services, of runs and of operators."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        given: Environment,
        key_arn: str,
        secret_arns: Mapping[str, str],
        **options: object,
    ) -> None:
        super().__init__(scope, name, **options)
        self._given, self._key_arn = given, key_arn
        allowed = {
            "webserver": self._webserver(),
            "daemon": self._daemon(),
            "code-server": self._code_server(),
            "run": self._run(),
            "operate": self._operate(),
        }
        again = Allow(
            "Read the password of the database again after RDS changed it",
            ["secretsmanager:GetSecretValue"],
            [secret_arns["database"]],
        )
        for service, secrets in secret_variables(given).items():
            arns = [secret_arns[secret] for secret in secrets.values()]
            role(self, given, f"start-{service}", tasks(given), self._start(service, arns), f"Starts: {WHY[service]}")
            role(self, given, service, tasks(given), [*allowed[service], again], WHY[service])

    def _start(self, service: str, secret_arns: Sequence[str]) -> list[Allow]:
        log = self._given.log_group("runs" if service == "run" else service)
        return [
            Allow("Sign in to the registry", ["ecr:GetAuthorizationToken"], ["*"]),  # AWS has none finer
            Allow(
                "Pull the image",
                ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                [self._given.image_repository_arn],
            ),
            Allow("Read its secrets", ["secretsmanager:GetSecretValue"], list(secret_arns)),
            Allow(
                "Write its log",
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [self._given.arn("logs", f"log-group:{log}:*")],
            ),
        ]

    def _webserver(self) -> list[Allow]:
        return [
            Allow("Show the output of runs", ["s3:GetObject"], [self._objects("logs", "compute-logs")]),
            self._list("List the output of runs", "logs", "compute-logs"),
            self._decrypt("Read the output of runs", ["kms:Decrypt"]),
            *self._follow_tasks(),
        ]

    def _daemon(self) -> list[Allow]:
        given = self._given
        return [
            *self._follow_tasks(),
            *self._launch("a run", "*"),
            Allow(
                "Show the last lines of a task",
                ["logs:GetLogEvents"],
                [given.arn("logs", f"log-group:{given.log_group('runs')}:log-stream:*")],
            ),
            *self._write_output(),
        ]

    def _code_server(self) -> list[Allow]:
        return [
            self._list("List what partners deliver", "landing"),
            Allow(
                "See what partners deliver",
                ["s3:GetObject"],
                [self._objects("landing", each) for each in ("inbound", "archive", "quarantine", "receipts")],
            ),
            Allow("Write receipts", ["s3:PutObject"], [self._objects("landing", "receipts")]),
            self._decrypt("Read and write in the buckets", ["kms:Decrypt", "kms:GenerateDataKey"]),
            *self._write_output(key=False),
        ]

    def _run(self) -> list[Allow]:
        lake, landing = self._bucket("lake"), self._bucket("landing")
        return [
            # Without ListBucket, S3 answers 403 for a missing key, and the first extract of each feed would fail.
            Allow("List extracts and learn that a key is missing", ["s3:ListBucket"], [lake]),
            Allow(
                "Write read and sweep extracts, marks of those that are not loaded, and published files",
                ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                [self._objects("lake", each) for each in ("extracts", "unloaded", "publications")],
            ),
            Allow("Write digests", ["s3:PutObject"], [self._objects("lake", "digests")]),
            Allow(
                "Write receipts and delete old ones",
                ["s3:PutObject", "s3:DeleteObject"],
                [self._objects(bucket, "receipts") for bucket in ("lake", "landing")],
            ),
            Allow("List deliveries and their versions", ["s3:ListBucket", "s3:ListBucketVersions"], [landing]),
            Allow(
                "Read exactly the delivered version",
                ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"],
                [self._objects("landing", each) for each in ("inbound", "archive", "quarantine", "receipts")],
            ),
            Allow("Take a settled delivery away", ["s3:DeleteObjectVersion"], [self._objects("landing", "inbound")]),
            Allow(
                "Archive or quarantine it and tag its receipt",
                ["s3:PutObject", "s3:PutObjectTagging"],
                [self._objects("landing", each) for each in ("archive", "quarantine", "receipts")],
            ),
            Allow(
                "Give up an upload that broke off",
                ["s3:AbortMultipartUpload"],
                [
                    *(self._objects("lake", each) for each in ("extracts", "receipts", "digests", "publications")),
                    *(self._objects("landing", each) for each in ("archive", "quarantine", "receipts")),
                ],
            ),
            self._decrypt("Read and write in the buckets", ["kms:Decrypt", "kms:GenerateDataKey"]),
            *self._write_output(key=False),
        ]

    def _operate(self) -> list[Allow]:
        return [
            Allow(
                "List extracts and deliveries",
                ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketVersioning"],
                [self._bucket("lake"), self._bucket("landing")],
            ),
            Allow(
                "Read what is asked about",
                ["s3:GetObject", "s3:GetObjectVersion"],
                [
                    *(
                        self._objects("lake", each)
                        for each in ("extracts", "unloaded", "receipts", "digests", "publications", "_doctor")
                    ),
                    *(self._objects("landing", each) for each in ("inbound", "archive", "quarantine", "receipts")),
                ],
            ),
            Allow("Take a publication back", ["s3:PutObject"], [self._objects("lake", "publications")]),
            Allow("Replay a delivery", ["s3:PutObject"], [self._objects("landing", "inbound")]),
            Allow("Test the lake", ["s3:PutObject", "s3:DeleteObject"], [self._objects("lake", "_doctor")]),
            # `doctor --deep` starts a task as the daemon starts a run's, which writes its findings here.
            Allow(
                "Take away what the tested task wrote", ["s3:DeleteObject"], [self._objects("lake", "extracts/_doctor")]
            ),
            *self._launch("the task that doctor tests", "doctor_*"),
            Allow(
                "See how the tested task ended",
                ["ecs:DescribeTasks", "ecs:StopTask"],
                [self._given.arn("ecs", f"task/{self._given.prefix}/*")],
                {"ArnEquals": {"ecs:cluster": self._given.cluster_arn}},
            ),
            self._decrypt("Read and write in the buckets", ["kms:Decrypt", "kms:GenerateDataKey"]),
            *(self._smoke_test() if has_smoke_test() else ()),
        ]

    def _smoke_test(self) -> list[Allow]:
        """`data-platform smoke` removes what it delivered. Each partner has folders of its own, so these statements
        reach the test rows of `smoke` only."""
        landing = ("inbound", "archive", "quarantine", "receipts")
        return [
            # By version, as the platform deletes in this bucket: a deletion without one would keep the bytes.
            Allow(
                "Remove the file of the smoke test and its receipt",
                ["s3:DeleteObjectVersion"],
                [self._objects("landing", f"{each}/smoke") for each in landing],
            ),
            Allow(
                "Remove the extract of the smoke test and its receipt",
                ["s3:DeleteObject"],
                [self._objects("lake", f"{each}/smoke") for each in ("extracts", "receipts")],
            ),
        ]

    def _launch(self, what: str, family: str) -> list[Allow]:
        """Launching tasks of definitions that the launcher registers, with a run's roles. `family`: without prefix."""
        given = self._given
        return [
            Allow(
                f"Launch {what}",
                ["ecs:RunTask"],
                [given.arn("ecs", f"task-definition/{given.prefix}_{family}:*")],
                {"ArnEquals": {"ecs:cluster": given.cluster_arn}},
            ),
            Allow(
                "Tag a task that it launches",
                ["ecs:TagResource"],
                [given.arn("ecs", f"task/{given.prefix}/*")],
                {"StringEquals": {"ecs:CreateAction": "RunTask"}},
            ),
            # AWS has none finer for these two. A definition of another environment's family is harmless: who registers
            # one runs that revision, by ARN, and may pass on only the roles below.
            Allow(f"Define {what}", ["ecs:RegisterTaskDefinition", "ecs:DescribeTaskDefinition"], ["*"]),
            Allow(
                "Give a run its roles",
                ["iam:PassRole"],
                [given.role_arn("run"), given.role_arn("start-run")],
                {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            ),
        ]

    def _follow_tasks(self) -> list[Allow]:
        given = self._given
        cluster = {"ArnEquals": {"ecs:cluster": given.cluster_arn}}
        return [
            Allow("Find the task of a run", ["ecs:ListTasks"], ["*"], cluster),  # AWS: only by the cluster
            Allow(
                "See why a task ended and stop it",
                ["ecs:DescribeTasks", "ecs:StopTask"],
                [given.arn("ecs", f"task/{given.prefix}/*")],
                cluster,
            ),
        ]

    def _write_output(self, *, key: bool = True) -> list[Allow]:
        output = Allow("Store its output", ["s3:PutObject"], [self._objects("logs", "compute-logs")])
        encrypt = self._decrypt("Encrypt its output", ["kms:Decrypt", "kms:GenerateDataKey"])
        return [output, encrypt] if key else [output]

    def _list(self, reason: str, bucket: str, folder: str | None = None) -> Allow:
        condition = {"StringLike": {"s3:prefix": [f"{folder}/*"]}} if folder else None
        return Allow(reason, ["s3:ListBucket"], [self._bucket(bucket)], condition)

    def _decrypt(self, reason: str, actions: Sequence[str]) -> Allow:
        via = {"StringEquals": {"kms:ViaService": f"s3.{self._given.region}.amazonaws.com"}}
        return Allow(f"{reason} with the key", actions, [self._key_arn], via)

    def _bucket(self, purpose: str) -> str:
        return f"arn:aws:s3:::{self._given.bucket(purpose)}"

    def _objects(self, purpose: str, folder: str) -> str:
        return f"{self._bucket(purpose)}/{folder}/*"


def imported(scope: Construct, given: Environment, purpose: str) -> iam.IRole:
    """A role of this stack by its ARN. CDK can't add permissions to it."""
    return iam.Role.from_role_arn(scope, f"role-{purpose}", given.role_arn(purpose), mutable=False)
