"""A task's life on the local ECS, against what AWS documents of Fargate's: exit codes, memory, StopTask, Spot."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from data_platform.local_cloud.ecs.faults import Fault
from data_platform_tests.end_to_end.platform import patience
from data_platform_tests.local_cloud.ecs.conftest import CLUSTER, Server, gone_within, until_status

pytestmark = pytest.mark.server

SLEEP = "import time; print('up', flush=True); time.sleep(300)"
SIDE = "open('side-is-up', 'w').close(); "
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
POLITE = """
import os, signal, sys, time
def end(*_):
    print("ending", flush=True)
    while not os.path.exists("may-end"):
        time.sleep(0.02)
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(300)
"""


def may_end(server: Server) -> None:
    """Lets a polite task end that was asked to."""
    (server.layout.root / "may-end").touch()


@pytest.fixture(autouse=True)
def nobody_may_end_yet(server: Server) -> None:
    (server.layout.root / "may-end").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_a_task_ends_with_the_exit_code_of_its_essential_container(server: Server, code: str, exit_code: int) -> None:
    task = server.stopped(server.run(code))
    assert task["containers"][0]["exitCode"] == exit_code
    assert "reason" not in task["containers"][0]
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert task["createdAt"] <= task["startedAt"] <= task["stoppingAt"] <= task["stoppedAt"]


def test_a_task_passes_through_the_states_of_fargate(server: Server) -> None:
    answer = server.client("ecs").run_task(**server.request(SLEEP))["tasks"][0]
    assert answer["desiredStatus"] == "RUNNING"
    assert answer["lastStatus"] == "PROVISIONING"
    assert answer["launchType"] == "FARGATE"
    assert "containerInstanceArn" not in answer
    running = server.until(answer["taskArn"], "RUNNING")
    assert running["version"] > answer["version"]
    server.client("ecs").stop_task(cluster="tests", task=answer["taskArn"])
    server.stopped(answer["taskArn"])


def test_stop_task_answers_at_once_and_the_task_ends_with_its_own_code(server: Server) -> None:
    arn = server.run(POLITE)
    server.said(arn, "up")
    answer = server.client("ecs").stop_task(cluster="tests", task=arn, reason="enough")["task"]
    assert answer["desiredStatus"] == "STOPPED"
    assert answer["lastStatus"] != "STOPPED", "its process is still ending"
    assert "exitCode" not in answer["containers"][0]
    may_end(server)
    task = server.stopped(arn)
    assert task["containers"][0]["exitCode"] == 7
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert server.lines(arn)[-1] == "ending"


def test_what_does_not_mind_sigterm_ends_with_143(server: Server) -> None:
    arn = server.run(SLEEP)
    server.said(arn, "up")
    server.client("ecs").stop_task(cluster="tests", task=arn)
    assert server.stopped(arn)["containers"][0]["exitCode"] == 143


def test_what_ignores_sigterm_is_killed_after_its_stop_timeout(server: Server) -> None:
    server.define("deaf", stopTimeout=3)
    arn = server.run(DEAF, "deaf")
    server.said(arn, "up")
    ecs = server.client("ecs")
    ecs.stop_task(cluster=CLUSTER, task=arn)
    until_status(ecs, CLUSTER, arn, "STOPPING")
    task = server.stopped(arn)
    assert task["containers"][0]["exitCode"] == 137
    assert "reason" not in task["containers"][0]
    assert 2.9 < (task["stoppedAt"] - task["stoppingAt"]).total_seconds() < 30, "its own, not the default"


def test_over_its_memory_a_container_is_killed_and_says_so(server: Server) -> None:
    arn = server.run("kept = bytearray(700 * 2**20); import time; time.sleep(60)")
    task = server.stopped(arn)
    container = task["containers"][0]
    assert container["exitCode"] == 137
    assert container["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )


def test_the_memory_of_children_counts_and_what_they_share_counts_once(server: Server) -> None:
    shared = """
import os, time
kept = bytearray(os.urandom(1)) * (300 * 2**20)
for _ in range(3):
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
for _ in range(3):
    os.wait()
"""
    own = "import subprocess, sys; c = 'kept = bytearray(300 * 2**20); import time; time.sleep(60)'\n" + (
        "children = [subprocess.Popen([sys.executable, '-c', c]) for _ in range(2)]\nchildren[0].wait()"
    )
    sharing, owning = server.run(shared), server.run(own)
    assert server.stopped(sharing)["containers"][0]["exitCode"] == 0
    assert server.stopped(owning)["containers"][0]["exitCode"] == 137


def test_the_overrides_of_a_run_set_its_size_and_are_shown(server: Server) -> None:
    overrides = {"cpu": "1024", "memory": "3072", "ephemeralStorage": {"sizeInGiB": 50}}
    container = {"cpu": 1024, "memory": 3072}
    answer = server.client("ecs").run_task(
        **server.request("kept = bytearray(700 * 2**20)", overrides=overrides, container=container)
    )["tasks"][0]
    task = server.stopped(answer["taskArn"])
    for shown in (answer, task):
        assert (shown["cpu"], shown["memory"]) == ("1024", "3072")
        assert shown["ephemeralStorage"] == {"sizeInGiB": 50}
        assert (shown["containers"][0]["cpu"], shown["containers"][0]["memory"]) == ("1024", "3072")
    assert task["containers"][0]["exitCode"] == 0


def test_a_containers_own_limit_is_below_its_tasks(server: Server) -> None:
    server.define("limited", memory=256, task={"memory": "2048"})
    task = server.stopped(server.run("kept = bytearray(400 * 2**20); import time; time.sleep(60)", "limited"))
    assert task["containers"][0]["exitCode"] == 137


def test_when_the_essential_container_exits_the_others_are_stopped(server: Server) -> None:
    server.define("sidecar")
    definition = server.client("ecs").describe_task_definition(taskDefinition="sidecar")["taskDefinition"]
    main = definition["containerDefinitions"][0]
    side = {**main, "name": "side", "essential": False, "command": ["-c", SIDE + SLEEP], "stopTimeout": 30}
    server.define("sidecar", task={"containerDefinitions": [main, side]})
    wait = "import os, time\nwhile not os.path.exists('side-is-up'): time.sleep(0.02)"
    task = server.stopped(server.run(wait, "sidecar"))
    codes = {container["name"]: container["exitCode"] for container in task["containers"]}
    assert codes == {"run": 0, "side": 143}


def test_a_spot_task_is_interrupted_by_sigterm(server: Server) -> None:
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    request = server.request(POLITE, capacityProviderStrategy=strategy)
    del request["launchType"]
    arn = server.client("ecs").run_task(**request)["tasks"][0]["taskArn"]
    on_demand = server.run(SLEEP)
    server.said(arn, "up")
    server.said(on_demand, "up")
    assert server.task(arn)["capacityProviderName"] == "FARGATE_SPOT"
    server.until(on_demand, "RUNNING")
    may_end(server)
    server.faults.add(Fault("spot_interruption", times=None))
    task = server.stopped(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")
    assert task["containers"][0]["exitCode"] == 7
    assert server.task(on_demand)["lastStatus"] == "RUNNING", "only Spot is interrupted"
    server.client("ecs").stop_task(cluster="tests", task=on_demand)
    server.stopped(on_demand)


def test_nothing_that_a_container_started_outlives_it(server: Server, tmp_path: Path) -> None:
    code = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
"""
    assert server.stopped(server.run(code))["containers"][0]["exitCode"] == 0
    assert gone_within([int((tmp_path / "pid").read_text())], 60)


def test_a_task_has_an_environment_of_its_own(server: Server) -> None:
    secret = server.client("secretsmanager").create_secret(Name="tests/secret", SecretString="whispered")["ARN"]
    fields = server.client("secretsmanager").create_secret(Name="tests/json", SecretString='{"a": "field"}')["ARN"]
    server.client("ssm").put_parameter(Name="/tests/parameter", Value="from ssm", Type="SecureString")
    server.define(
        "hermetic",
        environment=[{"name": "PLAIN", "value": "from the definition"}],
        secrets=[
            {"name": "SECRET", "valueFrom": secret},
            {"name": "FIELD", "valueFrom": f"{fields}:a::"},
            {"name": "PARAMETER", "valueFrom": "/tests/parameter"},
        ],
    )
    code = "import json, os; print(json.dumps([dict(os.environ), os.getcwd(), sorted(os.listdir(os.environ['HOME']))]))"
    override = [{"name": "OVERRIDDEN", "value": "by the run"}]
    arn = server.run(code, "hermetic", container={"environment": override})
    described = server.stopped(arn)
    environment, folder, home = json.loads(server.lines(arn, "hermetic")[0])
    given = {name: environment.pop(name) for name in ("PLAIN", "SECRET", "FIELD", "PARAMETER", "OVERRIDDEN")}
    assert list(given.values()) == ["from the definition", "whispered", "field", "from ssm", "by the run"]
    state = server.layout.root
    assert Path(environment["HOME"]).is_relative_to(state) and Path(environment["TMPDIR"]).is_relative_to(state)
    assert not Path(environment["HOME"]).exists(), "it goes with the task"
    assert (folder, home) == (str(state), ["tmp"])
    assert environment["FROM_IMAGE"] == "image"
    assert environment["AWS_ENDPOINT_URL"] == server.endpoint
    assert environment.keys() <= {
        *("PATH", "HOME", "TMPDIR", "LANG", "TZ", "LC_CTYPE", "FROM_IMAGE", "AWS_ENDPOINT_URL"),
        *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "ECS_CONTAINER_METADATA_URI_V4"),
        *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    }
    definition = server.client("ecs").describe_task_definition(taskDefinition="hermetic")
    kept = "".join(path.read_text() for path in (server.layout.data("aws") / "ecs" / "tasks").glob("*.json"))
    for shown in (str(described), str(definition), kept):
        assert "whispered" not in shown


def test_a_task_signs_with_its_role_and_knows_itself(server: Server) -> None:
    code = """
import json, os, sys, urllib.request
import boto3
print(boto3.client("sts").get_caller_identity()["Account"])
boto3.client("s3").create_bucket(Bucket="made-by-a-task")
print(json.load(urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task"))["TaskARN"])
"""
    arn = server.run(code)
    assert server.stopped(arn)["containers"][0]["exitCode"] == 0, server.lines(arn)
    assert server.lines(arn) == ["000000000000", arn]


def test_output_goes_to_cloudwatch_line_by_line_and_to_a_file(server: Server) -> None:
    code = "import sys\nfor n in range(500): print('line', n)\nprint('wrong', file=sys.stderr)\nprint('end', end='')"
    arn = server.run(code)
    server.stopped(arn)
    stream = f"tests/run/{arn.rsplit('/', 1)[-1]}"
    paged = server.client("logs").get_log_events(
        logGroupName="/tests/tasks", logStreamName=stream, limit=1000, startFromHead=True
    )["events"]
    lines = [event["message"] for event in paged]
    assert sorted(lines) == sorted([*(f"line {number}" for number in range(500)), "wrong", "end"])
    kept = server.layout.root / "logs" / "tasks" / f"{arn.rsplit('/', 1)[-1]}-run.log"
    assert kept.read_text().splitlines() == lines


def test_its_interface_shows_a_tasks_security_groups(server: Server) -> None:
    group = server.client("ec2").create_security_group(GroupName="of-runs", Description="of runs")["GroupId"]
    network = {"awsvpcConfiguration": {"subnets": ["subnet-00000002"], "securityGroups": [group, "sg-00000001"]}}
    arn = server.run(SLEEP, networkConfiguration=network)
    (attachment,) = server.task(arn)["attachments"]
    details = {detail["name"]: detail["value"] for detail in attachment["details"]}
    interfaces = server.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])
    (interface,) = interfaces["NetworkInterfaces"]
    assert [shown["GroupId"] for shown in interface["Groups"]] == [group, "sg-00000001"]
    assert interface["SubnetId"] == details["subnetId"] == "subnet-00000002"
    server.client("ecs").stop_task(cluster="tests", task=arn)
    server.stopped(arn)
    left = server.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert details["networkInterfaceId"] not in [interface["NetworkInterfaceId"] for interface in left]


def test_twenty_tasks_run_side_by_side(server: Server) -> None:
    began = time.monotonic()
    arns = [server.run(SLEEP) for _ in range(20)]
    asked = time.monotonic() - began
    for arn in arns:
        server.said(arn, "up")
    before, looked = sum(server.process.cpu_times()[:2]), time.monotonic()
    time.sleep(1)
    watching = (sum(server.process.cpu_times()[:2]) - before) / (time.monotonic() - looked)
    running = server.client("ecs").list_tasks(cluster="tests", desiredStatus="RUNNING")["taskArns"]
    assert set(arns) <= set(running)
    print(f"of a core: {watching:.2f}")
    assert watching < 0.5, "looking after twenty tasks takes a fraction of a core"
    for arn in arns:
        server.client("ecs").stop_task(cluster="tests", task=arn)
    for arn in arns:
        server.stopped(arn)
    assert asked < patience(5), (
        "RunTask answers in milliseconds; what takes time here is the starts of Python side by side"
    )
