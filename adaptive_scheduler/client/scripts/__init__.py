"""For scripts of the user's own that run learners."""
