"""What of a catalog a feed reads, for systems whose sessions say what the catalog has."""

from __future__ import annotations

from collections.abc import Mapping

from data_platform.extract.source import Refused
from data_platform.extract.sql.system import Found, FoundTable, Relation
from data_platform.feeds.databases import SqlTableSpec


def readable_columns(
    tables: Mapping[Relation, FoundTable[Found]], feed: SqlTableSpec, name: str, grant: str
) -> dict[str, Found]:
    """The columns of the feed's table that the user may read, by name. `name`: the table's, as messages write it.
    `grant`: what gives the user the right. Raises Refused if there is no such table, or nothing of it can be read."""
    table = tables.get(feed.relation)
    if table is None:
        raise Refused(
            f"{feed.name}: there is no table {name} in the database of the connection {feed.connection}, or its user"
            " may not see it; correct `from`, or create or grant it"
        )
    columns = {column.name: column for column in table.columns.values() if column.readable}
    if not table.readable or not columns:
        raise Refused(f"{feed.name}: the user of the connection {feed.connection} may not read {name}; {grant}")
    return columns
