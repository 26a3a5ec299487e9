"""`data-platform deliveries`: `command` has the subcommands; what they do lies beside it."""
