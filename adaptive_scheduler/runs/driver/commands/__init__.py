"""Programs as tasks, and how their values are found."""
