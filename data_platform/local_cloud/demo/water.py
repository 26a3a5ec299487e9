"""Harbor Water's files, with their defects: a CSV per hour."""

from __future__ import annotations

from pathlib import Path

from data_platform.local_cloud.demo.calendar import Hour, hours
from data_platform.local_cloud.demo.key import PlantedReject, RejectReason
from data_platform.local_cloud.demo.readings import HourFile, Meters, Readings, joined
from data_platform.local_cloud.demo.shelf import Shelf

PARTNER, FEED = "harbor_water", "meter_readings"
MISSED = "20260309T05-0400"
REVISED = "20260307T13-0500"
_REPEATED = (("20260307T14-0500", ""), ("20260307T15-0500", "_resend"))

# By file: (record, index of the changed field, its new text, the reject's column, the reject's reason)
_BAD_VALUES: dict[str, tuple[tuple[int, int, str, str, RejectReason], ...]] = {
    "20260307T07-0500": (
        (3, 3, "99999999999", "battery_mv", "range"),
        (40, 2, "12.34567", "litres", "digits"),
        (41, 0, "", "meter_id", "missing"),
        (42, 1, "yesterday", "read_at", "type"),
    ),
    "20260307T16-0500": (
        (1, 3, "3.6V", "battery_mv", "type"),
        (2, 2, "1234567890.123", "litres", "range"),
        (90, 4, "", "status", "missing"),
    ),
}


def make(folder: Path, meters: int, seed: int) -> Shelf[Readings]:
    """Writes all files of the feed, for both waves."""
    shelf: Shelf[Readings] = Shelf(folder, PARTNER, FEED)
    city = Meters(meters, seed)
    for hour in hours():
        if hour.stamp != MISSED:
            _first_wave(shelf, city, hour)
        if hour.stamp == REVISED:
            file = city.file(hour, revised=True)
            _put(shelf, file, hour, file.text(), wave=2, defect="revised: supersedes the first wave's file")
    for stamp, suffix in _REPEATED:
        name = f"readings_{stamp}{suffix}.csv"
        shelf.again(2, f"readings_{stamp}.csv", name, defect="the same content again")
    no_day = "readings_20260230T01-0500.csv"
    shelf.put(1, no_day, b"meter_id\n", planted="unmatched", defect="of a day that doesn't exist")
    note = b"Meters 12 to 19 are new.\n"
    shelf.put(1, "notes_for_the_city.txt", note, planted="unmatched", defect="no feed matches its name")
    return shelf


def _put(
    shelf: Shelf[Readings],
    file: HourFile,
    hour: Hour,
    content: bytes,
    rejects: tuple[PlantedReject, ...] = (),
    *,
    wave: int = 1,
    defect: str = "",
) -> None:
    """A file whose rows are all loaded, except `rejects`."""
    kept = file.readings.without(reject.record for reject in rejects)
    name = f"readings_{hour.stamp}.csv"
    rows = len(kept.meters)
    shelf.put(wave, name, content, day=hour.day, loaded=rows, rejects=rejects, facts=kept, defect=defect)


def _refused(shelf: Shelf[Readings], hour: Hour, content: bytes, defect: str) -> None:
    name = f"readings_{hour.stamp}.csv"
    shelf.put(1, name, content, day=hour.day, planted="quarantined", defect=defect)


def _first_wave(shelf: Shelf[Readings], city: Meters, hour: Hour) -> None:
    file = city.file(hour)
    match hour.stamp:
        case "20260307T05-0500":
            _put(shelf, file, hour, *_latin_row(file), defect="one row in Latin-1")
        case "20260307T07-0500" | "20260307T16-0500" as stamp:
            _put(shelf, file, hour, *_bad_values(file, stamp), defect="values that break the contract")
        case "20260307T08-0500":
            _put(shelf, file, hour, *_ragged(file), defect="a row with too few fields, one with too many")
        case "20260307T09-0500":
            _refused(shelf, hour, _third_bad(file), "a third of the rows are bad, past the feed's limit")
        case "20260307T11-0500":
            renamed = file.text().replace(b"litres", b"liters", 1)
            _refused(shelf, hour, renamed, "a required column was renamed")
        case "20260308T06-0400":
            _cut_short(shelf, file, hour)
        case "20260308T10-0400":
            _refused(shelf, hour, b"", "not a byte, not even a header")
        case "20260308T11-0400":
            empty = HourFile(file.header, file.lines[:0], file.readings.without(range(1, city.count + 1)))
            _put(shelf, empty, hour, empty.text(), defect="a header and no rows")
        case "20260309T08-0400":
            fewer = city.file(hour, share=0.6)
            _put(shelf, fewer, hour, fewer.text(), defect="two fifths of the meters are missing")
        case "20260309T10-0400":
            text = file.text().replace(b"Dog.\n", b"Dog. ").replace(b"\n", b"\r\n")
            defect = "nothing wrong: a byte order mark and Windows line ends"
            _put(shelf, file, hour, b"\xef\xbb\xbf" + text, defect=defect)
        case "20261102T12-0500":
            reordered = [",".join(file.fields(record)[::-1]) for record in file.records()]
            text = joined(file.header[::-1], reordered)
            _put(shelf, file, hour, text, defect="nothing wrong: its columns in another order")
        case _:
            _put(shelf, file, hour, file.text())


def _latin_row(file: HourFile) -> tuple[bytes, tuple[PlantedReject, ...]]:
    records = file.records()
    records[16] = ",".join([*file.fields(records[16])[:5], "Vérifié sur place"])
    text = joined(file.header, records)
    damaged = text.replace("Vérifié sur place".encode(), "Vérifié sur place".encode("latin-1"))
    return damaged, (PlantedReject(record=17, column=None, reason="encoding"),)


def _bad_values(file: HourFile, stamp: str) -> tuple[bytes, tuple[PlantedReject, ...]]:
    records = file.records()
    rejects: list[PlantedReject] = []
    for record, at, text, column, reason in _BAD_VALUES[stamp]:
        fields = file.fields(records[record - 1])
        fields[at] = text
        records[record - 1] = ",".join(fields)
        rejects.append(PlantedReject(record=record, column=column, reason=reason))
    return joined(file.header, records), tuple(rejects)


def _ragged(file: HourFile) -> tuple[bytes, tuple[PlantedReject, ...]]:
    records = file.records()
    records[9] = ",".join(file.fields(records[9])[:3])
    records[19] += ",extra,fields"
    rejects = [PlantedReject(record=record, column=None, reason="fields") for record in (10, 20)]
    return joined(file.header, records), tuple(rejects)


def _third_bad(file: HourFile) -> bytes:
    return joined(
        file.header,
        [text if at % 3 else text.split(",")[0] + ",soon,n/a,,?," for at, text in enumerate(file.records())],
    )


def _cut_short(shelf: Shelf[Readings], file: HourFile, hour: Hour) -> None:
    records = file.records()
    whole = int(len(records) * 0.9)
    cut = joined(file.header, records[:whole]) + ",".join(file.fields(records[whole])[:3])[:-1].encode()
    kept = file.readings.without(range(whole + 2, len(records) + 1))
    reject = PlantedReject(record=whole + 1, column=None, reason="fields")
    rest = HourFile(file.header, file.lines[: whole + 1], kept)
    _put(shelf, rest, hour, cut, (reject,), defect="the upload ended in the middle of a row")
