"""SFTP: a Transfer Family server with one user per partner. Users, their keys and their two folders come from the
partners' `defs.yaml`, as they do in the local cloud."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_transfer as transfer
from constructs import Construct

from data_platform.feeds.declared import declared_sources
from data_platform.feeds.partners import PartnerDeclaration
from data_platform.landing.partners import home_directory_mappings, session_policy
from deploy.environment import DEFS, Environment
from deploy.stacks.policy import Allow, role


class SftpStack(cdk.Stack):
    """The server, its users, and a role per partner that reaches that partner's folders only."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        given: Environment,
        key: kms.IKey,
        log: logs.ILogGroup,
        **options: object,
    ) -> None:
        super().__init__(scope, name, **options)
        transfer_service = iam.ServicePrincipal(
            "transfer.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": given.account}}
        )
        server = transfer.CfnServer(
            self,
            "server",
            protocols=["SFTP"],
            endpoint_type="PUBLIC",
            domain="S3",
            identity_provider_type="SERVICE_MANAGED",  # it can't change later
            security_policy_name="TransferSecurityPolicy-2025-03",
            structured_log_destinations=[log.log_group_arn],
            # Empty folders of a partner list as folders, and large ones list fast.
            s3_storage_options=transfer.CfnServer.S3StorageOptionsProperty(directory_listing_optimization="ENABLED"),
            workflow_details=self._delete_partial_uploads(given, key, transfer_service),
            tags=[cdk.CfnTag(key="transfer:customHostname", value=given.sftp_host)],
        )
        # Partners know its host key: only `deploy.destroy` deletes it, which names it first.
        server.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        bucket = given.bucket("landing")
        for partner in declared_sources(DEFS, PartnerDeclaration):
            policy = session_policy(bucket, partner.name)
            policy["Statement"].append(
                {
                    "Sid": "DecryptAndEncrypt",
                    "Effect": "Allow",
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                    "Resource": key.key_arn,
                }
            )
            allowed = [
                Allow(each["Sid"], _list(each["Action"]), _list(each["Resource"]), each.get("Condition"))
                for each in policy["Statement"]
            ]
            purpose = f"sftp-{partner.name}"
            its_role = role(self, given, purpose, transfer_service, allowed, f"What {partner.name} may do over SFTP")
            transfer.CfnUser(
                self,
                partner.name,
                server_id=server.attr_server_id,
                user_name=partner.name,
                role=its_role.role_arn,
                policy=self.to_json_string(policy),
                home_directory_type="LOGICAL",
                home_directory_mappings=[
                    transfer.CfnUser.HomeDirectoryMapEntryProperty(
                        entry=each["Entry"], target=each["Target"], type="DIRECTORY"
                    )
                    for each in home_directory_mappings(bucket, partner.name)
                ],
                ssh_public_keys=list(partner.declaration.public_keys),
            )
        cdk.CfnOutput(
            self,
            "address",
            value=f"{server.attr_server_id}.server.transfer.{given.region}.amazonaws.com",
            description=f"Point {given.sftp_host} (CNAME) here",
        )

    def _delete_partial_uploads(
        self, given: Environment, key: kms.IKey, service: iam.IPrincipal
    ) -> transfer.CfnServer.WorkflowDetailsProperty:
        """What a broken connection leaves looks like a whole file (docs/partners.md): the server deletes it."""
        landing = f"arn:aws:s3:::{given.bucket('landing')}"
        listing = {"StringLike": {"s3:prefix": ["inbound/*"]}}
        allowed = [
            Allow("Find a partial upload", ["s3:ListBucket"], [landing], listing),
            Allow(
                "Delete a partial upload",
                ["s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectVersionTagging"],
                [f"{landing}/inbound/*"],
            ),
            Allow("Read what the key encrypts", ["kms:Decrypt"], [key.key_arn]),
        ]
        its_role = role(self, given, "partial-uploads", service, allowed, "Transfer Family deletes partial uploads")
        step = transfer.CfnWorkflow.WorkflowStepProperty(
            type="DELETE",
            delete_step_details={"Name": "delete", "SourceFileLocation": "${original.file}"},
        )
        workflow = transfer.CfnWorkflow(self, "partial-upload", steps=[step], description="Deletes a partial upload")
        detail = transfer.CfnServer.WorkflowDetailProperty(
            execution_role=its_role.role_arn, workflow_id=workflow.attr_workflow_id
        )
        return transfer.CfnServer.WorkflowDetailsProperty(on_partial_upload=[detail])


def _list(one_or_more: object) -> list[str]:
    return [one_or_more] if isinstance(one_or_more, str) else json.loads(json.dumps(one_or_more))
