"""Tables of PostgreSQL as a source: whole, or what is new by a watermark. Imports no Dagster.

`source.py` plans and opens, `session.py` connects, `catalog.py` knows the table's columns, `copying.py` streams rows,
`columns.py` decides for each column of the contract how its values are read, and `binary.py` decodes them.
"""
