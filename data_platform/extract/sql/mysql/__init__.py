"""MariaDB and MySQL: `session.py` connects, `catalog.py` knows a table's columns, `columns.py` decides how the values
of each are read, and `packets.py` streams rows.

Values are read as the server's own text. What the binary ways to Arrow get wrong (an unsigned bigint, a decimal of 65
digits, a time of 800 hours, the date 0000-00-00) is text like any other here, and goes by the rule of the contract's
type.
"""
