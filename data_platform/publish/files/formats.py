"""A dataset as CSV, GeoJSON and GeoParquet, each written batch by batch. The same rows give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_platform.publish.rows import GEOMETRY, Rows
from data_platform.publish.spec import Format


def write_csv(rows: Rows, path: Path) -> None:
    """RFC 4180 with a header, in UTF-8. Shapes are well-known text, in the column `geometry`."""
    import pyarrow.csv as csv
    import shapely

    schema = rows.columns.append(pa.field(GEOMETRY, pa.string())) if rows.has_geometry else rows.columns
    with csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="needed")) as writer:
        for batch in rows.batches():
            if rows.has_geometry:
                shapes = shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False))
                text = pa.array(shapely.to_wkt(shapes, rounding_precision=-1), pa.string())
                batch = batch.set_column(batch.num_columns - 1, pa.field(GEOMETRY, pa.string()), text)
            writer.write_batch(batch)


def write_geojson(rows: Rows, path: Path) -> None:
    """RFC 7946: a FeatureCollection, a feature in each line. Exact decimals are JSON numbers with all their digits."""
    import shapely

    names = rows.columns.names
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write('{"type": "FeatureCollection", "features": [')
        first = True
        for batch in rows.batches():
            columns = [_json_texts(batch.column(name)) for name in names]
            shapes: list[str | None] = ["null"] * batch.num_rows
            if rows.has_geometry:
                made = shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False))
                shapes = [text or "null" for text in shapely.to_geojson(made)]
            for place, shape in enumerate(shapes):
                values = zip(names, columns, strict=True)
                told = ", ".join(f"{json.dumps(name)}: {column[place]}" for name, column in values)
                comma = "" if first else ","
                out.write(f'{comma}\n{{"type": "Feature", "geometry": {shape}, "properties": {{{told}}}}}')
                first = False
        out.write("\n]}\n")


def _json_texts(values: pa.Array[Any]) -> list[str]:
    kind = values.type
    if pa.types.is_string(kind):
        return [json.dumps(value, ensure_ascii=False) for value in values.to_pylist()]
    if pa.types.is_floating(kind):  # JSON has no NaN and no infinity
        return [repr(value) if value is not None and isfinite(value) else "null" for value in values.to_pylist()]
    plain = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind)
    texts = values.cast(pa.string()).to_pylist()
    if plain:
        return ["null" if text is None else text for text in texts]
    if pa.types.is_timestamp(kind):
        texts = [text and text.replace(" ", "T") for text in texts]
    return ["null" if text is None else f'"{text}"' for text in texts]


def write_geoparquet(rows: Rows, path: Path) -> None:
    """GeoParquet 1.1.0 (https://geoparquet.org/releases/v1.1.0/): WKB in degrees of WGS 84 with its extent; without
    shapes, Parquet."""
    import pyarrow.parquet as pq

    schema = rows.columns
    if rows.has_geometry:
        column: dict[str, Any] = {"encoding": "WKB", "geometry_types": list(rows.kinds)}
        if rows.extent is not None:
            column["bbox"] = list(rows.extent)
        geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
        schema = schema.append(pa.field(GEOMETRY, pa.binary())).with_metadata({"geo": json.dumps(geo)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in rows.batches():
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def write_dictionary(rows: Rows, descriptions: dict[str, str], path: Path) -> None:
    """The data dictionary as CSV: each column's name, type and description."""
    import csv

    with path.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(("column", "type", "description"))
        table.writerows((each.name, word_of(each.type), descriptions.get(each.name, "")) for each in rows.columns)
        if rows.has_geometry:
            table.writerow((GEOMETRY, "geometry", f"{' or '.join(rows.kinds) or 'Shape'}, in degrees of WGS 84"))


def word_of(kind: pa.DataType) -> str:
    """A type as the data dictionary names it."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    words = {"int64": "integer", "double": "number", "bool": "boolean", "date32[day]": "date", "string": "text"}
    return words.get(str(kind), "time" if pa.types.is_time(kind) else "timestamp")


WRITERS: dict[Format, tuple[str, str, Callable[[Rows, Path], None]]] = {
    "csv": (".csv", "text/csv", write_csv),
    "geojson": (".geojson", "application/geo+json", write_geojson),
    "geoparquet": (".parquet", "application/vnd.apache.parquet", write_geoparquet),
}
"""{format: (ending, media type, writer)}"""


def written(rows: Rows, dataset: str, formats: tuple[Format, ...], folder: Path) -> Iterator[tuple[Format, Path, str]]:
    """Writes the files, and yields each with its format and media type."""
    for name in formats:
        ending, media, write = WRITERS[name]
        path = folder / f"{dataset}{ending}"
        write(rows, path)
        yield name, path, media
