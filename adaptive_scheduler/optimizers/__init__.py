"""Optimisers that ask for points, and the learner that makes one of them a learner of adaptive."""
