"""Where a run lies, and what its driver does there: on this machine, or on another one."""
