"""`data-platform deliveries`: `command` has the subcommands; the modules beside it do the work."""
