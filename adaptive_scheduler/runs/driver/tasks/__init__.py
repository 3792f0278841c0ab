"""The tasks that a run has, as its disk and its manager know them."""
