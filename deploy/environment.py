"""One environment's configuration, `deploy/environments/<name>.yaml`. It holds no secret: those are in Secrets Manager,
which `stacks.secrets` lists. The names of everything that the stacks create derive from the environment's name.

`python -m deploy.environment dev` prints the platform's settings there as a shell's export lines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import click
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FOLDER = Path(__file__).parent / "environments"
DEFS = Path(__file__).parents[1] / "data_platform" / "defs"

Account = Annotated[str, Field(pattern=r"^\d{12}$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class Part(BaseModel):
    """A frozen part of the configuration. An unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExistingVpc(Part):
    """A VPC that exists. Its private subnets need a route to the internet for runs and the code server."""

    id: str = Field(pattern=r"^vpc-[0-9a-f]+$")
    cidr: str
    private_subnets: tuple[str, ...] = Field(min_length=2)
    public_subnets: tuple[str, ...] = Field(min_length=2)


class Target(Part):
    """A database that feeds read: where runs may connect to."""

    cidr: str
    port: int = Field(ge=1, le=65535)
    why: str


class Network(Part):
    """`zones`: at least two availability zones. Without `existing`, the network stack creates a VPC of this `cidr`.
    `s3_prefix_list`: the region's, from `aws ec2 describe-managed-prefix-lists`. `sources`: databases that runs read.
    """

    zones: tuple[str, ...] = Field(min_length=2)
    s3_prefix_list: str = Field(pattern=r"^pl-[0-9a-f]+$")
    cidr: str = "10.40.0.0/16"
    existing: ExistingVpc | None = None
    sources: tuple[Target, ...] = ()


class Database(Part):
    """Dagster's PostgreSQL. `instance`: a class without `db.`, which must allow 200 connections (1 GiB allows 100)."""

    instance: str = "t4g.small"
    storage_gib: int = Field(20, ge=20)
    multi_az: bool
    backup_days: int = Field(14, ge=7, le=35)


class Size(Part):
    """A service's task: `cpu` in units (1024 are a vCPU), `memory` in MiB."""

    cpu: int
    memory: int


class Services(Part):
    """The sizes of the services, and how many runs may execute at a time."""

    webserver: Size = Size(cpu=512, memory=2048)
    daemon: Size = Size(cpu=512, memory=2048)
    code_server: Size = Size(cpu=1024, memory=2048)
    max_runs: int = 25
    max_landing_runs: int = 10
    max_partner_runs: int = 4


class SignIn(Part):
    """The identity provider. Viewer and editor are two clients there: whom it assigns to a client may sign in to that
    host. The clients' secrets are in Secrets Manager."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    user_info_endpoint: str
    viewer_client_id: str
    editor_client_id: str
    session_hours: int = Field(8, ge=1, le=24)


class Access(Part):
    """Host names, and the certificate for both UI hosts (ACM, in the same region)."""

    viewer_host: HostName
    editor_host: HostName
    certificate_arn: str
    sign_in: SignIn


class Snowflake(Part):
    """The account, and its users: the loader, dbt, and the reader of marts, each with a role of its own."""

    account: str
    user: str = "DATA_PLATFORM"
    role: str = "DATA_PLATFORM_LOADER"
    dbt_user: str = "DATA_PLATFORM_DBT"
    dbt_role: str = "DATA_PLATFORM_TRANSFORMER"
    reader_user: str = "DATA_PLATFORM_REPORTS"
    reader_role: str = "DATA_PLATFORM_READER"
    warehouse: str = "DATA_PLATFORM"
    database: str = "DATA_PLATFORM"
    storage_integration: str = "DATA_PLATFORM_LAKE"


class Code(Part):
    """The git repository of the code server, and the branch that it follows or the tag that it serves. Without it, the
    code server serves the image's own code, and there is no webhook."""

    url: str
    ref: str


class GitHub(Part):
    """The repository that deploys. `creates_provider`: an account has one OIDC provider for GitHub, so exactly one
    environment of an account creates it."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    creates_provider: bool


class Environment(Part):
    """A whole environment. `image_repository`: the name in ECR; one image is built once and deployed everywhere by its
    digest, so exactly one environment creates the repository (`creates_image_repository`) and `image_account` is its
    account; `image_readers` are the accounts of the others."""

    name: Literal["dev", "prod"]
    account: Account
    region: str
    time_zone: str
    owner_email: str
    monthly_budget_usd: int = Field(ge=1)
    image_repository: str = "data-platform"
    image_account: Account
    image_readers: tuple[Account, ...] = ()
    creates_image_repository: bool
    sftp_host: HostName
    network: Network
    database: Database
    services: Services = Services()
    access: Access
    snowflake: Snowflake
    github: GitHub
    code: Code | None = None

    @model_validator(mode="after")
    def _repository_is_here(self) -> Environment:
        if self.creates_image_repository and self.image_account != self.account:
            raise ValueError(
                f"creates_image_repository: expected image_account to be {self.account}, the environment's own account"
            )
        return self

    @model_validator(mode="after")
    def _all_in_one_region(self) -> Environment:
        if wrong := [zone for zone in self.network.zones if not zone.startswith(self.region)]:
            raise ValueError(f"network.zones: {', '.join(wrong)}; expected zones of {self.region}, the region above")
        place = f"arn:aws:acm:{self.region}:{self.account}:"
        if not self.access.certificate_arn.startswith(place):
            raise ValueError(f"access.certificate_arn: expected {place}certificate/...: the balancer takes no other")
        return self

    @property
    def prefix(self) -> str:
        """The beginning of the name of everything that belongs to this environment."""
        return f"data-platform-{self.name}"

    @property
    def qualifier(self) -> str:
        """Part of the names of the roles with which CDK deploys. Each environment has its own, so that the pipeline of
        one can't deploy the other where both are in one account."""
        return f"dp{self.name}"

    def bucket(self, purpose: str) -> str:
        """A bucket's name: bucket names are global, so the account is part of it."""
        return f"{self.prefix}-{self.account}-{purpose}"

    def arn(self, service: str, rest: str) -> str:
        """An ARN in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{rest}"

    def role_name(self, purpose: str) -> str:
        """A role's name."""
        return f"{self.prefix}-{purpose}"

    def role_arn(self, purpose: str) -> str:
        """A role's ARN."""
        return f"arn:aws:iam::{self.account}:role/{self.role_name(purpose)}"

    @property
    def cluster_arn(self) -> str:
        """The ECS cluster."""
        return self.arn("ecs", f"cluster/{self.prefix}")

    @property
    def image_repository_arn(self) -> str:
        """The ECR repository, which may be another account's."""
        return f"arn:aws:ecr:{self.region}:{self.image_account}:repository/{self.image_repository}"

    def log_group(self, purpose: str) -> str:
        """The log group of a service, or of `runs`."""
        return f"/{self.prefix}/{purpose}"

    @property
    def variables(self) -> dict[str, str]:
        """The platform's settings in this environment, secrets excepted: those of every container, runs included."""
        return {
            "DATA_PLATFORM_ENVIRONMENT": self.name,
            "DATA_PLATFORM_RUNS_ON": "ecs",
            "DATA_PLATFORM_TIME_ZONE": self.time_zone,
            "DATA_PLATFORM_LAKE_BUCKET": self.bucket("lake"),
            "DATA_PLATFORM_LANDING_BUCKET": self.bucket("landing"),
            "DATA_PLATFORM_LOGS_BUCKET": self.bucket("logs"),
            "AWS_REGION": self.region,
            "SNOWFLAKE_ACCOUNT": self.snowflake.account,
            "SNOWFLAKE_USER": self.snowflake.user,
            "SNOWFLAKE_ROLE": self.snowflake.role,
            "SNOWFLAKE_DBT_USER": self.snowflake.dbt_user,
            "SNOWFLAKE_DBT_ROLE": self.snowflake.dbt_role,
            "SNOWFLAKE_READER_USER": self.snowflake.reader_user,
            "SNOWFLAKE_READER_ROLE": self.snowflake.reader_role,
            "SNOWFLAKE_WAREHOUSE": self.snowflake.warehouse,
            "SNOWFLAKE_DATABASE": self.snowflake.database,
            "SNOWFLAKE_STORAGE_INTEGRATION": self.snowflake.storage_integration,
            "SFTP_HOST": self.sftp_host,
        }


def read(path: Path) -> Environment:
    """Reads and checks one file. Raises pydantic's ValidationError, and ValueError if its name is not the
    environment's."""
    found = Environment.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    if found.name != path.stem:
        raise ValueError(f"{path.name} describes {found.name}: expected name: {path.stem}")
    return found


def environments(folder: Path = FOLDER) -> list[Environment]:
    """All environments, by file name."""
    return [read(path) for path in sorted(folder.glob("*.yaml"))]


NAME = click.Choice(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""An environment's name, as an argument of commands."""


def named(name: str) -> Environment:
    """The environment of this name. Raises click.ClickException with every wrong field."""
    try:
        return read(FOLDER / f"{name}.yaml")
    except ValueError as error:  # pydantic's is one
        raise click.ClickException(f"deploy/environments/{name}.yaml: {error}") from None


@click.command()
@click.argument("environment", type=NAME)
def main(environment: str) -> None:
    """Print the platform's settings in ENVIRONMENT as export lines, for commands that you run on your machine.

    \b
    Example:
      eval "$(python -m deploy.environment dev)"
    """
    for name, value in named(environment).variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
