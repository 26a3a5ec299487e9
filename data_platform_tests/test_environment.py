"""Settings: complete, checked, and in `local` unable to reach anything but this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from data_platform.environment import Settings, SettingsError, layers
from data_platform.environment.base import Endpoint, Group, prefix
from data_platform.environment.connections import AIRTABLE, DATABASE, System
from data_platform.environment.groups import declared

PRODUCTION = {
    "DATA_PLATFORM_ENVIRONMENT": "prod",
    "DATA_PLATFORM_LAKE_BUCKET": "team-lake",
    "DATA_PLATFORM_LANDING_BUCKET": "team-landing",
    "SNOWFLAKE_ACCOUNT": "myorg-team",
    "SNOWFLAKE_USER": "LOADER",
    "SNOWFLAKE_ROLE": "LOADER",
    "SNOWFLAKE_WAREHOUSE": "LOADING",
    "SNOWFLAKE_DATABASE": "DATA_PLATFORM",
    "SNOWFLAKE_STORAGE_INTEGRATION": "DATA_PLATFORM_LAKE",
    "DATA_PLATFORM_TIME_ZONE": "Europe/Paris",
}
CONNECTION = "DATA_PLATFORM_CONNECTION_CITY_RECORDS"
PEM = "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----\n"
LOCAL_ENDPOINTS = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
    "SNOWFLAKE_HOST": "127.0.0.1",
    "SFTP_HOST": "localhost",
    "DAGSTER_POSTGRES_URL": "postgresql://dagster:secret@127.0.0.1:5433/dagster",
}
OPTIONAL_ENDPOINTS = {
    "DATA_PLATFORM_CODE_URL": "file:///srv/git/data-platform.git",
    "DATA_PLATFORM_DBT_URL": "http://127.0.0.1:8080/dbt.git",
}
ENDPOINT_VARIABLES = [
    variable
    for variable, field in declared(Settings).items()
    if any(isinstance(mark, Endpoint) for mark in field.metadata)
]


class CrmSettings(Group, alias_generator=prefix("CRM_")):
    url: Annotated[str, Endpoint()] = Field(description="an http(s) URL", examples=["https://crm.example.org"])
    token: SecretStr | None = Field(None, description="an API token")


class WithCrm(Settings):
    crm: CrmSettings


def test_local_needs_no_variable_to_load_definitions() -> None:
    assert Settings.from_environment({}).environment == "local"


def test_every_endpoint_is_known_to_these_tests() -> None:
    assert set(ENDPOINT_VARIABLES) == {*LOCAL_ENDPOINTS, *OPTIONAL_ENDPOINTS}


@pytest.mark.parametrize("variable", ENDPOINT_VARIABLES)
@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "10.0.0.5",
        "169.254.169.254",
        "0.0.0.0",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "[2001:db8::1]",
    ],
)
def test_local_refuses_an_endpoint_that_is_not_loopback(variable: str, host: str) -> None:
    known = {**LOCAL_ENDPOINTS, **OPTIONAL_ENDPOINTS}[variable].replace("file:///", "https://localhost/")
    value = known.replace("127.0.0.1", host).replace("localhost", host)
    if value == known:
        value = host
    with pytest.raises(SettingsError, match=f"{variable} is not a loopback address"):
        Settings.from_environment({**LOCAL_ENDPOINTS, variable: value})


@pytest.mark.parametrize("variable", LOCAL_ENDPOINTS)
def test_local_refuses_to_connect_while_an_endpoint_is_unknown(variable: str) -> None:
    known = {name: value for name, value in LOCAL_ENDPOINTS.items() if name != variable}
    with pytest.raises(SettingsError, match=rf"(?s){variable}.*data-platform up"):
        Settings.from_environment(known).require_endpoints()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://127.0.0.1/dagster?host=db.example.org",
        "postgresql://127.0.0.1,db.example.org/dagster",
        "postgresql:///dagster",
        "http://127.0.0.1@example.org/",
        "http://example.org#@127.0.0.1/",
    ],
)
def test_local_sees_through_endpoints_that_only_look_like_loopback(url: str) -> None:
    variable = "DAGSTER_POSTGRES_URL" if url.startswith("postgres") else "AWS_ENDPOINT_URL"
    with pytest.raises(SettingsError, match="loopback"):
        Settings.from_environment({variable: url})


@pytest.mark.parametrize(
    "value", ["postgresql://localhost/dagster", "postgresql://[::1]:5432/x", "postgresql:///x?host=/run/pg"]
)
def test_local_accepts_loopback_endpoints(value: str) -> None:
    loaded = Settings.from_environment({**LOCAL_ENDPOINTS, "DAGSTER_POSTGRES_URL": value})
    assert loaded.require_endpoints() is loaded


def test_production_needs_no_endpoints() -> None:
    loaded = Settings.from_environment(PRODUCTION)
    assert loaded.require_endpoints().aws.endpoint_url is None


@pytest.mark.parametrize("variable", [name for name in PRODUCTION if name != "DATA_PLATFORM_ENVIRONMENT"])
def test_a_missing_value_is_named_with_what_was_expected(variable: str) -> None:
    incomplete = {name: value for name, value in PRODUCTION.items() if name != variable}
    with pytest.raises(SettingsError, match=rf"{variable}.*expected .*for example"):
        Settings.from_environment(incomplete)


def test_one_error_names_all_wrong_values() -> None:
    wrong = {**PRODUCTION, "DATA_PLATFORM_TIME_ZONE": "Mars/Phobos", "SNOWFLAKE_PORT": "99999"}
    with pytest.raises(SettingsError) as error:
        Settings.from_environment(wrong)
    assert "Mars/Phobos" in str(error.value)
    assert "SNOWFLAKE_PORT" in str(error.value)


def test_dbt_and_the_reader_sign_in_with_their_own_role_and_key() -> None:
    given = {f"SNOWFLAKE_{user}PRIVATE_KEY_PATH": f"/run/{user}key.p8" for user in ("", "DBT_", "READER_")}
    loaded = Settings.from_environment({**PRODUCTION, **given})
    for settings, role, key in (
        (loaded, "LOADER", "/run/key.p8"),
        (loaded.as_dbt(), "DATA_PLATFORM_TRANSFORMER", "/run/DBT_key.p8"),
        (loaded.as_reader(), "DATA_PLATFORM_READER", "/run/READER_key.p8"),
    ):
        assert (settings.snowflake.role, str(settings.snowflake.private_key_path)) == (role, key)
        assert settings.snowflake.account == "myorg-team"


def test_production_signs_in_by_one_key_pair_and_over_tls() -> None:
    both = {"SNOWFLAKE_PRIVATE_KEY": PEM, "SNOWFLAKE_PRIVATE_KEY_PATH": "/run/secrets/key.p8"}
    with pytest.raises(SettingsError, match="at most one"):
        Settings.from_environment({**PRODUCTION, **both})
    of_dbt = {name.replace("SNOWFLAKE_", "SNOWFLAKE_DBT_"): value for name, value in both.items()}
    with pytest.raises(
        SettingsError, match="SNOWFLAKE_DBT_PRIVATE_KEY and SNOWFLAKE_DBT_PRIVATE_KEY_PATH are both set"
    ):
        Settings.from_environment({**PRODUCTION, **of_dbt})
    with pytest.raises(SettingsError, match="https"):
        Settings.from_environment({**PRODUCTION, "SNOWFLAKE_PROTOCOL": "http"})


def test_a_container_that_never_signs_in_to_snowflake_needs_no_key() -> None:
    from data_platform.warehouse.connection import connect

    loaded = Settings.from_environment(PRODUCTION)
    with pytest.raises(SettingsError, match="SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PRIVATE_KEY_PATH is missing"):
        connect(loaded)


@pytest.mark.parametrize("key", ["cGxhbnRlZA==", PEM.replace("\n", " "), PEM.replace("PRIVATE", "RSA PRIVATE")])
def test_a_key_is_pem_as_dbt_takes_nothing_else(key: str) -> None:
    Settings.from_environment({**PRODUCTION, "SNOWFLAKE_PRIVATE_KEY": PEM})
    with pytest.raises(SettingsError, match=r"SNOWFLAKE_PRIVATE_KEY is wrong .*BEGIN PRIVATE KEY") as error:
        Settings.from_environment({**PRODUCTION, "SNOWFLAKE_PRIVATE_KEY": key})
    assert "planted" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_DBT_PRIVATE_KEY", CONNECTION, "DAGSTER_POSTGRES_SECRET"]
)
@pytest.mark.parametrize("context", ['{{"env_vars": [{0}]}}', '{{"ecs": {{"env_vars": ["A=1", {0}]}}}}'])
def test_a_secret_among_the_plain_variables_of_runs_is_refused(name: str, context: str) -> None:
    given = {**PRODUCTION, "DAGSTER_CONTAINER_CONTEXT": context.format(f'"{name}=planted"')}
    with pytest.raises(SettingsError, match=f"has the secret {name} among `env_vars`") as error:
        Settings.from_environment(given)
    assert "planted" not in str(error.value)
    harmless = context.format('"AWS_REGION=us-east-1"')
    Settings.from_environment({**PRODUCTION, "DAGSTER_CONTAINER_CONTEXT": harmless})


def test_a_container_context_is_json() -> None:
    with pytest.raises(SettingsError, match="DAGSTER_CONTAINER_CONTEXT is wrong"):
        Settings.from_environment({**PRODUCTION, "DAGSTER_CONTAINER_CONTEXT": "env_vars=1"})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.from_environment({}).aws.region = "x"  # type: ignore[misc]


def test_secrets_do_not_show() -> None:
    loaded = Settings.from_environment({**LOCAL_ENDPOINTS, "AWS_SECRET_ACCESS_KEY": "planted-secret"})
    assert "planted-secret" not in repr(loaded)
    assert "secret@" not in repr(loaded)


@given(st.dictionaries(st.sampled_from([*PRODUCTION, *LOCAL_ENDPOINTS]), st.text(max_size=40)))
def test_any_environment_is_read_or_its_errors_say_what_is_expected(env: dict[str, str]) -> None:
    try:
        Settings.from_environment(env)
    except SettingsError as error:
        assert "expected" in str(error) or "Expected" in str(error)


def test_a_child_process_sees_the_same_settings() -> None:
    loaded = Settings.from_environment({**LOCAL_ENDPOINTS, "AWS_SECRET_ACCESS_KEY": "s3cret"})
    child = Settings.from_environment(loaded.process_environment())
    assert child.process_environment() == loaded.process_environment()
    assert child.aws == loaded.aws


def test_names_are_separated_by_commas_here_and_in_child_processes() -> None:
    loaded = Settings.from_environment({**LOCAL_ENDPOINTS, "DATA_PLATFORM_ECS_SUBNETS": " subnet-a, subnet-b,"})
    assert loaded.ecs.subnets == ("subnet-a", "subnet-b")
    assert loaded.process_environment()["DATA_PLATFORM_ECS_SUBNETS"] == "subnet-a,subnet-b"


def test_runs_are_processes_on_a_laptop_and_tasks_elsewhere() -> None:
    assert Settings.from_environment({}).runs_on == "process"
    assert Settings.from_environment(PRODUCTION).runs_on == "ecs"


def test_a_group_and_one_field_add_a_system() -> None:
    loaded = WithCrm.from_environment({"CRM_URL": "http://127.0.0.1:80", "CRM_TOKEN": "planted-secret"})
    child = loaded.process_environment()
    assert (child["CRM_URL"], child["CRM_TOKEN"]) == ("http://127.0.0.1:80", "planted-secret")
    assert "planted-secret" not in repr(loaded)
    with pytest.raises(SettingsError, match=r"CRM_URL is missing: expected an http.* URL, for example CRM_URL=https"):
        WithCrm.from_environment({})
    with pytest.raises(SettingsError, match="CRM_URL is not a loopback address"):
        WithCrm.from_environment({"CRM_URL": "https://crm.example.org"})


def test_only_the_variable_sets_a_setting_and_not_the_name_of_its_field() -> None:
    names = {"time_zone": "Europe/Paris", "port": "2222", "aws": "x", "DATA_PLATFORM_AWS": "x"}
    assert Settings.from_environment(names) == Settings.from_environment({})


def test_the_process_environment_overrides_dotenv_which_overrides_the_local_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in declared(Settings):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DATA_PLATFORM_ENVIRONMENT", "")  # unset, so `local`
    monkeypatch.setenv("SFTP_PORT", "1")
    Path(".env").write_text("SFTP_PORT=2\nSNOWFLAKE_PORT=2\nDATA_PLATFORM_STATE_DIR=state\n")
    Path("state").mkdir()
    Path("state/cloud.env").write_text("SFTP_PORT=3\nSNOWFLAKE_PORT=3\nSFTP_HOST=127.0.0.1\n")

    def source(variable: str) -> tuple[str, str]:
        return next((layer.name, layer.values[variable]) for layer in layers() if variable in layer.values)

    assert source("SFTP_PORT") == ("environment", "1")
    assert source("SNOWFLAKE_PORT") == (".env", "2")
    assert source("SFTP_HOST") == ("state/cloud.env", "127.0.0.1")
    assert source("SNOWFLAKE_ACCOUNT") == ("default of local", "local")
    monkeypatch.setenv("DATA_PLATFORM_ENVIRONMENT", "dev")
    assert [layer.name for layer in layers()] == ["environment", ".env"]


def test_a_connection_is_looked_up_by_name_and_does_not_show() -> None:
    url = "postgresql://reader:planted-secret@127.0.0.1:5432/records"
    loaded = Settings.from_environment({CONNECTION: url})
    assert loaded.connection("city_records", "city_records/permits") == url
    assert "planted-secret" not in repr(loaded)
    assert loaded.process_environment()[CONNECTION] == url
    assert Settings.from_environment(loaded.process_environment()).connections == loaded.connections


def test_a_missing_connection_names_the_variable_an_example_and_who_needs_it() -> None:
    with pytest.raises(SettingsError, match=rf"(?s){CONNECTION} is missing, and city_records/permits .*postgresql://"):
        Settings.from_environment({}).connection("city_records", "city_records/permits")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:planted@db.example.org/records",
        "postgresql://reader:planted@127.0.0.1/records?host=db.example.org",
        "postgresql://reader:planted@127.0.0.1/records?hostaddr=10.0.0.5",
        "postgresql://reader:planted@127.0.0.1/records?service=records",
        "postgresql://reader:planted@127.0.0.1,db.example.org/records",
    ],
)
def test_local_reads_no_database_of_another_machine(url: str) -> None:
    with pytest.raises(SettingsError, match=f"{CONNECTION} is not a loopback address") as error:
        Settings.from_environment({CONNECTION: url})
    assert "planted" not in str(error.value)


@pytest.mark.parametrize("mode", ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=verify-full&sslmode=allow"])
def test_a_connection_needs_tls_outside_local(mode: str) -> None:
    url = "postgresql://reader:planted@db.example.org/records"
    with pytest.raises(SettingsError, match=f"{CONNECTION} allows a connection without TLS") as error:
        Settings.from_environment({**PRODUCTION, CONNECTION: url + mode})
    assert "planted" not in str(error.value)
    for accepted in ("require", "verify-ca", "verify-full"):
        Settings.from_environment({**PRODUCTION, CONNECTION: f"{url}?sslmode={accepted}"})


@pytest.mark.parametrize(
    ("url", "demanding"),
    [
        ("mariadb://reader:planted@db.example.org/x", ["ssl-mode=REQUIRED", "ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem"]),
        ("mysql://reader:planted@db.example.org/x", ["ssl-mode=verify_ca"]),
        ("oracle://reader:planted@db.example.org/x", ["protocol=tcps", "protocol=tcps&wallet_location=/wallet"]),
        ("mssql+pyodbc://reader:planted@db.example.org/x", ["Encrypt=yes&driver=ODBC+Driver+18+for+SQL+Server"]),
    ],
)
def test_every_system_has_its_way_to_demand_tls(url: str, demanding: list[str]) -> None:
    for mode in ("", "?ssl-mode=PREFERRED", "?protocol=tcp", "?Encrypt=no"):
        with pytest.raises(SettingsError, match=f"{CONNECTION} (allows|has other parameters)") as error:
            Settings.from_environment({**PRODUCTION, CONNECTION: url + mode})
        assert "planted" not in str(error.value)
    for accepted in demanding:
        Settings.from_environment({**PRODUCTION, CONNECTION: f"{url}?{accepted}"})


@pytest.mark.parametrize(
    "scheme", ["mysql", "mariadb", "oracle", "mysql+pymysql", "mssql+pyodbc", "postgresql+psycopg2"]
)
def test_local_reaches_no_other_machine_in_any_system(scheme: str) -> None:
    Settings.from_environment({CONNECTION: f"{scheme}://reader:planted@127.0.0.1:3306/x"})
    for url in ("db.example.org/x", "127.0.0.1/x?host=db.example.org", "127.0.0.1/x?unix_socket=/tmp/s", "/x"):
        with pytest.raises(SettingsError, match=f"{CONNECTION} (is not a loopback|has other parameters)") as error:
            Settings.from_environment({CONNECTION: f"{scheme}://reader:planted@{url}"})
        assert "planted" not in str(error.value)


@pytest.mark.parametrize("given", [{}, PRODUCTION])
def test_a_file_is_a_database_everywhere(given: dict[str, str]) -> None:
    Settings.from_environment({**given, CONNECTION: "sqlite:////srv/records.db"})
    for url in ("sqlite:////srv/records.db?vfs=net", "sqlite://db.example.org/records.db"):
        with pytest.raises(SettingsError, match=CONNECTION):
            Settings.from_environment({CONNECTION: url})


@pytest.mark.parametrize(
    "url", ["ftp://reader:planted@127.0.0.1/x", "host=127.0.0.1 password=planted", "postgresql://[x"]
)
def test_a_connection_is_the_url_of_a_known_system(url: str) -> None:
    with pytest.raises(SettingsError, match=CONNECTION) as error:
        Settings.from_environment({CONNECTION: url})
    assert "planted" not in str(error.value)


def test_a_web_apis_connection_is_https() -> None:
    url = "https://:planted@api.airtable.com"
    loaded = Settings.from_environment({**PRODUCTION, CONNECTION: url})
    assert loaded.connection("city_records", "programmes/sites", AIRTABLE) == url
    assert "planted" not in repr(loaded)
    local = "http://:planted@127.0.0.1:8080/airtable"
    assert Settings.from_environment({CONNECTION: local}).connection("city_records", "p/s", AIRTABLE) == local
    with pytest.raises(
        SettingsError, match=f"{CONNECTION} allows a connection without TLS; expected https://"
    ) as error:
        Settings.from_environment({**PRODUCTION, CONNECTION: "http://:planted@api.airtable.com"})
    assert "planted" not in str(error.value)


def test_local_asks_no_web_api_of_another_machine() -> None:
    for url in ("https://:planted@api.airtable.com", "http://:planted@127.0.0.1?host=api.airtable.com"):
        with pytest.raises(SettingsError, match=f"{CONNECTION} (is not a loopback|has other parameters)") as error:
            Settings.from_environment({CONNECTION: url})
        assert "planted" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "system"),
    [("https://:planted@127.0.0.1", DATABASE), ("postgresql://reader:planted@127.0.0.1/x", AIRTABLE)],
)
def test_a_connection_to_another_kind_of_system_is_told_before_it_is_used(url: str, system: System) -> None:
    """A driver would quote a URL that it can't read."""
    loaded = Settings.from_environment({CONNECTION: url})
    with pytest.raises(SettingsError, match=f"{CONNECTION} is of another kind of system than a/b reads") as error:
        loaded.connection("city_records", "a/b", system)
    assert "planted" not in str(error.value)
