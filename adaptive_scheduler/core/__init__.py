"""DECIDE: pure functions and records. No clock, no I/O, no log, no adaptive."""
