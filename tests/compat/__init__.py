"""What was written for adaptive-scheduler 2 runs here: a notebook, pipefunc, and installing one over the other."""
