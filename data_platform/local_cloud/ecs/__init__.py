"""The local cloud's ECS: tasks that really run, each container a local process.

`gaps` replaces ministack's parts by these: `api` answers RunTask and the like, `lifecycle` takes a task from
PROVISIONING to STOPPED, `containers` runs a container as a process, `watch` enforces memory limits and interrupts Spot
tasks, `faults` injects errors.
"""
