"""Tables of a database as a source: whole, or what is new by a watermark. Imports no Dagster.

`source.py` plans and opens, `plan.py` compares a table with its contract, `watermark.py` says which rows are new, and
`reading.py` makes chunks of rows. `system.py` says what a database system provides; each system has a folder of its
own.
"""
