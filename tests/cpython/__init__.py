"""CPython's own tests, run against ours: `make test-all`."""
