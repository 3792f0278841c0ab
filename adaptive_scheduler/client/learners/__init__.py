"""What a job has to run: a learner, how it is read and set up."""
