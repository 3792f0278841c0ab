"""A search as its user runs it: tasks that an optimiser has asked for, as many at a time as are wanted."""
