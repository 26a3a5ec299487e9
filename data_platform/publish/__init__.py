"""Publishes marts: reads one from Snowflake, checks it, and puts it where the public or another team reads it.

A target is CARTO or a bucket of open data files. What belongs here: reading, fingerprints, gates, targets, the ledger
of publications. Building the marts doesn't, nor do assets and when they are made.
"""
