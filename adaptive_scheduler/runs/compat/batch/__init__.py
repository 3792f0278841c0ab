"""The schedulers as adaptive-scheduler 2 has them: they also list and cancel jobs."""
