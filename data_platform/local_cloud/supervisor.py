"""Brings the local cloud up and down: its parts, their ports, their state.

There is no daemon: `up` starts each part as a detached process, waits for it, provisions, and ends. `processes` starts
and stops one process; `aws`, `warehouse`, `postgres` and `web_apis` describe the parts.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from dotenv import dotenv_values
from filelock import FileLock, Timeout

from data_platform.environment import RunsOn, Settings
from data_platform.local_cloud import aws, postgres, provisioning, warehouse, web_apis
from data_platform.local_cloud.declared import Declared, read_declared
from data_platform.local_cloud.ecs import images
from data_platform.local_cloud.ecs.plan import IMAGE, checkout_image, ecs_environment, ecs_plan
from data_platform.local_cloud.layout import Layout, write_atomically
from data_platform.local_cloud.plan import cloud_plan
from data_platform.local_cloud.ports import Claims, accepts, is_free
from data_platform.local_cloud.processes import (
    Part,
    PartNotReady,
    Record,
    log_tail,
    start,
    stop,
    strays,
    wait_until_ready,
)
from data_platform.local_cloud.spec import CloudSpec, cloud_environment, dotenv_text
from data_platform.local_cloud.status import PartStatus, part_status
from data_platform.runs import instance

READY_SECONDS = 90.0
UNRESPONSIVE_SECONDS = 8.0
LOCK_SECONDS = 240.0
PORT_ATTEMPTS = 3

Report = Callable[[str], None]


class LocalCloudError(Exception):
    """A command on the local cloud failed. The message names the part, the cause and what to do."""


class LocalCloud:
    """One local cloud. Several processes may call its methods at once: a file lock puts them in order."""

    def __init__(self, spec: CloudSpec) -> None:
        self.spec = spec
        self.layout = Layout.at(spec.state_dir)

    # Up

    def up(self, report: Report = lambda line: None) -> dict[str, str]:
        """Start the parts that don't run, and provision. Returns the environment variables that reach the cloud.

        Raises LocalCloudError, with the end of the part's log, if a part does not start.
        """
        began = time.monotonic()
        declared = read_declared(self.spec.defs_dir)
        with self._locked(report), contextlib.closing(Claims()) as claims:
            self.layout.make()
            runs_on = self.spec.runs_on or self.runs_on
            attempts = PORT_ATTEMPTS
            while True:
                try:
                    cloud, started = self._bring_up(declared, runs_on, claims, attempts == 1, report)
                    break
                except LocalCloudError:
                    attempts -= 1
                    if not attempts or not self._has_lost_a_part():
                        raise
                    report("a part ended, perhaps because another program took its port; trying again")
            environment = dict(cloud)
            if runs_on == "ecs":
                environment |= ecs_environment(cloud, self.spec.own)
                images.register(self.layout.images, IMAGE, checkout_image())
            instance.write(self.layout.dagster_home, Settings.from_environment({**self.spec.own, **environment}))
            write_atomically(self.layout.environment, dotenv_text(environment))
        took = time.monotonic() - began
        report(f"Local cloud started in {took:.1f} s" if started else "Already running")
        return environment

    def _parts(self, ports: Mapping[str, int]) -> list[Part]:
        return [
            aws.part(self.layout, ports["aws"], ports["sftp"]),
            warehouse.part(self.layout, ports["snowflake"], ports["aws"]),
            postgres.part(self.layout, ports["postgres"]),
            web_apis.part(self.layout, ports["web"], ports["postgres"]),
        ]

    def _ports(self, alive: Mapping[str, Record], claims: Claims, elsewhere: bool, report: Report) -> dict[str, int]:
        """A part that runs keeps its ports. Another gets the first that is free: those it had, the preferred, any.
        `elsewhere`: any at once, because another program competes for the first two."""
        known = {name: port for record in self._records().values() for name, port in record.ports.items()}
        ports = {name: port for record in alive.values() for name, port in record.ports.items()}
        for name, preferred in self.spec.preferred_ports.items():
            if name not in ports:
                wanted = known.get(name, preferred)
                ports[name] = claims.choose([] if elsewhere else [wanted, preferred], set(ports.values()))
                if ports[name] != wanted:
                    why = "another program may want port" if elsewhere else "another program uses port"
                    report(f"{name}: {why} {wanted}; using {ports[name]}")
        return ports

    def _has_lost_a_part(self) -> bool:
        """Whether a part ended, as it does when another program takes its port first. That the port is free now proves
        nothing: the other program may be restarting."""
        return any(not record.stopped and record.process() is None for record in self._records().values())

    def _bring_up(
        self, declared: Declared, runs_on: RunsOn, claims: Claims, elsewhere: bool, report: Report
    ) -> tuple[dict[str, str], bool]:
        """Start the parts that don't run, on free ports (`elsewhere`: not on their earlier ones), and provision, unless
        these same processes were provisioned with the same plan before. Returns the environment variables that reach
        the parts, and whether a part was started."""
        alive = {name: record for name, record in self._records().items() if record.process() is not None}
        ports = self._ports(alive, claims, elsewhere, report)
        cloud = cloud_environment(self.layout, ports, self.spec, declared)
        ecs = ecs_plan(cloud, self.spec.own) if runs_on == "ecs" else None
        plan = cloud_plan(self.layout, ports, self.spec, declared, ecs)
        web_apis.describe(self.layout, declared.stored_apis)
        with contextlib.ExitStack() as stack:
            process = None
            if not provisioning.is_done(self.layout, plan, alive):
                process = stack.enter_context(provisioning.begun(self.layout))
            started = self._start_parts(self._parts(ports), alive, report)
            if started and process is None:
                process = stack.enter_context(provisioning.begun(self.layout))
            if process is not None:
                try:
                    provisioning.finish(process, plan)
                except provisioning.ProvisioningFailed as error:
                    raise self._failure("provision", str(error)) from None
                provisioning.note_done(self.layout, plan, self._records())
        if not accepts(ports["sftp"]):
            raise self._failure("aws", "SFTP does not listen")
        return cloud, started

    def _start_parts(self, parts: list[Part], alive: Mapping[str, Record], report: Report) -> bool:
        """Start the parts side by side. Returns whether one had to be started."""
        began = time.monotonic()
        failures: list[LocalCloudError] = []
        started = False
        with ThreadPoolExecutor(len(parts), thread_name_prefix="part") as pool:
            waiting: dict[Future[bool], Part] = {
                pool.submit(self._bring_up_part, part, alive.get(part.name), report): part for part in parts
            }
            while waiting:
                done, _ = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                if not done:
                    names = ", ".join(sorted(part.name for part in waiting.values()))
                    report(f"still waiting for {names} ({time.monotonic() - began:.0f} s)")
                for future in done:
                    part = waiting.pop(future)
                    try:
                        fresh = future.result()
                    except PartNotReady as error:
                        failures.append(self._failure(part.name, str(error)))
                        continue
                    started = started or fresh
                    how = f"ready after {time.monotonic() - began:.1f} s" if fresh else "running"
                    report(f"{part.name:<10} {how:<18} {part.serves}")
        if failures:
            raise LocalCloudError("\n".join(str(failure) for failure in failures))
        return started

    def _bring_up_part(self, part: Part, running: Record | None, report: Report) -> bool:
        if running is not None and running.command == part.command:
            try:
                wait_until_ready(part, running, seconds=UNRESPONSIVE_SECONDS)
                return False
            except PartNotReady as error:
                report(f"{part.name}: {error}; starting it again")
        for process in strays(part.name, self.layout):
            stop(process, first=part.stop_signal)
        part.prepare()
        wait_until_ready(part, start(part, self.layout), seconds=READY_SECONDS)
        return True

    def _failure(self, name: str, reason: str) -> LocalCloudError:
        log = self.layout.log(name)
        tail = "\n".join(f"    {line}" for line in log_tail(log).splitlines())
        return LocalCloudError(f"{name} did not start: {reason}. The end of {log}:\n{tail}")

    # Down, reset, status

    def down(self, report: Report = lambda line: None) -> None:
        """Stop every part. The next `up` finds its data and keys, and prefers the same ports."""
        with self._locked(report):
            self._stop_all(report)

    def reset(self, report: Report = lambda line: None) -> None:
        """Stop every part and remove everything the local cloud keeps: data, keys, logs, Dagster's history."""
        with self._locked(report):
            self._stop_all(report)
            for path in self.layout.everything():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    @property
    def runs_on(self) -> RunsOn:
        """How runs are executed on this cloud, as the latest `up` set it."""
        known = dotenv_values(self.layout.environment, interpolate=False)
        return "ecs" if known.get("DATA_PLATFORM_RUNS_ON") == "ecs" else "process"

    def status(self) -> list[PartStatus]:
        """The state of each part, in a fixed order. Changes nothing; waits at most two seconds per part."""
        records = self._records()
        ports = dict(self.spec.preferred_ports)
        for record in records.values():
            ports.update(record.ports)
        parts = self._parts(ports) if self.layout.root.exists() else []
        with ThreadPoolExecutor(4, thread_name_prefix="status") as pool:
            return list(pool.map(lambda part: part_status(part, records.get(part.name)), parts))

    def _stop_all(self, report: Report) -> None:
        records = self._records()
        names = sorted(records.keys() | {"aws", "postgres", "snowflake", "web"})
        with ThreadPoolExecutor(len(names), thread_name_prefix="stop") as pool:
            for line in pool.map(lambda name: self._stop_part(name, records.get(name)), names):
                if line:
                    report(line)

    def _stop_part(self, name: str, record: Record | None) -> str | None:
        first = postgres.STOP_SIGNAL if name == postgres.NAME else signal.SIGTERM
        process = record.process() if record else None
        family = [process] if process else []
        said: str | None = None
        for found in (*family, *(stray for stray in strays(name, self.layout) if stray not in family)):
            obeyed = stop(found, first=first)
            said = f"{name:<10} " + ("stopped" if obeyed else "killed: it ignored the signal to stop")
        if record is not None:
            deadline = time.monotonic() + 5
            while not all(is_free(port) for port in record.ports.values()) and time.monotonic() < deadline:
                time.sleep(0.05)
            replace(record, stopped=True).save(self.layout.record(name))
        return said

    def _records(self) -> dict[str, Record]:
        paths = sorted(self.layout.record("any").parent.glob("*.json"))
        return {path.stem: record for path in paths if (record := Record.load(path)) is not None}

    @contextlib.contextmanager
    def _locked(self, report: Report) -> Iterator[None]:
        """Run one `up`, `down` or `reset` of a state directory at a time. The system frees the lock of a process that
        dies."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.layout.lock)
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            report("waiting for another data-platform command on this local cloud")
            try:
                held = lock.acquire(timeout=LOCK_SECONDS)
            except Timeout:
                raise LocalCloudError(
                    f"Another command has held {self.layout.lock} for {LOCK_SECONDS:.0f} s; end it"
                ) from None
        with held:
            yield
