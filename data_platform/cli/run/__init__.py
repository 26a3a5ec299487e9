"""`data-platform run`. `command` is the entry; nothing else outside this folder may import its modules, except
`deliveries`, which looks at inbound the way a run does."""
