"""Sensors, schedules, automation conditions and asset checks: when assets are materialized, and how they are checked.
How runs are launched belongs in `runs`."""
