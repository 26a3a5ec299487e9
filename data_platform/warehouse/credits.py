"""How much of the month's credits the warehouse has used, as its resource monitor shows it
(docs.snowflake.com/en/sql-reference/sql/show-resource-monitors)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_platform.warehouse.table import literal

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


def used_percent(cursor: SnowflakeCursor, monitor: str) -> float | None:
    """Percent of the quota that is used; None if the role may not see the monitor, or it has no quota. Raises the
    connector's errors."""
    cursor.execute(f"SHOW RESOURCE MONITORS LIKE {literal(monitor.upper())}")
    names = [column.name for column in cursor.description or ()]
    rows: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if not rows or not rows[0]["credit_quota"]:
        return None
    return 100 * float(rows[0]["used_credits"] or 0) / float(rows[0]["credit_quota"])
