"""What people see, in a real browser: `pytest tests/faces` (make test-all)."""
