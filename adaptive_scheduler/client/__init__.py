"""WORK: what runs in each job."""
