"""Benchmarks, run in turn with other packages (the peers): ``python -m benchmarks``. See README.md."""
