"""What scripts for adaptive-scheduler 2 do with logs, and what watches them."""
