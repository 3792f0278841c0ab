"""What runs tasks inside of a job: the head, one agent on each node, its workers and programs."""
