"""Tells an error that a value of the loaded data caused from all others, by Snowflake's codes."""

from __future__ import annotations

_CLASSES = ("22", "23")
"""SQLSTATE's classes: a data exception, and a violated constraint."""
_NUMBERS = range(100_000, 101_000)
"""Snowflake's numbers of errors in the data that a statement works on, such as 100038 (22018) "Numeric value 'x' is not
recognized", 100046 (22003) "Number out of representable range" or 100072 (22000) "NULL result in a non-nullable
column". Some others share their SQLSTATE: 091016 (22000) is a file that isn't in the stage."""


def refuses_data(error: BaseException) -> bool:
    """Whether Snowflake refused a value. Only then is the data at fault: not for a lost connection, a timeout, a wait
    for a lock (000625), a suspended warehouse, a missing privilege, or an error that nobody knows."""
    # Importing the connector takes almost a second; processes that only load definitions don't need it.
    from snowflake.connector.errors import DatabaseError

    return (
        isinstance(error, DatabaseError) and error.errno in _NUMBERS and str(error.sqlstate or "").startswith(_CLASSES)
    )
