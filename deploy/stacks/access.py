"""Access: the load balancer with HTTPS. People sign in at the identity provider (OIDC) before they reach a UI; viewers
and editors have a host and a client of their own, so the provider decides who may do what. The webhook's POST is the
only thing that is reachable without sign-in: it is signed, and limited to RATE calls per address."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from deploy.environment import Environment
from deploy.stacks.network import NetworkStack
from deploy.stacks.services import ServicesStack

WEBHOOK = "/webhook"
RATE = 100
"""Calls of the webhook per address in five minutes; AWS's least is 10."""


class AccessStack(cdk.Stack):
    """The load balancer, its rules and its firewall."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        given: Environment,
        network: NetworkStack,
        services: ServicesStack,
        access_logs: s3.IBucket,
        **options: object,
    ) -> None:
        super().__init__(scope, name, **options)
        self._given, self._network = given, network
        balancer = elb.ApplicationLoadBalancer(
            self,
            "balancer",
            load_balancer_name=given.prefix,
            vpc=network.vpc,
            internet_facing=True,
            security_group=network.groups["load-balancer"],
            drop_invalid_header_fields=True,
            deletion_protection=True,
            idle_timeout=cdk.Duration.seconds(120),
        )
        balancer.log_access_logs(access_logs, "load-balancer")
        listener = balancer.add_listener(
            "https",
            port=443,
            open=False,
            ssl_policy=elb.SslPolicy.TLS13_RES,
            certificates=[acm.Certificate.from_certificate_arn(self, "certificate", given.access.certificate_arn)],
            default_action=elb.ListenerAction.fixed_response(404),
        )
        for priority, who in ((10, "viewer"), (20, "editor")):
            listener.add_action(
                who,
                priority=priority,
                conditions=[elb.ListenerCondition.host_headers([self._host(who)])],
                action=self._signed_in(who, self._group(who, services, 3000, "/server_info")),
            )
        if given.code:
            webhook = self._group("code-server", services, 4001, "/")
            listener.add_action(
                "webhook",
                priority=1,
                action=elb.ListenerAction.forward([webhook]),
                conditions=[
                    elb.ListenerCondition.host_headers([given.access.editor_host]),
                    elb.ListenerCondition.path_patterns([WEBHOOK]),
                    elb.ListenerCondition.http_request_methods(["POST"]),
                ],
            )
        firewall = self._firewall()
        waf.CfnWebACLAssociation(
            self, "firewall-on-balancer", resource_arn=balancer.load_balancer_arn, web_acl_arn=firewall.attr_arn
        )
        cdk.CfnOutput(
            self, "address", value=balancer.load_balancer_dns_name, description="Point both hosts (CNAME) here"
        )

    def _host(self, who: str) -> str:
        access = self._given.access
        return access.viewer_host if who == "viewer" else access.editor_host

    def _signed_in(self, who: str, group: elb.IApplicationTargetGroup) -> elb.ListenerAction:
        sign_in = self._given.access.sign_in
        client = sign_in.viewer_client_id if who == "viewer" else sign_in.editor_client_id
        return elb.ListenerAction.authenticate_oidc(
            issuer=sign_in.issuer,
            authorization_endpoint=sign_in.authorization_endpoint,
            token_endpoint=sign_in.token_endpoint,
            user_info_endpoint=sign_in.user_info_endpoint,
            client_id=client,
            client_secret=cdk.SecretValue.secrets_manager(f"{self._given.prefix}/sign-in-{who}"),
            scope="openid email",
            session_cookie_name=f"{self._given.prefix}-{who}",
            session_timeout=cdk.Duration.hours(sign_in.session_hours),
            on_unauthenticated_request=elb.UnauthenticatedAction.AUTHENTICATE,
            next=elb.ListenerAction.forward([group]),
        )

    def _group(self, service: str, services: ServicesStack, port: int, health: str) -> elb.ApplicationTargetGroup:
        container = {"viewer": "webserver", "editor": "webserver"}.get(service, service)
        return elb.ApplicationTargetGroup(
            self,
            f"{service}-targets",
            vpc=self._network.vpc,
            port=port,
            protocol=elb.ApplicationProtocol.HTTP,
            target_type=elb.TargetType.IP,
            deregistration_delay=cdk.Duration.seconds(20),
            health_check=elb.HealthCheck(path=health, interval=cdk.Duration.seconds(30)),
            targets=[services.services[service].load_balancer_target(container_name=container, container_port=port)],
        )

    def _firewall(self) -> waf.CfnWebACL:
        def visible(metric: str) -> waf.CfnWebACL.VisibilityConfigProperty:
            return waf.CfnWebACL.VisibilityConfigProperty(
                cloud_watch_metrics_enabled=True, sampled_requests_enabled=True, metric_name=metric
            )

        on_webhook = waf.CfnWebACL.StatementProperty(
            byte_match_statement=waf.CfnWebACL.ByteMatchStatementProperty(
                field_to_match=waf.CfnWebACL.FieldToMatchProperty(uri_path={}),
                positional_constraint="EXACTLY",
                search_string=WEBHOOK,
                text_transformations=[waf.CfnWebACL.TextTransformationProperty(priority=0, type="NONE")],
            )
        )
        return waf.CfnWebACL(
            self,
            "firewall",
            name=self._given.prefix,
            scope="REGIONAL",
            visibility_config=visible("all"),
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            rules=[
                waf.CfnWebACL.RuleProperty(
                    name="webhook-rate",
                    priority=1,
                    action=waf.CfnWebACL.RuleActionProperty(block={}),
                    visibility_config=visible("webhook-rate"),
                    statement=waf.CfnWebACL.StatementProperty(
                        rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                            aggregate_key_type="IP", limit=RATE, scope_down_statement=on_webhook
                        )
                    ),
                )
            ],
        )
