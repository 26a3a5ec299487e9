"""Converts the text of values: one rule per type, and conversions of whole columns with the same outcome.

Rules see no nulls, no empty fields and, except for strings, no blanks around a value: `convert.py` removes them first.
"""
