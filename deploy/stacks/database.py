"""Database: Dagster's PostgreSQL on RDS, with point-in-time recovery. RDS makes the password, changes it every week,
and keeps it in a secret of its own, JSON with username and password
(docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html). Containers get that JSON as
DAGSTER_POSTGRES_SECRET, and read the secret again when the database refuses the password."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from deploy.environment import Environment
from deploy.stacks.network import NetworkStack

CONNECTIONS = 200
"""Each process keeps three, and opens more for moments: enough for 25 runs."""

NAME = "dagster"


class DatabaseStack(cdk.Stack):
    """`secret_arn`: the JSON with username and password. `server`: host:port/dbname."""

    def __init__(
        self, scope: Construct, name: str, given: Environment, network: NetworkStack, key: kms.IKey, **options: object
    ) -> None:
        super().__init__(scope, name, **options)
        version = rds.PostgresEngineVersion.of("17.6", "17")
        engine = rds.DatabaseInstanceEngine.postgres(version=version)
        parameters = rds.ParameterGroup(
            self,
            "parameters",
            engine=engine,
            parameters={
                "max_connections": str(CONNECTIONS),
                "rds.force_ssl": "1",
                "log_min_duration_statement": "1000",
            },
        )
        monitoring = iam.Role(
            self,
            "monitoring",
            role_name=given.role_name("database-monitoring"),
            assumed_by=iam.ServicePrincipal(
                "monitoring.rds.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": given.account}}
            ),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AmazonRDSEnhancedMonitoringRole")
            ],
        )
        instance = rds.DatabaseInstance(
            self,
            "dagster",
            engine=engine,
            instance_identifier=given.prefix,
            parameter_group=parameters,
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=network.private.subnets),
            security_groups=[network.groups["database"]],
            publicly_accessible=False,
            instance_type=ec2.InstanceType(given.database.instance),
            multi_az=given.database.multi_az,
            allocated_storage=given.database.storage_gib,
            max_allocated_storage=5 * given.database.storage_gib,
            storage_type=rds.StorageType.GP3,
            storage_encrypted=True,
            storage_encryption_key=key,
            database_name=NAME,
            manage_master_user_password=True,
            credentials=rds.Credentials.from_username("dagster"),
            ca_certificate=rds.CaCertificate.RDS_CA_RSA2048_G1,
            backup_retention=cdk.Duration.days(given.database.backup_days),
            deletion_protection=True,
            removal_policy=cdk.RemovalPolicy.SNAPSHOT,
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            monitoring_interval=cdk.Duration.seconds(60),
            monitoring_role=monitoring,
            cloudwatch_logs_exports=["postgresql", "upgrade"],
        )
        self.server = f"{instance.db_instance_endpoint_address}:{instance.db_instance_endpoint_port}/{NAME}"
        self.secret_arn = str(instance.secret and instance.secret.secret_arn)  # generated, so it is there
