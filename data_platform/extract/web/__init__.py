"""Records of web APIs as a source: Airtable's tables and Knack's objects. Imports no Dagster.

`source.py` plans and opens, `reading.py` makes chunks of records, `spool.py` holds a read's records until it is whole.
`client.py` makes requests within a limit (`limiter.py`), again where that may help; `airtable.py` and `knack.py` know
the services.
"""
