"""Examines a machine, its batch system and a run: what `adaptive-scheduler doctor` does."""
