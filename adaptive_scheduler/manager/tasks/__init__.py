"""What a manager does about pools of tasks."""
