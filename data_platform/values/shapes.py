"""Geometries: well-known text, or bytes, to the well-known binary that an extract holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import shapely

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.rejects import Converted
from data_platform.values.rule import SHOWN, BadValue, Rule, shown

_EWKT = re.compile(r"SRID=(?P<srid>[0-9]{1,9});(?P<wkt>.*)", re.DOTALL | re.IGNORECASE)


def geometry_rule(column: FileColumn) -> Rule:
    return lambda text: geometry_from_text(text, column.logical.args[0])


def geometry_from_text(text: str, srid: int) -> bytes:
    """WKB of a WKT or EWKT shape. Raises BadValue where it can't be read, is invalid, or names another SRID."""
    match = _EWKT.fullmatch(text)
    if match and int(match["srid"]) != srid:
        raise BadValue(f"{shown(text)} is in SRID {match['srid']}; the column's is {srid}")
    try:
        shape = shapely.from_wkt(match["wkt"] if match else text)
    except (shapely.errors.ShapelyError, ValueError):
        raise BadValue(f"{shown(text)} is not well-known text (WKT)") from None
    return _valid(shape, text)


def geometries(values: Iterable[bytes | None], srid: int) -> Converted:
    """Shapes as WKB; those that `geometry_from_binary` refuses are bad."""
    shapes: list[bytes | None] = []
    bad: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            shapes.append(None if value is None else geometry_from_binary(value, srid))
        except BadValue as error:
            shapes.append(None)
            bad[row] = str(error)
    return Converted(pa.array(shapes, pa.binary()), bad)


def geometry_from_binary(value: bytes, srid: int) -> bytes:
    """WKB, without an SRID, of a WKB or EWKB shape. Raises BadValue as `geometry_from_text` does."""
    spelled = value[: SHOWN // 2].hex()
    try:
        shape = shapely.from_wkb(value)
    except (shapely.errors.ShapelyError, ValueError):
        raise BadValue(f"{shown(spelled)} is not well-known binary (WKB)") from None
    named = shapely.get_srid(shape)
    if named not in (0, srid):
        raise BadValue(f"{shown(spelled)} is in SRID {named}; the column's is {srid}")
    return _valid(shape, spelled)


def _valid(shape: Any, spelled: str) -> bytes:
    if shapely.has_z(shape) or shapely.has_m(shape):
        raise BadValue(f"{shown(spelled)} has more than two coordinates a point; Snowflake stores two")
    if not shapely.is_valid(shape):
        raise BadValue(f"{shown(spelled)} is not a valid shape: {shapely.is_valid_reason(shape)}")
    return bytes(shapely.to_wkb(shape, byte_order=1, include_srid=False))
