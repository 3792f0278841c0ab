"""Points on their way to the workers and back."""
