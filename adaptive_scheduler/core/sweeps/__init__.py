"""What a sweep runs: its file, the tasks that it stands for, their names, their commands."""
