"""Points and shapes as WKB: makes them, checks them, and remembers what a map of them needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np

MAP_SHAPES = 400
"""How many shapes a map shows at most."""
_LOWEST, _HIGHEST = (-180.0, -90.0), (180.0, 90.0)


def points(longitude: pa.Array[Any], latitude: pa.Array[Any]) -> pa.Array[Any]:
    """Points as WKB; null where a coordinate is null."""
    import numpy as np
    import shapely

    x, y = (values.to_numpy(zero_copy_only=False).astype(float) for values in (longitude, latitude))
    made = shapely.points(x, y)
    made[np.isnan(x) | np.isnan(y)] = None
    return pa.array(shapely.to_wkb(made, byte_order=1), pa.binary())


def first_invalid(wkb: pa.Array[Any]) -> tuple[int, str] | None:
    """(place in the array, why) of the first shape that isn't a valid one in degrees, or None."""
    import numpy as np
    import shapely

    raw = wkb.to_numpy(zero_copy_only=False)
    made = shapely.from_wkb(raw, on_invalid="ignore")
    present = ~wkb.is_null().to_numpy(zero_copy_only=False)
    valid = shapely.is_valid(made)
    bounds = shapely.bounds(made)
    inside = (bounds[:, :2] >= _LOWEST).all(axis=1) & (bounds[:, 2:] <= _HIGHEST).all(axis=1)
    bad = np.flatnonzero(present & ~(valid & inside & ~shapely.is_empty(made)))
    if not len(bad):
        return None
    place = int(bad[0])
    if made[place] is None:
        return place, "not WKB"
    if not valid[place]:
        return place, str(shapely.is_valid_reason(made[place]))
    if shapely.is_empty(made[place]):
        return place, "it is empty"
    west, south, east, north = (float(value) for value in bounds[place])
    return place, f"from {west:g} {south:g} to {east:g} {north:g} is not within -180 -90 and 180 90, in degrees"


def ewkb(wkb: pa.Array[Any]) -> pa.Array[Any]:
    """The shapes as PostGIS reads them: EWKB with SRID 4326, in hexadecimal digits."""
    import shapely

    made = shapely.set_srid(shapely.from_wkb(wkb.to_numpy(zero_copy_only=False)), 4326)
    return pa.array(shapely.to_wkb(made, hex=True, byte_order=1, include_srid=True), pa.string())


class Seen:
    """What a map and the files' metadata need of all shapes: their kinds, their extent, and some of them. Memory is
    bounded: of many shapes, every n-th stays."""

    def __init__(self) -> None:
        self.kinds: tuple[str, ...] = ()
        self._extent: np.ndarray[Any, Any] | None = None
        self._kept: list[bytes] = []
        self._every, self._at = 1, 0

    def add(self, wkb: pa.Array[Any]) -> None:
        """Counts in a batch."""
        import numpy as np
        import shapely

        made = shapely.from_wkb(wkb.drop_null().to_numpy(zero_copy_only=False))
        if not len(made):
            return
        self.kinds = tuple(sorted({*self.kinds, *(str(name) for name in {shape.geom_type for shape in made})}))
        bounds = shapely.total_bounds(made)
        before = bounds if self._extent is None else self._extent
        self._extent = np.concatenate([np.minimum(before[:2], bounds[:2]), np.maximum(before[2:], bounds[2:])])
        for shape in wkb.drop_null().to_numpy(zero_copy_only=False):
            if self._at % self._every == 0:
                self._kept.append(shape)
            self._at += 1
            if len(self._kept) > 2 * MAP_SHAPES:
                self._kept, self._every = self._kept[::2], 2 * self._every

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """West, south, east and north, in degrees."""
        if self._extent is None:
            return None
        west, south, east, north = (float(value) for value in self._extent)
        return west, south, east, north

    @property
    def shown(self) -> tuple[bytes, ...]:
        """At most MAP_SHAPES of the shapes."""
        step = -(-len(self._kept) // MAP_SHAPES) or 1
        return tuple(self._kept[::step])
