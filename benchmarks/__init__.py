"""Measurements beside the peers; ``python -m benchmarks`` runs them. See README.md."""
