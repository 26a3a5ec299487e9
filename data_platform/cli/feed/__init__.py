"""`data-platform feed`. `command` is the entry."""
