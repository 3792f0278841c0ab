"""What is typed: options, durations, goals, runs, learners, the learners file."""
