"""The demo city's day: drops the partners' files over SFTP and writes the register's tables, wave by wave, and compares
the results with the answer key.

`data-platform run` uses the demo only through this module, and works without it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from data_platform.environment import Settings
from data_platform.landing.sorting import Scan
from data_platform.local_cloud import keys, web_apis
from data_platform.local_cloud.demo import generate as generate_module
from data_platform.local_cloud.demo.drop_log import DropLog
from data_platform.local_cloud.demo.generate import SCALES, SEED, Scale, generate
from data_platform.local_cloud.demo.key import KEY_FILE, AnswerKey, Drop, FeedTotals, TableState
from data_platform.local_cloud.demo.records import BOOK, SOURCE
from data_platform.local_cloud.layout import Layout, write_atomically

HEADLINE = "MARTS.CITY_DAILY"
"""The table that a run of the demo shows at its end and compares with the key."""
_SESSIONS_A_METER = 4 / 3


class DemoRefused(Exception):
    """The demo can't be dropped here, or not with this size; the message says what to do."""


class DropFailed(Exception):
    """The demo's files could not be dropped. The process that drops them has written why to stderr."""


class Account(Protocol):
    """A feed's counts, by the fields of FeedTotals or TableTotals."""

    @property
    def feed(self) -> str: ...

    @property
    def counts(self) -> Mapping[str, int]: ...

    def differences(self, expected: Mapping[str, int], in_table: int | None) -> list[str]:
        """The account's differences from the expected counts and from the table's expected rows."""


def scale_of(text: str) -> Scale:
    """`small`, `large`, or a number of meters. Raises DemoRefused."""
    if text in SCALES:
        return SCALES[text]
    try:
        meters = int(text)
        return Scale(meters, round(meters * _SESSIONS_A_METER))
    except ValueError as error:
        raise DemoRefused(
            f"--size {text!r}: expected small, large, or a number of meters, at least 150 ({error})"
        ) from None


@dataclass
class Demo:
    """The demo at one size (see `scale_of`), on one local cloud. Raises DemoRefused for a size that isn't one."""

    size: str
    settings: Settings
    headline = HEADLINE

    def __post_init__(self) -> None:
        self.scale = scale_of(self.size)

    @property
    def _name(self) -> str:
        return f"{self.scale.meters}-{self.scale.sessions_a_day}-{SEED}-{_generator()}"

    @cached_property
    def _layout(self) -> Layout:
        return Layout.at(self.settings.state_dir)

    @property
    def folder(self) -> Path:
        """The folder of the generated files, kept from one run to the next."""
        return self._layout.root / "demo" / self._name

    def make(self) -> None:
        """Generates the files, unless an earlier run has."""
        if not (self.folder / KEY_FILE).exists():
            generate(self.folder, self.scale)

    @cached_property
    def key(self) -> AnswerKey:
        """The expected results."""
        return AnswerKey.read(self.folder)

    @property
    def _state(self) -> Path:
        # Below the cloud's data: `reset` empties the buckets and must forget what was dropped into them.
        return self._layout.data("demo")

    def check_alone(self) -> None:
        """Raises DemoRefused if this cloud holds the demo's files of another scale: they have the same names."""
        others = [path.stem for path in self._state.glob("*.dropped") if path.stem != self._name]
        if others:
            meters = int(others[0].split("-")[0])
            same = meters == self.scale.meters
            which = "an older version of the demo" if same else f"the demo with {meters:,} meters"
            way = "" if same else f"Run `data-platform run --size {meters}`, or start afresh: "
            raise DemoRefused(f"This local cloud holds {which}. {way or 'Start afresh: '}`data-platform reset --yes`.")

    @property
    def rounds(self) -> int:
        """How many times the partners have dropped all files, including the drop under way."""
        path = self._state / f"{self._name}.rounds"
        return int(path.read_text()) if path.exists() else 1

    def begin_again(self) -> None:
        """Begins the next round, in which the partners drop all files once more. A round that was interrupted is
        completed first: then this changes nothing."""
        if not self.all_dropped():
            return
        write_atomically(self._state / f"{self._name}.rounds", str(self.rounds + 1))

    def all_dropped(self) -> bool:
        """Whether every file of every wave has been dropped in this round, and all else written."""
        if not (self.folder / KEY_FILE).exists():
            return False
        written = (*map(self._log.undropped, self.key.register), self._log.undropped(self.key.stored))
        return not (any(map(self._log.undropped, self.key.waves)) or any(written))

    def writes_register(self, wave: int) -> bool:
        """Whether `drop` is going to write the register's tables."""
        return bool(self._log.undropped(self.key.register[wave]))

    @property
    def _log(self) -> DropLog:
        """The log of this round."""
        number = "" if self.rounds == 1 else f".{self.rounds}"
        return DropLog(self._state / f"{self._name}.dropped{number}")

    def drop(self, wave: int) -> Iterator[int]:
        """Generates the files, unless an earlier run has, and drops those of a wave (from 0) that haven't been dropped
        in this round, each as its partner. Yields how many are left to drop: at first, and after each. Before the files
        it writes the register, and before those of the first wave the web APIs.

        Another process does it, because this one has definitions to load meanwhile. Raises DropFailed."""
        command = [sys.executable, "-m", "data_platform.local_cloud.demo", self.size, str(wave)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dropping:
            yield from map(int, dropping.stdout or ())
        if dropping.returncode:
            raise DropFailed(f"`{' '.join(command)}` failed: its messages are in the log of the run")

    def drop_here(self, wave: int, *, tell: Callable[[int], None]) -> None:
        """Does in this process what `drop` does. `tell` gets the numbers."""
        from data_platform.local_cloud.demo.drop import drop_wave  # imports an SFTP client

        self.make()
        if self.writes_register(wave):
            self._write_register(self.key.register[wave])
        if wave == 0:
            for stored in self._log.undropped(self.key.stored):
                web_apis.fill(self._layout, stored.name, (self.folder / stored.path).read_text(encoding="utf-8"))
                self._log.note(stored)
        drops, sftp = self.key.waves[wave], self.settings.sftp
        left = len(self._log.undropped(drops))
        tell(left)

        def on_progress(_: Drop) -> None:
            nonlocal left
            left -= 1
            tell(left)

        drop_wave(
            drops,
            self.folder,
            host=str(sftp.host),
            port=sftp.port,
            partner_keys=self._layout.partner_keys,
            host_key=self._layout.keys / "sftp_host.pub",
            log=self._log,
            on_progress=on_progress,
        )

    def _write_register(self, states: Sequence[TableState]) -> None:
        from data_platform.local_cloud.demo.register import write_states

        read_from = urlsplit(self.settings.connection(SOURCE, "the demo"))
        owner = f"{SOURCE}:{keys.password(self._layout, SOURCE)}"
        write_states(states, self.folder, f"postgresql://{owner}@{read_from.hostname}:{read_from.port}/{SOURCE}")
        book = self._layout.data(web_apis.NAME) / web_apis.BOOK
        write_atomically(book, (self.folder / BOOK).read_text(encoding="utf-8"))
        for state in states:
            self._log.note(state)

    def _expected(self, feed: str) -> dict[str, int]:
        """A feed's counts after all rounds: each further round adds the same; to a database's tables, nothing."""
        if feed in self.key.databases:
            return self.key.databases[feed].model_dump(exclude={"rejected"})
        once, twice = self.key.totals[feed], self.key.totals_again[feed]
        more = self.rounds - 1
        return {
            name: getattr(once, name) + more * (getattr(twice, name) - getattr(once, name))
            for name in FeedTotals.model_fields
        }

    def beside(self, accounts: Sequence[Account]) -> dict[str, int]:
        """How many deliveries or extracts each feed got besides the demo's, for example by a replay. The key doesn't
        cover them."""
        more = {}
        for account in accounts:
            if account.feed in self._feeds:
                counted = "current" if account.feed in self.key.databases else "landed"
                more[account.feed] = account.counts[counted] - self._expected(account.feed)[counted]
        return {feed: number for feed, number in more.items() if number > 0}

    @property
    def _feeds(self) -> set[str]:
        return self.key.totals.keys() | self.key.databases.keys()

    def differences(self, accounts: Sequence[Account], left: Scan) -> dict[str, list[str]]:
        """The differences from the key of the feeds' accounts and of the files left in inbound, by feed or place."""
        by_feed = {account.feed: account for account in accounts}
        beside = self.beside(accounts)
        found: dict[str, list[str]] = {}
        for feed in self._feeds - beside.keys():
            account, expected = by_feed.get(feed), self._expected(feed)
            if account is None:
                found[feed] = [f"nothing was loaded, expected {expected['rows_loaded']:,} rows"]
            else:
                found[feed] = account.differences(expected, self.key.tables.get(feed))
        stays = {f"inbound/{drop.partner}/{drop.file_name}" for drop in self.key.stays}
        lone = {waiting.pending.key for waiting in left.waiting} | {each.key for each, _ in left.unmatched}
        found["inbound"] = [
            *(f"{key} should still be in inbound" for key in sorted(stays - lone)),
            *(f"{key} should not be in inbound any more" for key in sorted(lone - stays)),
        ]
        return {place: differences for place, differences in found.items() if differences}

    def publication_differences(self, rows: Mapping[str, int]) -> dict[str, list[str]]:
        """The differences from the key of the published datasets' rows, by dataset."""
        return {
            dataset: [f"{rows[dataset]:,} rows published, expected {wanted:,}" if dataset in rows else "not published"]
            for dataset, wanted in self.key.published.items()
            if rows.get(dataset) != wanted
        }

    def mart_differences(self, rows: list[dict[str, object]]) -> list[str]:
        """The differences of HEADLINE's rows from the key, day by day."""
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
    """A hash of the modules that generate the files, so that files of an older version aren't used."""
    digest = hashlib.sha256()
    for path in sorted(Path(generate_module.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _equal(have: object, wanted: object) -> bool:
    return json.dumps(have, default=str) == json.dumps(wanted, default=str) or str(have) == str(wanted)
