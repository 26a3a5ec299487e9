"""The demo city's partners: their files, with planted defects, and the answer key.

Everything is generated from a fixed seed. Only `data-platform run` and tests import this package.
"""
