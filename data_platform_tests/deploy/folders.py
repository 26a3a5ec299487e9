"""The folders of the two buckets. `test_policies` holds the roles to them, and `end_to_end/test_run` what the platform
has written."""

LAKE = frozenset(("extracts", "unloaded", "receipts", "digests", "publications"))
LANDING = frozenset(("inbound", "archive", "quarantine", "receipts"))

DELETED = {
    "lake": LAKE - {"digests"},
    "landing": frozenset(("receipts",)),  # from inbound, a run deletes by version
}
"""Where runs delete objects: marks of loaded extracts, what retention clears, older versions of publications."""
