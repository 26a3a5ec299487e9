"""Meridian Parking's files, with their defects: a gzipped CSV per day, each with a manifest."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from data_platform.local_cloud.demo.calendar import CITY, DAYS, midnight
from data_platform.local_cloud.demo.key import PlantedReject, RejectReason
from data_platform.local_cloud.demo.shelf import Shelf

PARTNER, FEED = "meridian_parking", "parking_sessions"
MISSED = date(2026, 3, 8)
_HEADER = ("session_id", "zone", "started_at", "ended_at", "fee", "electric", "attributes")
# In the hour that occurs twice, started_at means the earlier instant of its wall time, ended_at the later one.
AMBIGUOUS = {"P1101000001": ("2026-11-01T05:30:00Z", "2026-11-01T06:45:00Z")}


@dataclass(frozen=True)
class Session:
    """One session, with its values as in the file, except its day and its fee in cents."""

    session_id: str
    day: date
    zone: str
    started_at: str
    ended_at: str
    fee: int | None
    electric: str
    attributes: str

    def fields(self) -> list[str]:
        """The session's fields as in the file."""
        fee = "" if self.fee is None else str(Decimal(self.fee).scaleb(-2)).replace(".", ",")
        return [
            *(self.session_id, self.zone, self.started_at, self.ended_at),
            *(fee, self.electric, self.attributes),
        ]


Sessions = tuple[Session, ...]

_BAD_VALUES: tuple[tuple[int, str, str, RejectReason], ...] = (
    (4, "fee", "free", "type"),
    (5, "fee", "12,345", "digits"),
    (31, "electric", "maybe", "boolean"),
    (32, "attributes", '{"bay": ', "json"),
    (60, "session_id", "", "missing"),
    (61, "started_at", "2026-03-07 10:00", "type"),
    (100, "ended_at", "08.03.2026 02:59:59", "nonexistent_time"),
)
_SKIPPED_HOUR: tuple[tuple[int, str, str, RejectReason], ...] = (
    (6, "started_at", "08.03.2026 02:30:00", "nonexistent_time"),
    (7, "started_at", "08.03.2026 02:00:00", "nonexistent_time"),
)


def make(folder: Path, sessions_a_day: int, seed: int) -> Shelf[Sessions]:
    """Writes all files of the feed, for both waves."""
    shelf: Shelf[Sessions] = Shelf(folder, PARTNER, FEED)
    days = {day: _sessions(day, sessions_a_day, seed) for day in DAYS}
    late = {day: _sessions(day, 25, seed, first=sessions_a_day + 1) for day in DAYS}
    march_7, _, march_9, october_31, november_1, november_2 = DAYS
    _put(shelf, 1, march_7, days[march_7], bad=_BAD_VALUES, defect="values that break the contract")
    _put(shelf, 1, march_9, days[march_9], bad=_SKIPPED_HOUR, defect="superseded by the second wave's file")
    over_night = replace(days[october_31][-1], ended_at="01.11.2026 01:00:00", fee=410)
    into_it = (*days[october_31][:-1], over_night)
    _put(shelf, 1, october_31, into_it, defect="nothing wrong: a session ends in the hour that occurs twice")
    twice = replace(days[november_1][0], started_at="01.11.2026 01:30:00", ended_at="01.11.2026 01:45:00")
    in_it = (twice, *days[november_1][1:])
    _put(shelf, 1, november_1, in_it, defect="nothing wrong: a session in the hour that occurs twice")
    fewer = days[november_2][: int(sessions_a_day * 0.6)]
    _put(shelf, 1, november_2, fewer, defect="two fifths of the sessions are missing")

    _refused(shelf, march_7, _file(late[march_7])[:-20], {}, "a gzip stream without its end")
    disagrees = {"sha256": hashlib.sha256(b"another file").hexdigest()}
    _refused(shelf, march_9, _file(late[march_9]), disagrees, "its manifest states another sha256")
    _refused(shelf, november_1, _file(late[november_1][:-1]), {"rows": 25}, "its manifest states a row more")
    name = _name(november_2, "_late")
    waits = _file(late[november_2])
    shelf.put(1, name, waits, day=november_2, planted="pending", defect="its manifest is missing")
    shelf.put(1, "sessions_20260310.csv", b"", planted="unmatched", defect="not gzipped, and no feed matches its name")

    revised = _revised(days[march_9][:-3]) + late[march_9][:2]
    changes = "other fees, three sessions removed, two added, and times in the skipped hour"
    _put(shelf, 2, march_9, revised, bad=_SKIPPED_HOUR, defect=f"{changes}: supersedes the first")
    corrected = _revised(days[march_7][110:130]) + late[march_7][:5]
    _put(shelf, 2, march_7, corrected, "_corrections", defect="nothing wrong: 20 known sessions, 5 new ones")
    _put(shelf, 2, november_1, late[november_1], "_late", defect="nothing wrong: the quarantined file, now whole")
    shelf.again(2, _name(november_1), _name(november_1), defect="the same content again")
    return shelf


def _name(day: date, part: str = "") -> str:
    return f"sessions_{day:%Y%m%d}{part}.csv.gz"


def _sessions(day: date, count: int, seed: int, *, first: int = 1) -> Sessions:
    random = np.random.default_rng([seed, 3, day.toordinal(), first])
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    starts = np.sort(random.integers(0, int((end - begin).total_seconds()), count)).tolist()
    minutes = (random.gamma(2.0, 35.0, count) + 1).astype(int).tolist()
    zones = random.integers(0, 6, count).tolist()
    still_open = (random.random(count) < 0.03).tolist()
    electric = (random.random(count) < 0.15).tolist()
    bays = random.integers(0, 40, count).tolist()
    return tuple(
        Session(
            session_id=f"P{day:%m%d}{first + at:06d}",
            day=day,
            zone="ABCDEF"[zones[at]],
            started_at=_wall(begin + timedelta(seconds=starts[at])),
            ended_at="" if still_open[at] else _wall(begin + timedelta(seconds=starts[at], minutes=minutes[at])),
            fee=None if still_open[at] else 50 + 4 * minutes[at],
            electric="yes" if electric[at] else "no",
            attributes=json.dumps({"bay": bays[at], "payment": "app; card"}) if bays[at] else "",
        )
        for at in range(count)
    )


def _wall(instant: datetime) -> str:
    return instant.astimezone(CITY).strftime("%d.%m.%Y %H:%M:%S")


def _revised(sessions: Sessions) -> Sessions:
    return tuple(replace(session, fee=None if session.fee is None else session.fee + 25) for session in sessions)


def _file(sessions: Iterable[Session], bad: Sequence[tuple[int, str, str, RejectReason]] = ()) -> bytes:
    rows = [session.fields() for session in sessions]
    for record, column, text, _ in bad:
        rows[record - 1][_HEADER.index(column)] = text
    text_file = io.StringIO()
    writer = csv.writer(text_file, delimiter=";", lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(rows)
    return gzip.compress(text_file.getvalue().encode(), compresslevel=6, mtime=0)


def _manifest(name: str, content: bytes, rows: int) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"file": name, "rows": rows, "bytes": len(content), "sha256": digest}


def _put(
    shelf: Shelf[Sessions],
    wave: int,
    day: date,
    sessions: Sessions,
    part: str = "",
    *,
    bad: Sequence[tuple[int, str, str, RejectReason]] = (),
    defect: str = "",
) -> None:
    name, content = _name(day, part), _file(sessions, bad)
    refused = {record for record, *_ in bad}
    kept = tuple(session for at, session in enumerate(sessions, 1) if at not in refused)
    shelf.put(
        wave,
        name,
        content,
        day=day,
        loaded=len(kept),
        rejects=[PlantedReject(record=at, column=column, reason=why) for at, column, _, why in bad],
        facts=kept,
        manifest=_manifest(name, content, len(sessions)),
        defect=defect,
    )


def _refused(shelf: Shelf[Sessions], day: date, content: bytes, claims: dict[str, Any], defect: str) -> None:
    name = _name(day, "_late")
    manifest = {**_manifest(name, content, 25), **claims}
    shelf.put(1, name, content, day=day, planted="quarantined", manifest=manifest, defect=defect)


def merged(loaded: Iterable[Sessions]) -> dict[str, Session]:
    """The table's rows: the latest version of each session."""
    return {session.session_id: session for sessions in loaded for session in sessions}


def daily(sessions: Iterable[Session]) -> list[dict[str, Any]]:
    """Sessions and revenue by day and zone."""
    groups: dict[tuple[date, str], list[int]] = {}
    for session in sessions:
        groups.setdefault((session.day, session.zone), []).append(session.fee or 0)
    return [
        {
            "local_day": day.isoformat(),
            "zone": zone,
            "sessions": len(fees),
            "revenue": str(Decimal(sum(fees)).scaleb(-2)),
        }
        for (day, zone), fees in sorted(groups.items())
    ]


def totals(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sum of a day's rows of `daily`: sessions and revenue; None if there are no rows."""
    days = list(rows)
    return {
        "parking_sessions": sum(row["sessions"] for row in days) if days else None,
        "parking_revenue": str(sum(Decimal(row["revenue"]) for row in days)) if days else None,
    }
