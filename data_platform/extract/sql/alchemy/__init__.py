"""Any database that SQLAlchemy has a dialect for, row by row as its driver's Python values: the slow, general way.

`session.py` connects and reads the catalog, `columns.py` decides how the values of each column are read.
"""
