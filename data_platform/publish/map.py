"""A small map of a dataset as SVG: its points and shapes, or some of them, in an equirectangular projection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from math import cos, radians
from typing import Any

from data_platform.publish.rows import Rows

WIDTH, HEIGHT, MARGIN = 480, 320, 14
_LARGEST = 60_000
"""Bytes of an SVG: it is kept with each materialization."""
_PAPER, _INK, _FILL, _TEXT = "#f6f8fa", "#1f6feb", "#1f6feb33", "#57606a"


def map_of(rows: Rows) -> str | None:
    """The map of the rows; None if they have no shapes. The same rows give the same map."""
    if rows.extent is None:
        return None
    west, south, east, north = rows.extent
    narrow = cos(radians((south + north) / 2)) or 1e-6  # a degree of longitude is shorter than one of latitude
    scale = min(
        (WIDTH - 2 * MARGIN) / ((east - west) * narrow or 1e-6),
        (HEIGHT - 3 * MARGIN) / (north - south or 1e-6),
        1e6,
    )
    left = (WIDTH - (east - west) * narrow * scale) / 2
    top = (HEIGHT - MARGIN - (north - south) * scale) / 2

    def place(x: float, y: float) -> str:
        return f"{left + (x - west) * narrow * scale:.1f} {top + (north - y) * scale:.1f}"

    dots, paths = _drawn(rows, place, 1 / scale)
    caption = f"{rows.number:,} rows, {west:.4f} {south:.4f} to {east:.4f} {north:.4f}"
    body = (
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{_PAPER}"/>'
        f'<path d="{"".join(paths)}" fill="{_FILL}" stroke="{_INK}" stroke-width="1"/>'
        f'<path d="{"".join(dots)}" stroke="{_INK}" stroke-width="5" stroke-linecap="round" stroke-opacity="0.7"/>'
        f'<text x="{MARGIN}" y="{HEIGHT - 6}" font-family="sans-serif" font-size="11" fill="{_TEXT}">'
        f"{escape(caption)}</text>"
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{body}</svg>'


def _drawn(rows: Rows, place: Callable[[float, float], str], pixel: float) -> tuple[list[str], list[str]]:
    """Dots of points, and outlines of the others, simplified to what a pixel shows."""
    import shapely

    dots, paths, size = [], [], 0
    for shape in shapely.from_wkb(list(rows.shown)):
        for part in shapely.get_parts(shape):
            if part.geom_type == "Point":
                dots.append(f"M{place(part.x, part.y)}h0")
                continue
            simple = part.simplify(pixel, preserve_topology=False)
            for line in _lines(part if simple.is_empty else simple):
                ends = "Z" if part.geom_type == "Polygon" else ""
                paths.append("M" + "L".join(place(x, y) for x, y, *_ in line.coords) + ends)
                size += len(paths[-1])
        if size > _LARGEST:
            break
    return dots, paths


def _lines(part: Any) -> Iterator[Any]:
    """The rings and lines of a shape."""
    import shapely

    for each in shapely.get_parts(part):
        if each.geom_type == "Polygon":
            yield each.exterior
            yield from each.interiors
        elif each.geom_type == "LineString":
            yield each
