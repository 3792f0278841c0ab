"""One learner from load to last save."""
