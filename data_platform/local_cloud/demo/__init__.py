"""The demo city's outside world: what its partners drop, with planted defects, and the answer key.

Everything is made from a fixed seed. Nothing here is imported by the platform, only by the demo's
runner and by tests.
"""
