"""What has happened in a run: which job ran what and when, and what became of the time that was held."""
