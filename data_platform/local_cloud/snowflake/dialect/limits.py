"""The largest values that Snowflake stores, as macros through which COPY passes what it loads.

No other statement is checked: its text of at most 1 MB holds no such value
(https://docs.snowflake.com/en/sql-reference/data-types-text, .../data-types-semistructured).
"""

from __future__ import annotations

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import MAIN

_TOO_LARGE = "error('100082 (22000): Max LOB size ({limit}) exceeded, actual size of parsed column is ' || {size}({x}))"


def _macro(name: str, x: str, size: str, limit: int) -> str:
    refusal = _TOO_LARGE.format(limit=limit, size=size, x=x)
    return f"""CREATE OR REPLACE MACRO {MAIN}.{name}(x) AS
        CASE WHEN {size}({x}) > {limit} THEN {refusal} ELSE x END;"""


MACROS = "".join(
    [
        _macro("_dp_fits_text", "x", "strlen", 16_777_216),
        _macro("_dp_fits_json", "x::VARCHAR", "strlen", 16_777_216),
        _macro("_dp_fits_binary", "x", "octet_length", 8_388_608),
    ]
)
FITS = {"VARCHAR": "_dp_fits_text", "JSON": "_dp_fits_json", "BLOB": "_dp_fits_binary"}
"""The macro for each of DuckDB's types that has a limit."""
