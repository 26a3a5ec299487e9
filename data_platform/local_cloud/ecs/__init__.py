"""The local cloud's ECS: tasks that really run, each container a local process.

`gaps` puts the parts in place of ministack's own: `api` what RunTask and its kin answer, `lifecycle` a task from
PROVISIONING to STOPPED, `containers` a container as a process, `watch` its memory limit and interruptions, `faults`
what goes wrong on purpose.
"""
