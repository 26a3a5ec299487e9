"""`data-platform smoke`. `command` is the entry; nothing outside this folder imports its modules."""
