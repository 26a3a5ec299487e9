from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import obstore
import pytest

from data_platform.environment import LOCAL_DEFAULTS, Settings, SettingsError
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey
from data_platform.lake.store import open_bucket
from data_platform_tests.lake.rows import SCHEMA, batch


def test_in_local_nothing_is_opened_until_the_local_cloud_is_up() -> None:
    with pytest.raises(SettingsError, match="data-platform up"):
        open_bucket(Settings.from_environment(LOCAL_DEFAULTS), "data-platform-lake")


def test_an_endpoint_means_path_style_and_plain_http_only_where_it_says_http() -> None:
    variables = {**LOCAL_DEFAULTS, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "SFTP_HOST": "127.0.0.1"}
    variables |= {"SNOWFLAKE_HOST": "127.0.0.1", "DAGSTER_POSTGRES_URL": "postgresql://a@127.0.0.1/b"}
    for endpoint, plain in (("http://127.0.0.1:9", "true"), ("https://127.0.0.1:9", "false")):
        settings = Settings.from_environment({**variables, "AWS_ENDPOINT_URL": endpoint})
        store = open_bucket(settings, "a-bucket")
        assert store.config["endpoint"] == endpoint
        assert str(store.config["virtual_hosted_style_request"]).lower() == "false"
        assert store.client_options is not None
        assert str(store.client_options["allow_http"]).lower() == plain


def test_a_request_that_gets_no_answer_has_time_to_be_sent_again_while_its_signature_is_good() -> None:
    variables = {**LOCAL_DEFAULTS, "DATA_PLATFORM_ENVIRONMENT": "dev", "AWS_ACCESS_KEY_ID": "k"}
    variables |= {"SNOWFLAKE_STORAGE_INTEGRATION": "LAKE"}
    store = open_bucket(Settings.from_environment({**variables, "AWS_SECRET_ACCESS_KEY": "s"}), "a-bucket")
    assert store.client_options is not None and store.retry_config is not None
    one, tried = timedelta(seconds=int(str(store.client_options["timeout"])[:-1])), store.retry_config["retry_timeout"]
    assert one < tried, "obstore starts no try later than that"
    assert one + tried < timedelta(minutes=5)


class TaskRole(BaseHTTPRequestHandler):
    """Answers as the endpoint that ECS gives a task its role's keys by."""

    def do_GET(self) -> None:
        body = {"AccessKeyId": "ASIATASK", "SecretAccessKey": "secret", "Token": "token"}
        body |= {"Expiration": "2099-01-01T00:00:00Z"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def task_role(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), TaskRole)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/role")
    yield
    server.shutdown()
    server.server_close()


def test_without_keys_the_task_role_signs(task_role: None) -> None:
    variables = {**LOCAL_DEFAULTS, "DATA_PLATFORM_ENVIRONMENT": "prod", "SNOWFLAKE_STORAGE_INTEGRATION": "a"}
    provider = open_bucket(Settings.from_environment(variables), "a-bucket").credential_provider
    assert provider is not None
    keys = provider()
    assert isinstance(keys, Mapping)
    assert (keys["access_key_id"], keys["token"]) == ("ASIATASK", "token")


@pytest.mark.server
def test_on_s3_the_first_manifest_wins_and_the_other_try_leaves_nothing(
    local_cloud: Mapping[str, str],
) -> None:
    settings = Settings.from_environment(local_cloud)
    lake = Lake(open_bucket(settings, settings.lake_bucket), part_bytes=1)
    key = ExtractKey("harbor_water", "twins", "e1")
    with (
        lake.extract(key, SCHEMA, contract_hash="h") as slow,
        lake.extract(key, SCHEMA, contract_hash="h") as fast,
    ):
        slow.write(batch(1, 2))
        fast.write(batch(1, 2))
        winner = fast.commit()
        assert slow.commit() == winner
    found = {str(item["path"]) for page in obstore.list(lake.store, key.prefix) for item in page}
    assert found == {key.manifest_path, *(file.path for file in winner.files)}
    assert lake.read_rows(winner)["meter_id"].to_pylist() == ["meter 1", "meter 2"]
