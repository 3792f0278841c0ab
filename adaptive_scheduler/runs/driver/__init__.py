"""The user's side of tasks: submits them, takes their results."""
