"""The demo city's day: its files, dropped over SFTP wave by wave, and the answer key they must come to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from data_platform.cli.run.accounting import COUNTS, FeedAccount
from data_platform.environment import Settings
from data_platform.landing.inbox import Scan
from data_platform.local_cloud.demo import generate as generate_module
from data_platform.local_cloud.demo.drop import DropLog, drop_wave
from data_platform.local_cloud.demo.generate import SCALES, SEED, Scale, generate
from data_platform.local_cloud.demo.key import KEY_FILE, AnswerKey, Drop
from data_platform.local_cloud.layout import Layout, write_atomically

_SESSIONS_A_METER = 4 / 3


def scale_of(text: str) -> Scale:
    """`small`, `large`, or a number of meters. Raises click.BadParameter."""
    if text in SCALES:
        return SCALES[text]
    try:
        meters = int(text)
        return Scale(meters, round(meters * _SESSIONS_A_METER))
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r}: expected small, large, or a number of meters from 150 on ({error})", param_hint="--size"
        ) from None


@dataclass
class Demo:
    """The demo of one scale on one local cloud."""

    scale: Scale
    settings: Settings

    @property
    def _name(self) -> str:
        return f"{self.scale.meters}-{self.scale.sessions_a_day}-{SEED}-{_generator()}"

    @cached_property
    def _layout(self) -> Layout:
        return Layout.at(self.settings.state_dir)

    @property
    def folder(self) -> Path:
        """Where its files are kept from one run to the next."""
        return self._layout.root / "demo" / self._name

    def make(self) -> None:
        """Makes its files, unless an earlier run has."""
        if not (self.folder / KEY_FILE).exists():
            generate(self.folder, self.scale)

    @cached_property
    def key(self) -> AnswerKey:
        """What its files must come to."""
        return AnswerKey.read(self.folder)

    @property
    def _state(self) -> Path:
        # Below the cloud's data: `reset` empties the buckets and must forget what was dropped into them.
        return self._layout.data("demo")

    def check_alone(self) -> None:
        """Raises click.UsageError where another scale's files are on this cloud: they have the same names."""
        others = [path.stem for path in self._state.glob("*.dropped") if path.stem != self._name]
        if others:
            meters = int(others[0].split("-")[0])
            same = meters == self.scale.meters
            which = "an older version of the demo" if same else f"the demo with {meters:,} meters"
            way = "" if same else f"Run `data-platform run --size {meters}`, or start afresh: "
            raise click.UsageError(
                f"This local cloud holds {which}. {way or 'Start afresh: '}`data-platform reset --yes`."
            )

    @property
    def rounds(self) -> int:
        """How often all of it has been dropped, the drop under way included."""
        path = self._state / f"{self._name}.rounds"
        return int(path.read_text()) if path.exists() else 1

    def begin_again(self) -> None:
        """Notes that all of it is going to be dropped once more."""
        write_atomically(self._state / f"{self._name}.rounds", str(self.rounds + 1))

    def drop(self, wave: list[Drop], *, again: bool, on_progress: Callable[[Drop], None]) -> int:
        """Drops what is due of a wave, each file as its partner. Returns how many files."""
        sftp = self.settings.sftp
        return drop_wave(
            wave,
            self.folder,
            host=str(sftp.host),
            port=sftp.port,
            partner_keys=self._layout.partner_keys,
            host_key=self._layout.keys / "sftp_host.pub",
            log=DropLog(self._state / f"{self._name}.dropped"),
            again=again,
            on_progress=on_progress,
        )

    def _expected(self, feed: str) -> dict[str, int]:
        """A feed's counts after as many rounds as have been dropped: each further one adds the same."""
        once, twice = self.key.totals[feed], self.key.totals_again[feed]
        more = self.rounds - 1
        return {name: getattr(once, name) + more * (getattr(twice, name) - getattr(once, name)) for name in COUNTS}

    def beside(self, accounts: list[FeedAccount]) -> dict[str, int]:
        """Feeds for which more has landed than the demo drops, as after a replay: the key knows nothing of that."""
        more = {
            account.feed: account.counts["landed"] - self._expected(account.feed)["landed"]
            for account in accounts
            if account.feed in self.key.totals
        }
        return {feed: number for feed, number in more.items() if number > 0}

    def differences(self, accounts: list[FeedAccount], left: Scan) -> dict[str, list[str]]:
        """Where feeds' accounts, and what is left in inbound, differ from the key: {feed or place: differences}."""
        by_feed = {account.feed: account for account in accounts}
        beside = self.beside(accounts)
        found: dict[str, list[str]] = {}
        for feed in self.key.totals.keys() - beside.keys():
            account = by_feed.get(feed, FeedAccount(feed, dict.fromkeys(COUNTS, 0), 0))
            found[feed] = account.differences(self._expected(feed), self.key.tables.get(feed))
        stays = {f"inbound/{drop.partner}/{drop.file_name}" for drop in self.key.stays}
        lone = {waiting.pending.key for waiting in left.waiting} | {each.key for each, _ in left.unmatched}
        found["inbound"] = [
            *(f"{key} should still be in inbound" for key in sorted(stays - lone)),
            *(f"{key} should not be in inbound any more" for key in sorted(lone - stays)),
        ]
        return {place: differences for place, differences in found.items() if differences}

    def mart_differences(self, rows: list[dict[str, object]]) -> list[str]:
        """Where MARTS.CITY_DAILY differs from the key, day by day."""
        have = {str(row["local_day"]): row for row in rows}
        found = []
        for wanted in self.key.marts["city_daily"]:
            row = have.pop(wanted["local_day"], None)
            if row is None:
                found.append(f"city_daily: {wanted['local_day']} is missing")
                continue
            found += [
                f"city_daily {wanted['local_day']}: {name} {row[name]}, expected {value}"
                for name, value in wanted.items()
                if name in row and not _equal(row[name], value)
            ]
        return [*found, *(f"city_daily: {day} is not expected" for day in have)]


def _generator() -> str:
    """Changes with the modules that make the files: what an older version made is not taken for this one's."""
    digest = hashlib.sha256()
    for path in sorted(Path(generate_module.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _equal(have: object, wanted: object) -> bool:
    return json.dumps(have, default=str) == json.dumps(wanted, default=str) or str(have) == str(wanted)
