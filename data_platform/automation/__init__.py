"""Sensors, schedules, conditions, checks and run sizing: when and how the platform's assets are made."""
