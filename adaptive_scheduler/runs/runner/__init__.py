"""`Runner`: one learner whose points are tasks of a run."""
