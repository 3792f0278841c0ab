"""On each node of a pool's job: what starts, watches and ends the processes of tasks."""
