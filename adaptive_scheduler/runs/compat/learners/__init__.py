"""Runs of learners as adaptive-scheduler 2 has them."""
