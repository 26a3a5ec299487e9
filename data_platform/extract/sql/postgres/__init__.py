"""PostgreSQL: `session.py` connects, `catalog.py` knows a table's columns, `columns.py` decides how the values of each
are read, `copying.py` streams rows, and `binary.py` and `numeric.py` decode them.
"""
