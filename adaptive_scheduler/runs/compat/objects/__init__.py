"""What scripts for adaptive-scheduler 2 do with functions, learners and clients of ipyparallel."""
