"""Oracle by `oracledb` in thin mode: `session.py` connects, `catalog.py` knows a table's columns, `columns.py` decides
how the values of each are read.

It has not met a real server: it is tested against a double of the driver, written from its documentation.
"""
