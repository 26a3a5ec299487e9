from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from data_platform import environment
from data_platform.environment import LOCAL_DEFAULTS, Settings, SettingsError
from data_platform.resources import LakeResource, LandingResource, WarehouseResource, all_resources
from data_platform.warehouse.connection import SESSION_PARAMETERS, connection_arguments

PLANTED = "planted-secret-8b1f"
KEY = f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----"
DEV = {
    **LOCAL_DEFAULTS,
    "DATA_PLATFORM_ENVIRONMENT": "dev",
    "SNOWFLAKE_ACCOUNT": "myorg-team",
    "SNOWFLAKE_STORAGE_INTEGRATION": "LAKE",
    "SNOWFLAKE_PRIVATE_KEY": KEY,
    "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": PLANTED,
    "AWS_ACCESS_KEY_ID": PLANTED,
    "AWS_SECRET_ACCESS_KEY": PLANTED,
}
DEV.pop("SNOWFLAKE_PRIVATE_KEY_PATH")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes given variables the process's settings."""

    def settings_of(variables: Mapping[str, str]) -> Settings:
        loaded = Settings.from_environment(variables)
        for module in ("data_platform.resources.snowflake", "data_platform.resources.lake"):
            monkeypatch.setattr(f"{module}.settings", lambda: loaded)
        return loaded

    yield settings_of
    environment.settings.cache_clear()


def test_no_secret_stands_in_any_resource(use: Any) -> None:
    for resource in all_resources(use(DEV)).values():
        assert isinstance(resource, dg.ConfigurableResource)
        assert PLANTED not in repr(resource)
        assert PLANTED not in str(resource.model_dump())
        assert PLANTED not in str(type(resource).to_config_schema().as_field())


@pytest.mark.server  # beside the one that signs in, as the import of dagster-snowflake takes most of it
def test_dagster_snowflakes_resource_signs_in_with_the_platforms_key(use: Any) -> None:
    resource = WarehouseResource.of(use(DEV)).dagster_snowflake()
    assert (resource.private_key, resource.private_key_password) == (KEY, PLANTED)
    assert (resource.account, resource.role) == ("myorg-team", LOCAL_DEFAULTS["SNOWFLAKE_ROLE"])
    by_path = {**DEV, "SNOWFLAKE_PRIVATE_KEY_PATH": "/run/key.p8"}
    by_path.pop("SNOWFLAKE_PRIVATE_KEY")
    assert WarehouseResource.of(use(by_path)).dagster_snowflake().private_key_path == "/run/key.p8"
    by_path.pop("SNOWFLAKE_PRIVATE_KEY_PATH")
    with pytest.raises(SettingsError, match="SNOWFLAKE_PRIVATE_KEY"):
        WarehouseResource.of(use(by_path)).dagster_snowflake()


def test_sessions_are_in_utc_bounded_in_time_and_commit_each_statement() -> None:
    arguments = connection_arguments(Settings.from_environment(DEV))
    assert arguments["session_parameters"] == SESSION_PARAMETERS
    assert SESSION_PARAMETERS["TIMEZONE"] == "UTC"
    assert (arguments["autocommit"], arguments["client_session_keep_alive"]) == (True, False)
    assert arguments["login_timeout"] <= 60
    assert arguments["network_timeout"] > SESSION_PARAMETERS["STATEMENT_TIMEOUT_IN_SECONDS"], (
        "Snowflake's limit comes first"
    )
    assert SESSION_PARAMETERS["LOCK_TIMEOUT"] < SESSION_PARAMETERS["STATEMENT_TIMEOUT_IN_SECONDS"] <= 3600
    assert "host" not in arguments
    assert PLANTED not in str(arguments)


def test_resources_can_be_made_before_the_local_cloud_is_up_and_say_so_when_used(use: Any) -> None:
    resources = all_resources(use(LOCAL_DEFAULTS))
    warehouse, lake, landing = (resources[name] for name in ("warehouse", "lake", "landing"))
    assert isinstance(warehouse, WarehouseResource)
    assert isinstance(lake, LakeResource)
    assert isinstance(landing, LandingResource)
    with pytest.raises(SettingsError, match="data-platform up"):
        warehouse.open()
    with pytest.raises(SettingsError, match="data-platform up"):
        warehouse.dagster_snowflake()
    with pytest.raises(SettingsError, match="data-platform up"):
        lake.lake()
    with pytest.raises(SettingsError, match="data-platform up"):
        landing.bucket()


@pytest.mark.server
def test_an_asset_reaches_snowflake_and_the_buckets(use: Any, local_cloud: Mapping[str, str]) -> None:
    loaded = use(local_cloud)
    seen: dict[str, Any] = {}

    @dg.asset
    def reached(warehouse: WarehouseResource, lake: LakeResource, landing: LandingResource) -> None:
        with warehouse.open(query_tag="dagster run=1") as connection:
            seen["own"] = connection.cursor().execute("SELECT 1").fetchone()
        with warehouse.dagster_snowflake().get_connection() as connection:
            seen["dagster-snowflake"] = connection.cursor().execute("SELECT CURRENT_DATABASE()").fetchone()
        lake.lake().store.put("probe", b"lake")
        seen["lake"] = bytes(lake.lake().store.get("probe").bytes())
        seen["landing"] = landing.bucket().exists("inbound/nobody/nothing")

    assert dg.materialize([reached], resources=all_resources(loaded)).success
    assert seen == {
        "own": (1,),
        "dagster-snowflake": (loaded.snowflake.database,),
        "lake": b"lake",
        "landing": False,
    }
