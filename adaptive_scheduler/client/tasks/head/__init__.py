"""The client of a pool's job: it talks to the manager, and to an agent on each node."""
