"""What is wrong with a cluster, a machine or a run: verdicts on what was observed."""
