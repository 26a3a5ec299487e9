"""`data-platform doctor`: prints the settings and their sources, and every finding with its fix. The probes are in
`machine` (this machine), `connections` (the network) and `deep` (what only a real account can show)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import click

from data_platform.cli.doctor.finding import Finding, Probe
from data_platform.cli.errors import FAILED
from data_platform.cli.output import add_row, colored, console, print_json, show, table
from data_platform.environment import Settings, SettingsError, each_setting, layers, settings
from data_platform.program import as_typed

_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}
_AT_ONCE = 6
_LONGEST = 100


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--offline", is_flag=True, help="Look at this machine only; connect to nothing.")
@click.option("--deep", is_flag=True, help="Also prove what each user may do, and what must be refused. Writes.")
def doctor(as_json: bool, offline: bool, deep: bool) -> None:
    """Find out what is wrong with settings, packages, connections and permissions.

    Writes one small object below _doctor/ in the lake's bucket, and removes it. Exits with 1 if something failed; a
    warning is not a failure.

    --deep is for the first day in an account, and after changes of its grants. It signs in to Snowflake as loader, dbt
    and reader, tries what each may do and must not, copies every type's extremes through the production stage and
    compares them, tries S3's conditional put and missing keys, and, where runs are ECS tasks, starts one. It works in
    tables and objects of its own, and removes them. What the local cloud can't prove is a warning there.

    \b
    Examples:
      data-platform doctor
      data-platform doctor --deep
      data-platform doctor --json | jq -r '.findings[] | select(.state == "failed") | .fix'
    """
    if offline and deep:
        raise click.UsageError("--deep connects to everything, so it can't be combined with --offline")
    try:
        wanted = settings()
    except SettingsError as error:
        if as_json:
            print_json({"settings": [], "findings": [asdict(Finding("settings", "failed", str(error)))]})
            sys.exit(FAILED)
        raise
    sources = list(setting_sources(wanted))
    if not as_json:
        shown = table("setting", "value", "from")
        for variable, value, source in sources:
            add_row(shown, variable, value if len(value) <= _LONGEST else f"{value[:_LONGEST]} ...", source)
        show(shown)
        console().print()
    findings = list(_findings(wanted, offline, deep))
    failed = [finding for finding in findings if finding.state == "failed"]
    if as_json:
        described = [{"variable": name, "value": value, "from": source} for name, value, source in sources]
        print_json({"settings": described, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
    if failed:
        sys.exit(FAILED)


def setting_sources(wanted: Settings) -> Iterator[tuple[str, str, str]]:
    """(variable, value with secrets masked, where it comes from) for each setting."""
    found = layers()
    for variable, _, value, secret in each_setting(wanted):
        source = next((layer.name for layer in found if layer.values.get(variable)), "default")
        if value is None:
            yield variable, "", "unset"
        else:
            yield variable, "(secret, set)" if secret else str(value), source


def _findings(wanted: Settings, offline: bool, deep: bool) -> Iterator[Finding]:
    """Every probe's findings, in the order of the probes, which run side by side."""
    from data_platform.cli.connector import import_connector
    from data_platform.cli.doctor.connections import CONNECTIONS
    from data_platform.cli.doctor.machine import MACHINE, PARTS

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe") as pool:

        def tried(probes: Iterable[tuple[str, Probe]]) -> Iterator[Finding]:
            for findings in pool.map(lambda probe: _tried(probe[0], probe[1], wanted), probes):
                yield from findings

        yield from tried(MACHINE)
        parts = list(tried(PARTS)) if wanted.environment == "local" else []
        yield from parts
        if offline:
            return
        if any(part.state == "failed" for part in parts):
            yield Finding("connections", "failed", "not tried: the local cloud is not up", "data-platform up")
            return
        wanted.require_endpoints()
        import_connector()
        yield from tried(CONNECTIONS)
        if deep:
            from data_platform.cli.doctor.deep.probes import DEEP

            yield from tried(DEEP)


def _tried(subject: str, probe: Probe, wanted: Settings) -> list[Finding]:
    began = time.monotonic()
    findings: list[Finding] = []
    try:
        findings.extend(probe(wanted))  # keep what it finds before it fails
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        findings.append(Finding(subject, "failed", f"{type(error).__name__}: {text}", "check its settings, above"))
    took = round(time.monotonic() - began, 2)
    return [replace(finding, seconds=took) for finding in findings]


def _show(findings: list[Finding]) -> None:
    made = table("", "what", "found", "what to do")
    for finding in findings:
        color = _COLORS[finding.state]
        add_row(made, colored(finding.state, color), finding.subject, finding.found, as_typed(finding.fix))
    show(made)
    counts = {state: sum(finding.state == state for finding in findings) for state in _COLORS}
    click.echo("\n" + ", ".join(f"{number} {state}" for state, number in counts.items()))
