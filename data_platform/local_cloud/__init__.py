"""The local cloud: embedded stand-ins for AWS, Snowflake, the source databases and web APIs, on loopback
only.

Nothing outside the command line and the tests imports this package: the platform reaches the local cloud as
it reaches the real one, through settings.
"""
