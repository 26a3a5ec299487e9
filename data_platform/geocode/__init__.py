"""Addresses to points: asks a geocoding service for what the warehouse doesn't know yet. Imports no Dagster.

`normal.py` brings an address to the form in which it is asked and kept; `provider.py` says what a service is to this
package, `address_search.py` and `census.py` are two; `cache.py` keeps answers in the PLATFORM schema; `asking.py` asks
within the limits; `source.py` makes a table of a column of addresses, as a source of the engine.
"""
