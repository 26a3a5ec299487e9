"""Database: Dagster's PostgreSQL on RDS, with point-in-time recovery. RDS's secret has host, user and password as JSON;
containers get that JSON as DAGSTER_POSTGRES_SECRET."""

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


class DatabaseStack(cdk.Stack):
    """`secret_arn`: the JSON with host, port, username, password and dbname."""

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
            database_name="dagster",
            manage_master_user_password=True,  # RDS rotates it every seven days
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
        self.secret_arn = str(instance.secret and instance.secret.secret_arn)  # generated, so it is there
