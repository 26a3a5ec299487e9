"""The local cloud: embedded stand-ins for AWS, Snowflake and PostgreSQL, on loopback only.

Only the command line and the tests import this package. The platform reaches the local cloud as it reaches the real
one, through settings.
"""
