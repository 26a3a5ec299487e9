"""Observability: alarms and the budget, which write to one topic, and a dashboard. They watch what AWS sees (services,
tasks, database, bill), what the daemon logs, and what the platform measures and prints. Dagster's own alerts watch
deliveries and runs (docs/operate.md)."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from data_platform.automation.metric_lines import CREDITS, INBOUND_AGE, MARK, QUEUE_AGE
from deploy.environment import Environment

SAID = {
    "sensors": ("caught an error for sensor", "A sensor fails, so files or runs wait. Look at its ticks in the UI."),
    "schedules": ("caught an error for schedule", "A schedule fails. Look at its ticks in the UI."),
    "starts": ("seconds to start", "A run didn't start in time. Its error in the UI says why."),
}
"""What the daemon logs when something fails, and what to do. Dagster's own words."""
MEASURED = {  # name of the metric: who prints it, its alarm, the limit, and what to do
    QUEUE_AGE: (
        "code-server",
        "queue-age",
        1800,
        "A run has been in the queue for half an hour: raise `services.max_runs`.",
    ),
    INBOUND_AGE: (
        "code-server",
        "inbound-age",
        7200,
        "A partner's file has waited for two hours. Look at the runs of the landing sensor.",
    ),
    CREDITS: ("runs", "snowflake-credits", 80, "Snowflake has used 80 percent of the month's credits."),
}
"""What the platform measures itself and prints (`data_platform/automation/metric_lines.py`)."""
SERVICES = ("viewer", "editor", "daemon", "code-server")
GIB = 2**30


class ObservabilityStack(cdk.Stack):
    """`topic`: where alarms go, by email to the environment's owner."""

    def __init__(self, scope: Construct, name: str, given: Environment, key: kms.IKey, **options: object) -> None:
        super().__init__(scope, name, **options)
        self._given = given
        self.topic = sns.Topic(self, "alarms", topic_name=f"{given.prefix}-alarms", master_key=key, enforce_ssl=True)
        self.topic.add_subscription(subscriptions.EmailSubscription(given.owner_email))
        running = {each: self._running(each) for each in SERVICES}
        for each, metric in running.items():
            self._alarm(
                f"{each}-down",
                metric,
                below=1,
                minutes=10,
                why=f"The service {given.prefix}-{each} has no running task. Look at its events and its log group.",
            )
        free, cpu, connections = (
            self._database(m) for m in ("FreeStorageSpace", "CPUUtilization", "DatabaseConnections")
        )
        self._alarm("database-storage", free, below=4 * GIB, minutes=15, why="Less than 4 GiB are free in PostgreSQL.")
        self._alarm(
            "database-cpu", cpu, above=90, minutes=30, why="PostgreSQL is busy: set a larger `database.instance`."
        )
        self._alarm(
            "database-connections",
            connections,
            above=170,
            minutes=10,
            why="PostgreSQL allows 200 connections: lower `services.max_runs` or raise the limit.",
        )
        for name, (said, why) in SAID.items():
            self._alarm(name, self._logged(name, said), above=0, minutes=5, why=why, silence_is_good=True)
        measured = {name: self._measured(name, log) for name, (log, *_) in MEASURED.items()}
        for name, (_, alarm, limit, why) in MEASURED.items():
            self._alarm(alarm, measured[name], above=limit, minutes=15, why=why, silence_is_good=True)
        self._stopped_tasks()
        cloudwatch.Dashboard(
            self,
            "dashboard",
            dashboard_name=given.prefix,
            widgets=[
                [cloudwatch.GraphWidget(title="Running tasks", left=list(running.values()), width=12)],
                [cloudwatch.GraphWidget(title="PostgreSQL", left=[free], right=[cpu, connections], width=12)],
                [cloudwatch.GraphWidget(title=name, left=[metric], width=8) for name, metric in measured.items()],
            ],
        )
        self._budget()

    def _running(self, service: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="ECS/ContainerInsights",
            metric_name="RunningTaskCount",
            statistic="Minimum",
            period=cdk.Duration.minutes(5),
            label=service,
            dimensions_map={"ClusterName": self._given.prefix, "ServiceName": f"{self._given.prefix}-{service}"},
        )

    def _database(self, metric: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/RDS",
            metric_name=metric,
            statistic="Average",
            period=cdk.Duration.minutes(5),
            dimensions_map={"DBInstanceIdentifier": self._given.prefix},
        )

    def _logged(self, name: str, said: str) -> cloudwatch.Metric:
        """How often the daemon logs it."""
        found = logs.MetricFilter(
            self,
            f"{name}-logged",
            log_group=logs.LogGroup.from_log_group_name(self, f"{name}-log", self._given.log_group("daemon")),
            filter_pattern=logs.FilterPattern.literal(f'"{said}"'),
            metric_namespace=self._given.prefix,
            metric_name=name,
            filter_name=f"{self._given.prefix}-{name}",
        )
        return found.metric(statistic="Sum", period=cdk.Duration.minutes(5))

    def _measured(self, name: str, log: str) -> cloudwatch.Metric:
        """A metric that the platform prints as the last words of a line."""
        found = logs.MetricFilter(
            self,
            f"{name}-printed",
            log_group=logs.LogGroup.from_log_group_name(self, f"{name}-log", self._given.log_group(log)),
            filter_pattern=logs.FilterPattern.literal(f'[..., mark="{MARK}", name="{name}", value]'),
            metric_namespace=self._given.prefix,
            metric_name=name,
            metric_value="$value",
            filter_name=f"{self._given.prefix}-{name}",
        )
        return found.metric(statistic="Maximum", period=cdk.Duration.minutes(5))

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.Metric,
        *,
        minutes: int,
        why: str,
        below: float | None = None,
        above: float = 0,
        silence_is_good: bool = False,
    ) -> None:
        compare, silence = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._given.prefix}-{name}",
            alarm_description=why,
            metric=metric,
            threshold=above if below is None else below,
            evaluation_periods=minutes // 5,
            comparison_operator=compare.GREATER_THAN_THRESHOLD if below is None else compare.LESS_THAN_THRESHOLD,
            treat_missing_data=silence.NOT_BREACHING if silence_is_good else silence.BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))

    def _stopped_tasks(self) -> None:
        """A task that never started: its image, secrets, subnets or roles are wrong. The message has ECS's reason."""
        rule = events.Rule(
            self,
            "tasks-that-did-not-start",
            rule_name=f"{self._given.prefix}-tasks-that-did-not-start",
            event_pattern=events.EventPattern(
                source=["aws.ecs"],
                detail_type=["ECS Task State Change"],
                detail={
                    "clusterArn": [self._given.cluster_arn],
                    "lastStatus": ["STOPPED"],
                    "stopCode": ["TaskFailedToStart", "EssentialContainerExited"],
                },
            ),
        )
        rule.add_target(
            targets.SnsTopic(
                self.topic,
                message=events.RuleTargetInput.from_text(
                    f"{self._given.prefix}: {events.EventField.from_path('$.detail.taskArn')} of"
                    f" {events.EventField.from_path('$.detail.group')} stopped"
                    f" ({events.EventField.from_path('$.detail.stopCode')}):"
                    f" {events.EventField.from_path('$.detail.stoppedReason')}"
                ),
            )
        )

    def _budget(self) -> None:
        at = [("ACTUAL", 80), ("FORECASTED", 100)]
        budgets.CfnBudget(
            self,
            "budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=self._given.prefix,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=self._given.monthly_budget_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:data-platform:environment${self._given.name}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        threshold=percent,
                        comparison_operator="GREATER_THAN",
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=self._given.owner_email)
                    ],
                )
                for kind, percent in at
            ],
        )
