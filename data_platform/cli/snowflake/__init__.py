"""`data-platform snowflake`: `command` has `bootstrap`, `rotate_key` the rotation of keys, `trust` AWS's side."""
