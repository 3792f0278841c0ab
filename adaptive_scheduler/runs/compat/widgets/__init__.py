"""What notebooks for adaptive-scheduler 2 show of a run."""
