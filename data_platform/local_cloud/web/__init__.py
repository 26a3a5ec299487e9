"""Doubles of the web APIs that the platform reads: one HTTP server on loopback, a service a file.

Each service answers as its public documentation says, limits and errors included; docstrings cite the pages. Only what
the platform uses is there. `server.py` serves them, `faults.py` makes requests fail on purpose.
"""
