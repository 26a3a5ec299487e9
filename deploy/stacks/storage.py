"""Storage: the key, the buckets of lake, landing, logs and access logs, and the audit logs: whatever outlives the rest.
All buckets refuse plain HTTP and public access.

The key's policy names no role: it lets the account's IAM policies decide, so the key and the roles don't refer to each
other. Deleting the stack keeps the buckets and the key.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.environment import Environment

OLD_VERSIONS_DAYS = 90
"""How long an overwritten or deleted object can be brought back."""
AUDITED = ("network", "sftp")
"""What has an audit log: every connection in the VPC, and what partners do."""


class StorageStack(cdk.Stack):
    """`key`, `buckets` by purpose, and `audit_logs` by what they record."""

    def __init__(self, scope: Construct, name: str, given: Environment, **options: object) -> None:
        super().__init__(scope, name, **options)
        self.key = kms.Key(
            self,
            "key",
            alias=given.prefix,
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            description=f"Encrypts the buckets, the database and the alarms of {given.prefix}",
        )
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LetAlarmsReachTheirTopic",
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                principals=[
                    iam.ServicePrincipal(f"{each}.amazonaws.com") for each in ("cloudwatch", "events", "budgets")
                ],
                conditions={"StringEquals": {"aws:SourceAccount": given.account}},
            )
        )
        # S3 and load balancers write access logs only where S3's own keys encrypt.
        access_logs = s3.Bucket(
            self,
            "access-logs",
            bucket_name=given.bucket("access-logs"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(365))],
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            **_CLOSED,
        )

        def bucket(purpose: str, *, versioned: bool, rule: s3.LifecycleRule) -> s3.Bucket:
            return s3.Bucket(
                self,
                purpose,
                bucket_name=given.bucket(purpose),
                versioned=versioned,
                lifecycle_rules=[rule],
                encryption=s3.BucketEncryption.KMS,
                encryption_key=self.key,
                bucket_key_enabled=True,
                server_access_logs_bucket=access_logs,
                server_access_logs_prefix=f"{purpose}/",
                removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
                **_CLOSED,
            )

        # The job `retention` deletes extracts and receipts: only it knows which rows are in a table.
        kept = s3.LifecycleRule(
            noncurrent_version_expiration=cdk.Duration.days(OLD_VERSIONS_DAYS),
            abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
            expired_object_delete_marker=True,
        )
        passing = s3.LifecycleRule(
            expiration=cdk.Duration.days(90), abort_incomplete_multipart_upload_after=cdk.Duration.days(7)
        )
        self.access_logs = access_logs
        self.buckets = {
            "lake": bucket("lake", versioned=True, rule=kept),
            "landing": bucket("landing", versioned=True, rule=kept),
            "logs": bucket("logs", versioned=False, rule=passing),
        }
        self.audit_logs = {
            each: logs.LogGroup(
                self,
                f"{each}-log",
                log_group_name=given.log_group(each),
                retention=logs.RetentionDays.ONE_YEAR,
                removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            )
            for each in AUDITED
        }


_CLOSED = {
    "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
    "enforce_ssl": True,
    "minimum_tls_version": 1.2,
    "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
}
