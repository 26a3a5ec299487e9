"""What an environment costs: `python -m deploy.costs`. Computes a month at rest and 1,000 runs from the environment's
sizes and `prices.yaml`. Leaves out what depends on use: storage, requests, logs, traffic, alarms and Snowflake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import yaml

from data_platform.cli.secrets_seed import SMOKE_KEY
from deploy.environment import Environment, Size, environments
from deploy.stacks.network import ENDPOINTS
from deploy.stacks.secrets import purposes

HOURS = 730
RUN = Size(cpu=1024, memory=2048)
"""A run's default size (deploy/dagster.yaml)."""
RUN_MINUTES = 3
PRICES = Path(__file__).with_name("prices.yaml")


class Prices(NamedTuple):
    """USD by name, and the names of those that nobody has looked up."""

    usd: dict[str, float]
    unverified: list[str]


def read_prices() -> Prices:
    """The price list."""
    listed = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    return Prices(
        {name: price["usd"] for name, price in listed.items()},
        [name for name, price in listed.items() if "source" not in price],
    )


def at_rest(given: Environment, prices: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """(what, USD per month) of what costs money while nothing runs. Raises KeyError for an instance class that
    `prices.yaml` lacks."""
    zones, copies = len(given.network.zones), 2 if given.database.multi_az else 1
    sizes = given.services
    services = [sizes.webserver, sizes.webserver, sizes.daemon, sizes.code_server]
    if given.network.existing is None:
        yield "NAT gateway", HOURS * prices["nat_gateway_hour"]
    yield (
        f"{len(ENDPOINTS)} endpoints in {zones} zones",
        HOURS * len(ENDPOINTS) * zones * prices["interface_endpoint_hour"],
    )
    yield "4 services", HOURS * sum(_task_hour(size, prices) for size in services)
    instance = HOURS * prices[given.database.instance]
    yield "PostgreSQL", copies * (instance + given.database.storage_gib * prices["storage_gib_month"])
    yield "SFTP server", HOURS * prices["sftp_hour"]
    yield "load balancer", HOURS * prices["load_balancer_hour"]
    yield "firewall", prices["firewall_month"]
    declared = [name for name in purposes(given) if name == SMOKE_KEY or name.startswith("connection-")]
    secrets = 1 + len(purposes(given)) - len(declared)  # the database's, and these
    yield (
        f"key, {secrets} secrets (more: one per connection, one for the smoke test)",
        prices["key_month"] + secrets * prices["secret_month"],
    )


def per_thousand_runs(prices: Mapping[str, float]) -> float:
    """USD of 1,000 runs of the default size that take RUN_MINUTES each, on demand."""
    return 1000 * RUN_MINUTES / 60 * _task_hour(RUN, prices)


def _task_hour(size: Size, prices: Mapping[str, float]) -> float:
    return size.cpu / 1024 * prices["fargate_vcpu_hour"] + size.memory / 1024 * prices["fargate_gib_hour"]


@click.command()
def main() -> None:
    """Print the costs of every environment as a Markdown table."""
    prices, unverified = read_prices()
    columns = {given.name: list(at_rest(given, prices)) for given in environments()}
    names = dict.fromkeys(what for rows in columns.values() for what, _ in rows)
    click.echo(f"| USD | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name in names:
        click.echo(f"| {name} | {' | '.join(f'{dict(rows).get(name, 0):.0f}' for rows in columns.values())} |")
    totals = [f"{sum(cost for _, cost in rows):.0f}" for rows in columns.values()]
    click.echo(f"| **a month at rest** | {' | '.join(totals)} |")
    runs = f"{per_thousand_runs(prices):.2f}"
    click.echo(f"| 1,000 runs of {RUN_MINUTES} min | {' | '.join([runs] * len(columns))} |")
    click.echo(f"\nPrices from memory, which nobody has looked up: {', '.join(unverified) or 'none'}.")


if __name__ == "__main__":
    main()
