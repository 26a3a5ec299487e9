"""What the text of a value means: one rule a type, and the conversion of whole columns that keeps to it.

Nulls are settled first (`convert.py`): null words, empty fields, and blanks around anything but a string are no
business of a rule.
"""
